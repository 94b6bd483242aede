"""Two transactions of one line, step by step: the second waits for the first, and then sees what it did.

SQLite has one writer and needs none of this; what comes of many at once is tested on both in ``test_concurrency.py``.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

import pytest

from musterd.core.callers import Caller
from musterd.core.errors import Conflict, LeaseLost, StoreUnavailable, TooManyRequests
from musterd.core.queueing import OnBusy
from musterd.core.records import Output, RunRow
from musterd.core.states import RunState
from musterd.features.knowledge import chunk_store
from musterd.features.knowledge import store as contents
from musterd.features.knowledge.records import Content, NewContent, SourceKind, StoredChunk, text_hash
from musterd.store import (
    acceptance,
    attempt_writes,
    cancels,
    claims,
    run_forks,
    session_deletion,
    sessions,
    transitions,
    workers,
)
from musterd.store.acceptance import Accepted
from musterd.store.attempt_writes import Batch, CancelStored, End, Settled
from musterd.store.database import Statement, Tx, Work
from musterd.store.postgres import PostgresDatabase
from musterd.store.rows import run_params
from musterd.store.shards import SessionTx
from musterd.store.user_limits import UserLimits
from tests.support.published_chunks import publish
from tests.support.store import COMPONENTS, Records, delta, lease_of, new_run, of_run, promoted_id

T = TypeVar("T")
WAITING = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@contextlib.asynccontextmanager
async def held(records: Records, work: Work[T]) -> AsyncIterator["asyncio.Task[T]"]:
    """Inside this context ``work`` has done all its statements and is not committed."""
    done, go = asyncio.Event(), asyncio.Event()

    async def and_wait(tx: Tx) -> T:
        result = await work(tx)
        done.set()
        await go.wait()
        return result

    task = asyncio.ensure_future(records.database.write(and_wait))
    await done.wait()
    try:
        async with asyncio.timeout(100):
            yield task
    finally:
        go.set()
        await task


async def waiting(records: Records, doing: Awaitable[T]) -> "asyncio.Future[T]":
    """Begin ``doing``, and come back once its transaction waits for a lock."""
    task = asyncio.ensure_future(doing)
    while not (await records.select(WAITING))[0]["n"]:
        assert not task.done(), "it did not wait"
    return task


def accepting(records: Records, run_id: str) -> Work[Accepted]:
    asking = records.candidate(new_run(run_id, created_at=500.0))
    return lambda tx: acceptance.accept(tx, asking)


def settling(run: RunRow, state: RunState = RunState.COMPLETED) -> Work[Settled]:
    end = End(state=state, at=501.0, output=Output(), messages=[])
    return lambda tx: attempt_writes.finish(tx, lease_of(run), Batch(), end)


def cancelling(run_id: str) -> Work[cancels.StopResult | None]:
    return of_run(cancels.request, run_id, "alice", 502.0)


def releasing(worker: str = "w1") -> Work[workers.Released]:
    return lambda tx: workers.release_runs(tx, worker, 503.0, crashed=True)


# Whoever stands still


async def test_one_that_stands_still_in_a_transaction_holds_up_nobody_for_long(
    records: Records, postgres_url: str
) -> None:
    run = await records.started("r1")
    frozen = PostgresDatabase(postgres_url, silent_seconds=0.5)
    await frozen.open()
    try:

        async def settle_and_stand_still(tx: Tx) -> Settled:
            settled = await settling(run)(tx)
            if not is_held.is_set():  # a machine that stands still before may have cost a try already
                is_held.set()
                await go_on.wait()
            return settled

        is_held, go_on = asyncio.Event(), asyncio.Event()
        late = asyncio.ensure_future(frozen.write(settle_and_stand_still))
        await is_held.wait()
        async with asyncio.timeout(100):
            released = await records.database.write(releasing())
        assert [run.run_id for run in released.ready] == ["r1"]
        go_on.set()
        with pytest.raises(StoreUnavailable):
            await late
        assert (await records.row("r1")).state is RunState.READY
    finally:
        await frozen.close()


# Whoever frees the line and whoever joins it


async def test_a_run_accepted_while_the_holder_ends_is_not_forgotten(records: Records) -> None:
    run = await records.started("r1")
    async with held(records, settling(run)):
        joining = await waiting(records, records.accept("r2"))
    assert (await joining).run.state is RunState.READY


async def test_a_run_accepted_while_the_holder_is_cancelled_is_not_forgotten(records: Records) -> None:
    await records.accept("r1")
    async with held(records, cancelling("r1")):
        joining = await waiting(records, records.accept("r2"))
    assert (await joining).run.state is RunState.READY


async def test_an_end_promotes_the_run_that_is_just_being_accepted(records: Records) -> None:
    run = await records.started("r1")
    async with held(records, accepting(records, "r2")) as accepted:
        ending = await waiting(records, records.settle(run))
    assert (await accepted).run.state is RunState.QUEUED
    assert promoted_id(await ending) == "r2"


async def test_a_run_that_is_being_cancelled_is_not_promoted(records: Records) -> None:
    run = await records.started("r1")
    for name in ("r2", "r3"):
        await records.accept(name)
    async with held(records, cancelling("r2")):
        ending = await waiting(records, records.settle(run))
    assert promoted_id(await ending) == "r3"
    assert await records.states() == {"r1": "completed", "r2": "cancelled", "r3": "ready"}


async def test_a_run_that_is_being_promoted_is_cancelled_as_what_it_is_then(records: Records) -> None:
    run = await records.started("r1")
    for name in ("r2", "r3"):
        await records.accept(name)
    async with held(records, settling(run)):
        cancel = await waiting(records, records.cancel("r2"))
    done = await cancel
    assert done is not None
    assert promoted_id(done) == "r3"
    assert await records.states() == {"r1": "completed", "r2": "cancelled", "r3": "ready"}


# Cancels and ends


async def test_a_cancel_that_comes_with_the_end_finds_the_end(records: Records) -> None:
    run = await records.started("r1")
    async with held(records, settling(run)):
        cancel = await waiting(records, records.cancel("r1"))
    done = await cancel
    assert done is not None
    assert (done.run.state, done.end_event) == (RunState.COMPLETED, None)


async def test_an_end_that_comes_with_a_cancel_is_a_cancelled_one(records: Records) -> None:
    run = await records.started("r1")
    async with held(records, cancelling("r1")):
        ending = await waiting(records, records.settle(run))
    with pytest.raises(CancelStored):
        await ending


# Claims


async def test_a_run_that_is_being_cancelled_is_not_claimed(records: Records) -> None:
    await records.accept("r1")
    async with held(records, cancelling("r1")):
        assert await records.claim() == [], "a claim waits for nobody"
    assert await records.states() == {"r1": "cancelled"}


async def test_a_run_that_is_being_claimed_is_not_claimed_and_told_to_stop(records: Records) -> None:
    for name in ("r1", "r2"):
        await records.accept(name, f"session of {name}")
    async with held(records, lambda tx: claims.claim(tx, "w1", COMPONENTS, 1, 504.0)) as claimed:
        assert [run.run_id for run in await records.claim(worker="w2")] == ["r2"]
        cancel = await waiting(records, records.cancel("r1"))
    assert [run.run_id for run in await claimed] == ["r1"]
    done = await cancel
    assert done is not None
    assert (done.run.state, done.run.worker, done.end_event) == (RunState.RUNNING, "w1", None)
    assert (await records.row("r1")).cancel_requested_at is not None


# The fence


async def test_an_append_that_comes_with_the_take_over_is_fenced(records: Records) -> None:
    run = await records.started("r1")
    async with held(records, releasing()):
        late = await waiting(records, records.append(run, events=[delta("r1")]))
    with pytest.raises(LeaseLost):
        await late
    assert await records.events("r1") == []


async def test_an_append_that_comes_with_the_next_claim_is_fenced(records: Records) -> None:
    run = await records.started("r1")
    await records.database.write(releasing())
    async with held(records, lambda tx: claims.claim(tx, "w2", COMPONENTS, 1, 504.0)) as claimed:
        with pytest.raises(LeaseLost):
            await records.append(run, events=[delta("r1")])
    (again,) = await claimed
    assert (again.attempt, await records.append(again, events=[delta("r1")])) == (2, 0)


async def test_a_take_over_waits_for_an_append_and_the_next_attempt_goes_on_behind_it(records: Records) -> None:
    run = await records.started("r1")
    batch = Batch(events=[delta("r1")] * 3)
    async with held(records, lambda tx: attempt_writes.append(tx, lease_of(run), batch)):
        taking = await waiting(records, records.database.write(releasing()))
    assert [run.run_id for run in (await taking).ready] == ["r1"]
    (again,) = await records.claim(worker="w2")
    assert await records.append(again, events=[delta("r1")]) == 3


async def test_a_take_over_that_comes_with_the_end_takes_nothing(records: Records) -> None:
    run = await records.started("r1")
    async with held(records, settling(run)):
        taking = await waiting(records, records.database.write(releasing()))
    assert await taking == workers.Released()
    assert await records.states() == {"r1": "completed"}


async def test_an_end_that_comes_with_the_take_over_is_fenced(records: Records) -> None:
    run = await records.started("r1")
    await records.accept("r2")
    async with held(records, releasing()):
        ending = await waiting(records, records.settle(run))
    with pytest.raises(LeaseLost):
        await ending
    assert await records.states() == {"r1": "ready", "r2": "queued"}


# Sessions that go


async def test_a_run_that_comes_with_the_deletion_is_refused(records: Records) -> None:
    await records.started("r1")
    async with held(records, lambda tx: sessions.mark_deleted(tx, "s1", 505.0)):
        joining = await waiting(records, records.accept("r2"))
    with pytest.raises(Conflict):
        await joining


async def test_a_deletion_that_comes_with_a_run_cancels_it(records: Records) -> None:
    await records.started("r1")
    async with held(records, accepting(records, "r2")):
        burying = await waiting(records, records.database.write(lambda tx: sessions.mark_deleted(tx, "s1", 505.0)))
    await burying
    cancelled = await records.database.write(lambda tx: session_deletion.cancel_live(tx, "s1", 506.0))
    assert [done.run.run_id for done in cancelled] == ["r2", "r1"]


async def test_a_run_that_comes_with_the_removal_begins_the_session_anew(records: Records) -> None:
    await records.settle(await records.started("r1"))
    await records.database.write(lambda tx: sessions.mark_deleted(tx, "s1", 505.0))
    async with held(records, lambda tx: session_deletion.remove_some_of(tx, "s1")):
        joining = await waiting(records, records.accept("r2"))
    assert ((await joining).run.seq, (await joining).run.state) == (0, RunState.READY)
    assert await records.states() == {"r2": "ready"}


# Where the order does not help


async def test_the_second_process_waits_for_the_firsts_instance(records: Records) -> None:
    async with held(records, lambda tx: workers.instance(tx, "a", "1", 1.0)):
        second = await waiting(records, records.database.write(lambda tx: workers.instance(tx, "b", "1", 2.0)))
    assert await second == "a"


async def test_transactions_in_a_ring_are_tried_again(records: Records) -> None:
    """No store function takes rows in two orders; should one ever, nobody is told that it failed."""
    for name in ("a", "b"):
        await records.accept(name, name)
    touch = Statement("test_touch", "UPDATE sessions SET next_seq = next_seq + 1 WHERE session_id = :id")
    both_hold_one = asyncio.Barrier(2)
    tries = 0

    async def cross(tx: Tx, first: str, second: str) -> None:
        nonlocal tries
        tries += 1
        await tx.run(touch, {"id": first})
        if tries <= 2:
            await both_hold_one.wait()
        await tx.run(touch, {"id": second})

    await asyncio.gather(
        records.database.write(lambda tx: cross(tx, "a", "b")), records.database.write(lambda tx: cross(tx, "b", "a"))
    )
    assert tries >= 3
    assert [row["next_seq"] for row in await records.select("SELECT next_seq FROM sessions")] == [3, 3]


async def test_an_id_that_two_callers_choose_at_once_is_one_run(records: Records) -> None:
    """The key of a run holds the shard of its session, so it does not keep them apart."""
    alice, bob = (Caller(user_id=name, label=name) for name in ("alice", "bob"))
    first = records.candidate(new_run("r1", "s1", created_at=500.0), caller=alice, has_chosen_id=True)
    async with held(records, lambda tx: acceptance.accept(tx, first)):
        second = await waiting(records, records.accept("r1", "s2", caller=bob, has_chosen_id=True))
    with pytest.raises(Conflict, match="taken"):
        await second
    assert [row["session_id"] for row in await records.select("SELECT session_id FROM runs")] == ["s1"]


async def test_a_line_that_is_taken_behind_the_sessions_back_is_asked_again(records: Records) -> None:
    """The unique holder is the last defence: who meets it finds the line taken at the second try."""
    await records.accept("r0", "s1")
    await records.cancel("r0")

    async def take_the_line(tx: Tx) -> None:
        run = new_run("r1", lane="s1", holder="s1", seq=7)
        await SessionTx(tx, "s1").run(transitions.ACCEPT[RunState.READY], run_params(run))

    async with held(records, take_the_line):
        joining = await waiting(records, records.accept("r2"))
    assert (await joining).run.state is RunState.QUEUED


# Two equal requests

BUSY: dict[str, Any] = {"row": {"on_busy": OnBusy.REJECT}}
NO_ROOM: dict[str, Any] = {"queue_depth": 1}
NO_ROOM_FOR_USER: dict[str, Any] = {"user_limits": UserLimits(queue_depth=1)}


@pytest.mark.parametrize("refusal", [BUSY, NO_ROOM, NO_ROOM_FOR_USER])
async def test_the_same_request_that_waits_for_the_first_one_gets_its_run(
    records: Records, refusal: dict[str, Any]
) -> None:
    options: dict[str, Any] = {"caller": Caller(user_id="alice", label="alice"), "key": "k1", **refusal}
    row = options.pop("row", {})
    first = records.candidate(new_run("r1", "s1", created_at=500.0, **row), **options)
    async with held(records, lambda tx: acceptance.accept(tx, first)):
        second = await waiting(records, records.accept("r2", "s1", row=row, **options))
    accepted = await second
    assert (accepted.run.run_id, accepted.is_repeated) == ("r1", True)


async def test_the_same_request_to_continue_a_run_gets_the_run_of_the_first_one(records: Records) -> None:
    await records.database.write(settling(await records.started("r0"), RunState.ERROR))

    def continuing(run_id: str) -> Work[Accepted]:
        fork = records.candidate(new_run(run_id, created_at=500.0, forked_from="r0"), key="k1")
        return lambda tx: run_forks.accept(tx, fork, "r0", None)

    async with held(records, continuing("r1")):
        second = await waiting(records, records.database.write(continuing("r2")))
    accepted = await second
    assert (accepted.run.run_id, accepted.is_repeated) == ("r1", True)


# Two of one user


async def test_two_that_are_to_wait_are_counted_one_after_the_other(records: Records) -> None:
    alice, user_limits = Caller(user_id="alice", label="alice"), UserLimits(queue_depth=1)
    first = records.candidate(new_run("r1", "s1", created_at=500.0), caller=alice, user_limits=user_limits)
    async with held(records, lambda tx: acceptance.accept(tx, first)):
        second = await waiting(records, records.accept("r2", "s2", caller=alice, user_limits=user_limits))
    with pytest.raises(TooManyRequests):
        await second


# Chunks with the same text, which share an embedding

EMBEDDER, VECTOR = "fake:1", bytes(8)


async def publish_chunk(records: Records, name: str, text: str) -> int:
    """Publish a content with one chunk; return the chunk's id."""
    (chunk_id,) = await publish(records.database, "docs", name, [VECTOR], embedder=EMBEDDER, texts=[text])
    return chunk_id


