"""Embedders: the builtin one, and those of providers against a server on loopback."""

import base64
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping, Sequence
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic_ai.embeddings import Embedder, TestEmbeddingModel
from structlog.testing import capture_logs

from musterd.core import clock
from musterd.core.settings import Settings
from musterd.declare.knowledge import Knowledge
from musterd.knowledge import extra
from musterd.knowledge.embedding import EmbedderFailed, embedder_of, is_available
from musterd.knowledge.problems import ExtraMissing
from musterd.knowledge.vectors import VectorIndex
from musterd.models import resolve

BUILTIN = Knowledge(id="handbook")
OPENAI = Knowledge(id="handbook", embedder="openai:small")
TEXTS = [
    "The physician treats illness and prescribes drugs.",
    "Automobile engines burn gasoline.",
    "Boil the spaghetti and add tomatoes.",
]


@pytest.mark.parametrize(
    ("query", "text"),
    [("seeing a doctor when sick", TEXTS[0]), ("car motor fuel", TEXTS[1]), ("pasta recipe", TEXTS[2])],
)
async def test_the_builtin_embedder_finds_texts_without_a_common_word(query: str, text: str) -> None:
    embedder = embedder_of(BUILTIN, Settings())
    index = VectorIndex()
    index.add(range(3), await embedder.documents(TEXTS))
    ((nearest, cosine),) = index.search(await embedder.query(query), 1)
    assert not {*query.split()} & {*text.lower().split()}
    assert TEXTS[nearest] == text
    assert 0.1 < cosine < 1


async def test_a_text_has_the_same_vector_in_each_batch() -> None:
    embedder = embedder_of(BUILTIN, Settings())
    vectors = await embedder.documents([*TEXTS, "", "☃" * 3, TEXTS[0] * 1000])
    assert await embedder.documents(TEXTS[1:2]) == vectors[1:2]
    assert {len(vector) for vector in vectors} == {256}
    index = VectorIndex()
    index.add(range(1), vectors[:1])
    assert index.search(vectors[-1], 1)[0][1] > 0.99, "a long text is embedded in parts"
    assert vectors[3] == bytes(256)
    assert await embedder.documents([]) == []
    assert embedder.name == "builtin:wordllama-256"
    assert embedder.vector_weight == 0.5


Answer = Callable[[dict[str, Any]], Awaitable[web.Response]]


