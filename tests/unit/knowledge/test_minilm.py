"""The embedder minilm."""

import asyncio
import threading
from pathlib import Path

import pytest

from musterd.core.settings import Settings
from musterd.declare.knowledge import Knowledge
from musterd.knowledge import extra, minilm_embedder
from musterd.knowledge.embedding import EmbedderFailed, embedder_of
from musterd.knowledge.minilm_embedder import MiniLMEmbedder
from musterd.knowledge.vectors import VectorIndex

MINILM = Knowledge(id="handbook", embedder="minilm")
TEXTS = [
    "I forgot my login credentials and need to change them.",
    "Everyone has 25 days of holidays a year.",
    "The stock market fell sharply today.",
]
needs_extra = pytest.mark.skipif(not extra.has_minilm(), reason='needs pip install "musterd[minilm]"')


@needs_extra
@pytest.mark.parametrize(
    ("query", "text"),
    [("How do I reset my password?", TEXTS[0]), ("How many days of vacation do I get?", TEXTS[1])],
)
async def test_a_text_with_the_meaning_of_the_query_is_near_and_others_are_not(query: str, text: str) -> None:
    embedder = embedder_of(MINILM, Settings())
    index = VectorIndex()
    index.add(range(3), await embedder.documents(TEXTS))
    (nearest, cosine), *others = index.search(await embedder.query(query), 3)
    assert TEXTS[nearest] == text
    assert cosine > 0.5
    assert all(other < 0.2 for _, other in others)


@needs_extra
async def test_a_text_has_the_same_vector_in_each_batch() -> None:
    embedder = embedder_of(MINILM, Settings())
    vectors = await embedder.documents([*TEXTS, "", "☃ é 東京" * 3])
    assert await embedder.documents(TEXTS[1:2]) == vectors[1:2] == [await embedder.query(TEXTS[1])]
    assert {len(vector) for vector in vectors} == {384}
    assert await embedder.documents([]) == []
    assert embedder.name == "minilm:all-MiniLM-L6-v2-int8"
    assert embedder.vector_weight == 1


@needs_extra
async def test_a_text_counts_up_to_its_256th_token() -> None:
    embedder = embedder_of(MINILM, Settings())
    days = "day " * 254
    cut, longer, other = await embedder.documents([days, days + "night " * 9000, "night " + days])
    assert cut == longer != other


async def test_a_query_does_not_wait_for_contents_that_are_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    is_embedding, is_searched = threading.Event(), threading.Event()

    def vector(text: str) -> bytes:
        if text == "content":
            is_embedding.set()
            assert is_searched.wait(60)
        return text.encode()

    monkeypatch.setattr(minilm_embedder, "_vector", vector)
    async with asyncio.TaskGroup() as tasks:
        contents = tasks.create_task(MiniLMEmbedder().documents(["content"] * 3))
        assert await asyncio.to_thread(is_embedding.wait, 60)
        assert await MiniLMEmbedder().query("query") == b"query"
        is_searched.set()
    assert contents.result() == [b"content"] * 3


def test_without_its_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "has_minilm", lambda: False)
    with pytest.raises(EmbedderFailed) as caught:
        embedder_of(MINILM, Settings())
    assert str(caught.value) == (
        'Embedder "minilm": its packages are missing, install them with pip install "musterd[minilm]".'
    )


@needs_extra
@pytest.mark.parametrize("files", [[], ["model.onnx"]])
async def test_files_other_than_the_checked_ones_are_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: list[str]
) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"other weights")
    monkeypatch.setattr(extra, "package_folder", lambda name: tmp_path)
    minilm_embedder._load.cache_clear()
    with pytest.raises(EmbedderFailed, match="missing or differ from the checked ones"):
        await embedder_of(MINILM, Settings()).query("a")