async def delete_content(records: Records, name: str) -> Work[int]:
    """Delete a content; return the work that removes its chunks."""

    async def delete(tx: Tx) -> None:
        await contents.lock_base(tx, "docs")
        content = await contents.lock_any(tx, f"docs {name}")
        assert content is not None
        await contents.delete(tx, content, 5.0)

    async def remove_chunks(tx: Tx) -> int:
        content = await contents.lock_any(tx, f"docs {name}")
        assert content is not None
        return await chunk_store.remove_unneeded(tx, content, 10)

    await records.database.write(delete)
    return remove_chunks


async def embedded_texts(records: Records) -> list[tuple[str, str]]:
    """The embedders and the hashes of all embeddings."""
    rows = await records.select("SELECT embedder, text_hash FROM embeddings ORDER BY embedder, text_hash")
    return [(row["embedder"], row["text_hash"]) for row in rows]


async def test_a_job_embeds_a_text_whose_embedding_is_removed_while_its_chunk_is_stored(records: Records) -> None:
    await publish_chunk(records, "old", "same text")
    remove_chunks, chunk = await delete_content(records, "old"), StoredChunk.of(0, "same text", None)

    async def begin_job(tx: Tx) -> Content | None:
        new = NewContent(source=SourceKind.TEXT, name="new", content=b"same text")
        await contents.add(tx, Content.of(new, "docs new", "docs", None, 6.0))
        return await contents.claim(tx, ["docs"], "w", 7.0)

    job = await records.database.write(begin_job)
    assert job is not None

    async def store_chunk(tx: Tx) -> None:
        await chunk_store.add(tx, job, await contents.allocate(tx, "docs", 1), [chunk])

    async with held(records, remove_chunks):
        storing = await waiting(records, records.database.write(store_chunk))
    await storing
    to_embed = await records.database.fetch(lambda tx: chunk_store.to_embed(tx, job, EMBEDDER, -1, 10))
    assert to_embed == [chunk]