@contextlib.asynccontextmanager
async def provider(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> AsyncIterator[Settings]:
    """Settings whose OpenAI is a server on loopback."""

    async def handle(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer sk-test-secret"
        return await answer(await request.json())

    application = web.Application(client_max_size=0)
    application.router.add_post("/v1/embeddings", handle)
    async with TestServer(application) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", str(server.make_url("/v1")))
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-secret")
        settings = Settings(model_retry_seconds=30)
        try:
            yield settings
        finally:
            await resolve.close(settings)


def vectors(*rows: Sequence[float]) -> web.Response:
    """An answer of OpenAI's with these vectors."""
    data = [
        {"object": "embedding", "index": n, "embedding": base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode()}
        for n, row in enumerate(rows)
    ]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return web.json_response({"object": "list", "model": "small", "data": data, "usage": usage})


pytestmark = pytest.mark.usefixtures("loopback_models", "log_lines")


@pytest.fixture
def log_lines() -> Iterator[list[MutableMapping[str, Any]]]:
    """The lines that are logged."""
    with capture_logs() as lines:
        yield lines


async def test_a_provider_embeds_and_vectors_keep_their_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs: list[object] = []

    async def answer(body: dict[str, Any]) -> web.Response:
        inputs.append(body["input"])
        return vectors(*([0.001, -0.002, 0.0] for _ in body["input"]))

    async with provider(monkeypatch, answer) as settings:
        embedder = embedder_of(OPENAI, settings)
        assert await embedder.documents(["a", "b"]) == [struct.pack("3b", 64, -127, 0)] * 2
        assert await embedder.query("c") == struct.pack("3b", 64, -127, 0)
        assert await embedder.documents([]) == []
    assert inputs == [["a", "b"], ["c"]]
    assert (embedder.name, embedder.vector_weight) == ("openai:small", 1.0)


async def test_a_failed_try_is_repeated(monkeypatch: pytest.MonkeyPatch, no_waiting: list[float]) -> None:
    answers = [web.json_response({"error": {"message": "busy"}}, status=503), vectors([1.0])]

    async def answer(body: dict[str, Any]) -> web.Response:
        return answers.pop(0)

    async with provider(monkeypatch, answer) as settings:
        assert await embedder_of(OPENAI, settings).query("a") == bytes([127])
    assert len(no_waiting) == 1


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, which take no time."""
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(clock, "sleep", wait)
    return waits


@pytest.mark.parametrize(
    ("answer_of", "words", "tries"),
    [
        ((401, "Incorrect API key provided: sk-test-secret"), "rejected this server's credentials (401)", 1),
        ((400, "input too long"), "input too long", 1),
        ((500, "broken"), "broken", 3),
    ],
)
async def test_a_failure_is_told_in_words_without_the_key(
    monkeypatch: pytest.MonkeyPatch,
    no_waiting: list[float],
    log_lines: list[MutableMapping[str, Any]],
    answer_of: tuple[int, str],
    words: str,
    tries: int,
) -> None:
    status, message = answer_of
    calls: list[object] = []

    async def answer(body: dict[str, Any]) -> web.Response:
        calls.append(body)
        return web.json_response({"error": {"message": message}}, status=status)

    async with provider(monkeypatch, answer) as settings:
        with pytest.raises(EmbedderFailed) as caught:
            await embedder_of(OPENAI, settings).query("a")
    assert str(caught.value).startswith("The embedder openai:small failed: ")
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.is_retryable is (tries > 1)
    assert len(calls) == tries
    assert [line["embedder"] for line in log_lines if line["log_level"] == "warning"] == ["openai:small"]
    assert not any("secret" in str(line) for line in log_lines if line["log_level"] != "debug")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[1.0]], "returned no vector, or vectors of different lengths"),
        ([[1.0], [1.0, 2.0]], "returned no vector, or vectors of different lengths"),
        ([[1.0], [float("nan")]], "numbers that are not finite"),
    ],
)
async def test_vectors_that_cannot_be_used_are_refused(
    monkeypatch: pytest.MonkeyPatch, rows: list[list[float]], words: str
) -> None:
    async def answer(body: dict[str, Any]) -> web.Response:
        return vectors(*rows)

    async with provider(monkeypatch, answer) as settings:
        with pytest.raises(EmbedderFailed, match=words):
            await embedder_of(OPENAI, settings).documents(["a", "b"])


async def test_a_model_that_changes_its_dimensions_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = iter([3, 4])

    async def answer(body: dict[str, Any]) -> web.Response:
        return vectors([1.0] * next(lengths))

    async with provider(monkeypatch, answer) as settings:
        embedder = embedder_of(OPENAI, settings)
        await embedder.query("a")
        with pytest.raises(EmbedderFailed, match="returned 4 dimensions instead of 3"):
            await embedder.query("a")


async def test_a_provider_that_cannot_be_reached_is_reported(
    monkeypatch: pytest.MonkeyPatch, no_waiting: list[float]
) -> None:
    async with provider(monkeypatch, lambda body: pytest.fail("not reached")) as settings:
        pass
    with pytest.raises(EmbedderFailed, match="The connection to the model's provider failed"):
        await embedder_of(OPENAI, settings).query("a")
    await resolve.close(settings)


async def test_an_embedder_of_pydantic_ai_is_used_as_it_is() -> None:
    embedder = embedder_of(Knowledge(id="k", embedder=Embedder(TestEmbeddingModel(dimensions=4))), Settings())
    assert await embedder.query("a") == bytes([127] * 4)
    assert embedder.name == "test:test"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "small",
            'Embedder "small": the name has no provider — write it as provider:model, '
            "such as openai:text-embedding-3-small, or use builtin or minilm.",
        ),
        (
            "buildin",
            'Embedder "buildin": the name has no provider — write it as provider:model, '
            'such as openai:text-embedding-3-small, or use builtin or minilm. Did you mean "builtin"?',
        ),
        (
            "sentence-transformers:small",
            'Embedder "sentence-transformers:small": its package is missing, install it with pip install '
            '"musterd[sentence-transformers]".',
        ),
        ("opnai:small", 'Embedder "opnai:small": unknown provider "opnai". Did you mean "openai"?'),
        (
            "openai:small",
            'Embedder "openai:small": OPENAI_API_KEY is not set — set it, or set OPENAI_BASE_URL for a server that '
            "needs no key",
        ),
    ],
)
def test_an_embedder_that_cannot_work_is_reported_with_a_remedy(name: str, words: str) -> None:
    with pytest.raises(EmbedderFailed) as caught:
        embedder_of(Knowledge(id="k", embedder=name), Settings())
    assert str(caught.value) == words


def test_without_the_extra_nothing_is_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_available(BUILTIN)
    monkeypatch.setattr(extra, "weights_folder", lambda: None)
    assert not is_available(BUILTIN)
    assert is_available(OPENAI)
    monkeypatch.setattr(extra, "is_installed", lambda: False)
    assert not is_available(OPENAI)
    with pytest.raises(ExtraMissing, match=r'The embedder of knowledge \'handbook\' needs .* "musterd\[knowledge\]"'):
        embedder_of(BUILTIN, Settings())
