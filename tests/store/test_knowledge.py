"""Contents, chunks and their words in the store, on each database."""

from functools import partial
from typing import Any

import pytest

from musterd.core.knowledge_filters import EQ
from musterd.features.knowledge import chunk_store, sources, store
from musterd.features.knowledge.metadata_search import matching_ids
from musterd.features.knowledge.records import (
    Content,
    ContentFilter,
    NewContent,
    SourceKind,
    Status,
    StoredChunk,
    Viewer,
)
from musterd.knowledge.word_queries import anchors, words_of
from musterd.store import workers
from musterd.store.database import Database, Statement, Tx
from tests.support.store import HERE, Records

ALL, ADA, BOB = Viewer(sees_all=True), Viewer("ada"), Viewer("bob")
EMBEDDER = "fake:1"


def new(text: str, name: str, **values: Any) -> NewContent:
    return NewContent(source=SourceKind.TEXT, name=name, content=text.encode(), **values)


async def add(database: Database, name: str, owner: str | None = None, base: str = "docs", **values: Any) -> Content:
    """Store a content that waits for its job."""
    content = Content.of(new(f"text of {name}", name, **values), f"id-{name}-{owner}", base, owner, 100.0)

    async def work(tx: Tx) -> None:
        await store.ensure_base(tx, base, EMBEDDER, None, 1.0)
        await store.add(tx, content)
        await sources.put(tx, content.id, b"bytes", 1.0)

    await database.write(work)
    return content


async def claim(database: Database, worker: str = "w1", base: str = "docs") -> Content | None:
    return await database.write(lambda tx: store.claim(tx, [base], worker, 200.0))


async def publish(database: Database, texts: list[str], worker: str = "w1", base: str = "docs") -> Content:
    """Do the job that waits longest."""
    job = await claim(database, worker, base)
    assert job is not None
    chunks = [StoredChunk.of(number, text, f"page {number}") for number, text in enumerate(texts)]

    async def work(tx: Tx) -> None:
        first = await store.allocate(tx, base, len(chunks))
        await store.hold(tx, job, 201.0)
        await chunk_store.add(tx, job, first, chunks)
        await store.note_split(tx, job, len(chunks), 201.0)
        await chunk_store.add_embeddings(tx, EMBEDDER, {chunk.hash: bytes([1, 2, 3]) for chunk in chunks})

    await database.write(work)

    async def end(tx: Tx) -> None:
        moved = await store.move_base(tx, base)
        await store.publish(tx, job, moved.version, 202.0)

    await database.write(end)
    return job


async def search(
    database: Database, query: str, viewer: Viewer = ALL, allowed: list[str] | None = None, base: str = "docs"
) -> list[str]:
    """The texts that have some of the words, the best first."""

    async def work(tx: Tx) -> list[str]:
        stored = await store.base(tx, base)
        words = words_of(query)
        assert stored is not None
        if not words:
            return []
        ids = await chunk_store.by_words(tx, stored, words, viewer, allowed, 10, anchors=words)
        chunks = await chunk_store.hits(tx, ids, viewer)
        return [chunks[chunk_id].text for chunk_id in ids]

    return await database.scan(work)


async def test_words_are_found_by_their_stems_and_rank(database: Database) -> None:
    await add(database, "one")
    await publish(database, ["Installing packages", "A package of tea and other words that dilute it", "Nothing"])
    assert await search(database, "install the package") == [
        "Installing packages",
        "A package of tea and other words that dilute it",
    ]
    assert await search(database, "zzz") == []
    assert await search(database, "the") == []


async def test_chunks_without_the_rarest_words_are_left_out_and_the_others_keep_their_order(
    database: Database,
) -> None:
    common = [f"common{number}" for number in range(6)]
    # Each text has some words that many have, and one that few have.
    texts = [" ".join(["every", *common[number % 4 :], f"rare{number // 4}"]) for number in range(200)]
    await add(database, "one")
    await publish(database, texts)
    # Postgres does it by itself after some time.
    await database.write(lambda tx: tx.many(Statement("analyze", "ANALYZE"), [{}]))

    async def work(tx: Tx) -> None:
        stored = await store.base(tx, "docs")
        assert stored is not None
        for number in range(0, 50, 7):
            words = ["every", common[0], f"rare{number}", common[1]]
            counts = await chunk_store.word_counts(tx, stored, words, len(texts), 150)
            assert counts[0] >= 150
            assert counts[2] == 4
            rarest = anchors(words, counts, 20)
            assert rarest == [f"rare{number}"]
            every = await chunk_store.by_words(tx, stored, words, ALL, None, 200, anchors=words)
            some = await chunk_store.by_words(tx, stored, words, ALL, None, 200, anchors=rarest)
            first = (await chunk_store.hits(tx, some, ALL)).values()
            assert {chunk.text.split()[-1] for chunk in first} == {f"rare{number}"}
            assert len(some) == 4
            assert some == [chunk_id for chunk_id in every if chunk_id in some]

    await database.scan(work)