async def test_the_last_chunk_with_a_text_takes_its_embedding_along(records: Records) -> None:
    for name in ("a", "b"):
        await publish_chunk(records, name, "same text")
    first, second = [await delete_content(records, name) for name in ("a", "b")]
    async with held(records, first):
        removing = await waiting(records, records.database.write(second))
    assert await removing == 1
    assert await embedded_texts(records) == []


async def test_chunks_that_are_removed_get_no_embedding_of_another_embedder(records: Records) -> None:
    ids = [await publish_chunk(records, name, f"text of {name}") for name in ("gone", "kept")]
    remove_chunks = await delete_content(records, "gone")
    vectors = {text_hash(f"text of {name}"): VECTOR for name in ("gone", "kept")}
    async with held(records, remove_chunks):
        embedding = await waiting(
            records, records.database.write(lambda tx: chunk_store.embed_again(tx, "fake:2", ids, vectors))
        )
    await embedding
    kept = text_hash("text of kept")
    assert await embedded_texts(records) == [(EMBEDDER, kept), ("fake:2", kept)]


async def test_a_removal_sees_an_embedding_that_is_being_stored(records: Records) -> None:
    chunk_id = await publish_chunk(records, "gone", "text of gone")
    remove_chunks, vectors = await delete_content(records, "gone"), {text_hash("text of gone"): VECTOR}
    async with held(records, lambda tx: chunk_store.embed_again(tx, "fake:2", [chunk_id], vectors)):
        removing = await waiting(records, records.database.write(remove_chunks))
    assert await removing == 1
    assert await embedded_texts(records) == []