@pytest.mark.parametrize(
    "query", ['a"b', "AND OR NOT NEAR", "x:y", "'; --", "é ü 漢字", "% _ \\", "a & b | !c <-> d", "or"]
)
async def test_any_text_is_a_query(database: Database, query: str) -> None:
    await add(database, "one")
    await publish(database, ["something"])
    assert await search(database, query) == []


async def test_each_base_is_searched_alone_with_the_rule_of_owners(database: Database) -> None:
    for name, owner, base in (("a", "ada", "docs"), ("b", None, "docs"), ("c", None, "faq")):
        await add(database, name, owner, base)
        await publish(database, [f"apples of {name}"], base=base)
    assert set(await search(database, "apples", ALL)) == {"apples of a", "apples of b"}
    assert set(await search(database, "apples", ADA)) == {"apples of a", "apples of b"}
    assert await search(database, "apples", BOB) == ["apples of b"]
    assert await search(database, "apples", Viewer()) == ["apples of b"]
    assert await search(database, "apples", ALL, ["id-a-ada"]) == ["apples of a"]
    assert await search(database, "apples", BOB, ["id-a-ada"]) == []
    assert await search(database, "apples", base="faq") == ["apples of c"]


async def test_chunks_are_found_when_they_are_published_and_not_before(database: Database) -> None:
    await add(database, "doc")
    first = await publish(database, ["old apples", "old pears"])
    assert await database.fetch(store.stale) is None  # nothing was found before
    replaced = await _replace(database, first)
    assert replaced.job_version == 2
    job = await claim(database)
    assert job is not None

    async def hidden(tx: Tx) -> None:
        chunk = StoredChunk.of(0, "new apples", None)
        await chunk_store.add(tx, job, await store.allocate(tx, "docs", 1), [chunk])
        await store.note_split(tx, job, 1, 1.0)

    await database.write(hidden)
    assert await search(database, "apples") == ["old apples"]
    stored = await database.scan(lambda tx: chunk_store.to_embed(tx, job, EMBEDDER, -1, 10))
    assert [chunk.text for chunk in stored] == ["new apples"]

    async def end(tx: Tx) -> None:
        await store.publish(tx, job, (await store.move_base(tx, "docs")).version, 1.0)

    await database.write(end)
    assert await search(database, "apples pears") == ["new apples"]
    assert await database.fetch(store.stale) == job.id
    await _sweep(database, job.id)
    records = Records(database)
    assert [row["text"] for row in await records.select("SELECT text FROM chunks")] == ["new apples"]
    assert await records.select("SELECT count(*) AS n FROM chunk_words") == [{"n": 1}]
    assert await records.select("SELECT count(*) AS n FROM embeddings") == [{"n": 0}]


async def _replace(database: Database, content: Content) -> Content:
    async def work(tx: Tx) -> Content:
        await store.lock_base(tx, "docs")
        existing = await store.named(tx, "docs", None, content.name)
        assert existing is not None
        changed = existing.replaced_by(new("other", content.name), 300.0)
        await store.set_content(tx, changed, is_stale=True)
        return changed

    return await database.write(work)


async def _sweep(database: Database, content_id: str) -> None:
    async def work(tx: Tx) -> int:
        content = await store.lock_any(tx, content_id)
        assert content is not None
        return await chunk_store.remove_unneeded(tx, content, 1)

    while await database.write(work):
        pass


async def test_a_job_is_one_process_until_its_row_is_gone(database: Database) -> None:
    await add(database, "doc")
    for worker in ("w1", "w2"):
        await database.write(partial(workers.add, worker=worker, components=[], process=HERE))
    job = await claim(database, "w1")
    assert job is not None
    assert (job.status, job.attempts, job.crashes) == (Status.READING, 1, 0)
    assert await claim(database, "w2") is None
    assert await claim(database, "w2", base="other") is None
    await database.write(lambda tx: workers.release_runs(tx, "w1", 1.0, crashed=True))
    other = await claim(database, "w2")
    assert other is not None
    assert (other.attempts, other.crashes) == (2, 1)
    with pytest.raises(store.Lost):
        await database.write(lambda tx: store.hold(tx, job, 1.0))
    await database.write(lambda tx: store.release(tx, other, 1.0))
    again = await claim(database, "w1")
    assert again is not None
    assert (again.attempts, again.crashes) == (3, 1)


async def test_owners_take_turns(database: Database) -> None:
    for number in range(3):
        await add(database, f"doc {number}", "ada")
    await add(database, "doc", "bob")
    await add(database, "shared")
    order, owner = list[str](), None
    for _ in range(5):
        job = await database.write(partial(store.claim, served=["docs"], worker="w1", now=1.0, after_owner=owner))
        assert job is not None
        order.append(job.id)
        owner = job.owner
        await database.write(lambda tx, job=job: store.delete(tx, job, 1.0))  # type: ignore[misc]
    assert order == ["id-doc 0-ada", "id-doc-bob", "id-shared-None", "id-doc 1-ada", "id-doc 2-ada"]


async def test_a_job_that_its_process_has_kept_is_resumed_unless_another_one_has_it(database: Database) -> None:
    await add(database, "doc")
    for worker in ("w1", "w2"):
        await database.write(partial(workers.add, worker=worker, components=[], process=HERE))
    job = await claim(database, "w1")
    assert job is not None
    for attempts in (2, 3):  # also after a resumption whose answer was lost
        resumed = await database.write(lambda tx: store.resume(tx, job, 1.0))
        assert resumed is not None
        assert (resumed.attempts, resumed.crashes) == (attempts, 0)
    with pytest.raises(store.Lost):
        await database.write(lambda tx: store.hold(tx, job, 1.0))
    await database.write(lambda tx: workers.release_runs(tx, "w1", 1.0, crashed=True))
    assert await claim(database, "w2") is not None
    assert await database.write(lambda tx: store.resume(tx, job, 1.0)) is None


async def test_a_deleted_content_ends_its_job_and_frees_its_name(database: Database) -> None:
    content = await add(database, "doc", metadata={"a": 1})
    job = await claim(database)
    assert job is not None

    async def delete(tx: Tx) -> None:
        await store.lock_base(tx, "docs")
        await store.delete(tx, content, 1.0)

    await database.write(delete)
    with pytest.raises(store.Lost):
        await database.write(lambda tx: store.publish(tx, job, 1, 1.0))
    assert await database.read(lambda tx: store.get(tx, "docs", content.id, ALL)) is None
    assert await database.scan(store.stale) == content.id
    await database.write(lambda tx: store.forget(tx, content.id))
    await add(database, "doc")


async def test_a_list_is_filtered_by_the_rule_of_owners(database: Database) -> None:
    await add(database, "a", "ada", metadata={"n": 1})
    await add(database, "b", "bob", metadata={"n": 1})
    await add(database, "c", metadata={"n": 2})

    async def names(query: ContentFilter, viewer: Viewer) -> tuple[list[str], int]:
        ids = None
        if query.metadata is not None:
            ids = await matching_ids(database, "docs", viewer, query.metadata)
        page, total = await database.scan(lambda tx: store.search(tx, "docs", query, viewer, ids))
        return [content.name for content in page], total

    by_name = ContentFilter(sort_by="name", is_descending=False)
    assert await names(by_name, ALL) == (["a", "b", "c"], 3)
    assert await names(by_name, ADA) == (["a", "c"], 2)
    assert await names(ContentFilter(metadata=EQ("n", 1)), ADA) == (["a"], 1)
    assert await names(ContentFilter(name="b"), ADA) == ([], 0)
    assert await names(ContentFilter(statuses=(Status.COMPLETED,)), ALL) == ([], 0)
    assert (await names(ContentFilter(limit=1, page=2, sort_by="size"), ALL))[1] == 3

    async def delete_all(tx: Tx) -> None:
        await store.delete_all(tx, "docs", ADA, is_shared=False, now=1.0)

    await database.write(delete_all)
    assert await names(by_name, ALL) == (["b", "c"], 2)


async def test_what_has_changed_is_read_after_a_version(database: Database) -> None:
    await add(database, "a")
    first = await publish(database, ["one", "two"])
    assert await database.scan(lambda tx: chunk_store.changed(tx, "docs", -1)) == [(first.id, 2)]
    rows = await database.scan(lambda tx: chunk_store.vectors(tx, EMBEDDER, [first.id]))
    assert [(content_id, vector) for _, content_id, vector in rows] == [(first.id, bytes([1, 2, 3]))] * 2
    assert await database.scan(lambda tx: chunk_store.changed(tx, "docs", 1)) == []
    ids = [chunk_id for chunk_id, _, _ in rows]
    assert await database.scan(lambda tx: chunk_store.published(tx, [*ids, 5])) == set(ids)
    assert await database.scan(lambda tx: chunk_store.first_changed(tx, "docs", -1)) == min(ids)
    assert await database.scan(lambda tx: chunk_store.first_changed(tx, "docs", 1)) is None
    base = await database.scan(lambda tx: store.base(tx, "docs"))
    assert base is not None
    again = await database.scan(lambda tx: chunk_store.to_embed_again(tx, base, "fake:2", base.first_chunk - 1, 10))
    assert [chunk_id for chunk_id, _ in again] == sorted(ids)
    assert await database.write(lambda tx: chunk_store.remove_embedder(tx, EMBEDDER, 10)) == 0
    await database.write(lambda tx: store.switch(tx, "docs", "fake:2", None))
    assert await database.write(lambda tx: chunk_store.remove_embedder(tx, EMBEDDER, 10)) == 2


async def test_one_process_embeds_a_base_again(database: Database) -> None:
    await add(database, "a")
    for worker in ("w1", "w2"):
        await database.write(partial(workers.add, worker=worker, components=[], process=HERE))
    assert await database.write(lambda tx: store.claim_base(tx, "docs", "w1"))
    assert not await database.write(lambda tx: store.claim_base(tx, "docs", "w2"))
    await database.write(lambda tx: workers.release_runs(tx, "w1", 1.0, crashed=True))
    assert await database.write(lambda tx: store.claim_base(tx, "docs", "w2"))
