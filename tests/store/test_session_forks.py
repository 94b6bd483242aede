"""Forks of a session: copies with ids of their own, whole in themselves."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import BadRequest, Conflict, NotFound
from musterd.core.events import Event, EventKind
from musterd.core.records import Output, RunRow, SessionRow, SteeringMessage, StepKind, ToolCall
from musterd.core.states import RunState
from musterd.features.traces import store as traces
from musterd.service.session_forks import fork_session
from musterd.store import (
    blobs,
    messages,
    retention,
    run_lists,
    runs,
    session_deletion,
    session_forks,
    session_search,
    sessions,
)
from musterd.store.attempt_writes import MemberRecord
from musterd.store.database import Tx
from musterd.store.idempotency import Request
from musterd.store.run_lists import SessionRunsQuery
from musterd.store.run_removal import Removable
from musterd.store.session_copies import renamed
from musterd.store.session_forks import Fork, ForkTarget
from musterd.store.session_search import SessionFilter
from musterd.store.shards import SessionTx
from tests.support.store import NOBODY, Records, member_of, of_run, step

ALICE, BOB = Caller(user_id="alice", label="alice"), Caller(user_id="bob", label="bob")


async def fork(records: Records, source: str = "s1", caller: Caller = NOBODY, **changes: Any) -> None:
    values: dict[str, Any] = {"session_id": "s2", "component_kind": "agent", "component_id": "solo", **changes}
    await fork_session(records.database, source, ForkTarget(**values), caller, None)


async def session_of(records: Records, session_id: str = "s2") -> SessionRow:
    session = await records.database.read(lambda tx: sessions.get(tx, session_id, NOBODY))
    assert session is not None
    return session


async def visible(records: Records, *session_ids: str) -> list[str]:
    """Those of the sessions that can be seen."""

    async def work(tx: Tx) -> list[str]:
        return [one for one in session_ids if await sessions.get(tx, one, NOBODY) is not None]

    return await records.database.read(work)


async def rows(records: Records, session_id: str = "s2") -> dict[str, RunRow]:
    """The rows of a session's runs, by what each was copied from."""
    query = SessionRunsQuery(session_id=session_id)
    views = await records.database.scan(lambda tx: run_lists.of_session(tx, query))
    return {str(view.row.copied_from): view.row for view in views}


async def delegated(records: Records, run_id: str, state: RunState = RunState.COMPLETED, **fields: Any) -> RunRow:
    """A run that has ended, with a member, steps, events, a medium and a message."""
    run, child = await records.started(run_id, **fields), f"m-{run_id}"
    taken = {"history_runs": [run_id], "state": {"of": run_id}}
    member = member_of(run, child)
    call = ToolCall(id="c", name="delegate", args={"run_id": run_id}, created_at=1.0, child_run_id=child)
    await records.append(
        run,
        started=[member],
        steps=[
            step(run, "p", kind=StepKind.PREPARE, result=json.dumps(taken)),
            step(run, "t0/c0", kind=StepKind.DELEGATE, result=f'{{"result":"{run_id}","child_run_id":"{child}"}}'),
        ],
        events=[Event(EventKind.TOOL_CALL_COMPLETED, run_id, 1.0, {"tool": call.as_json()}, "t0/c0")],
        contents=[b"a picture"],
    )  # fmt: skip
    sent = SteeringMessage(id=f"said-{run_id}", run_id=child, text=run_id, sent_by="client", created_at=1.0)
    await records.database.write(of_run(messages.add, run_id, sent))
    await records.database.write(lambda tx: messages.take(SessionTx(tx, run.session_id), sent.id, "t0/m", 1.0))
    member.run.state, member.run.ended_at = RunState.COMPLETED, 1.0
    await records.append(run, ended=[MemberRecord(run=member.run, output=Output(content="m"), messages=['"member"'])])
    end = Event(EventKind.RUN_COMPLETED, run_id, 2.0, {"output": {"tools": [call.as_json()]}, "members": [child]})
    output = Output(content=run_id, tools=[call])
    await records.settle(
        run, state, output=output, messages=[f'"{run_id}"'], events=[end], state_delta={"set": {"a": 1}}
    )
    return run


async def test_the_copy_has_all_that_its_original_has_under_ids_of_its_own(records: Records) -> None:
    await delegated(records, "r1")
    before = await records.everything()
    await fork(records)
    copies = await rows(records)
    root, member = copies["r1"], copies["m-r1"]
    assert not {root.run_id, member.run_id} & {"r1", "m-r1"}
    assert (root.root_id, root.parent_id, root.lane, root.seq) == (root.run_id, None, "s2", 0)
    assert (member.root_id, member.parent_id, member.lane) == (root.run_id, root.run_id, None)
    assert (root.state, root.ended_at is not None) == (RunState.COMPLETED, True)
    (io,) = await records.select("SELECT * FROM run_io WHERE run_id = :r", r=root.run_id)
    (tool,) = json.loads(io["output"])["tools"]
    assert (tool["child_run_id"], tool["args"]) == (member.run_id, {"run_id": "r1"}), "others' words stay"
    assert (json.loads(io["output"])["content"], io["messages"]) == ("r1", '["r1"]')
    steps = {
        one["path"]: json.loads(one["result"])
        for one in await records.select("SELECT * FROM journal WHERE root_id = :r", r=root.run_id)
    }
    assert steps["p"] == {"history_runs": [root.run_id], "state": {"of": "r1"}}
    assert steps["t0/c0"] == {"result": "r1", "child_run_id": member.run_id}
    events = [event for _, event in await records.events(root.run_id)]
    assert [event.run_id for event in events] == [root.run_id] * 2
    assert events[0].data["tool"]["child_run_id"] == member.run_id
    assert events[1].data["members"] == [member.run_id]
    ((said),) = await records.database.read(of_run(messages.of_root, root.run_id))
    assert (said.run_id, said.text, said.taken_path) == (member.run_id, "r1", "t0/m")
    after = await records.everything()
    assert all(row in after[table] for table, rows_of_table in before.items() for row in rows_of_table), (
        "the original is as it was"
    )


async def test_a_copy_is_not_in_its_originals_trace_and_tells_nobody(records: Records) -> None:
    sent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    await delegated(records, "chosen", row={"webhooks": "https://example.com/hooks"})
    await delegated(records, "sent", row={"traceparent": sent})
    chosen = (await records.row("chosen")).trace_id
    await fork(records)
    for run in (await rows(records)).values():
        assert (run.trace_id, run.traceparent, run.webhooks) == (None, None, None)
    for trace, run_id in ((chosen, "chosen"), ("ab" * 16, "sent")):
        stored_trace = await records.database.scan(lambda tx, trace=trace: traces.get(tx, trace, None, NOBODY))  # type: ignore[misc]
        assert stored_trace is not None
        assert stored_trace.run.run_id == run_id


async def test_each_session_goes_alone(records: Records) -> None:
    await delegated(records, "r1")
    await fork(records)
    for session_id in ("s1", "s2"):
        (blob,) = (await records.everything())["blobs"]
        assert await records.database.read(lambda tx, name=blob["hash"]: blobs.get(tx, name)) == b"a picture"  # type: ignore[misc]
        await records.database.write(lambda tx, name=session_id: sessions.mark_deleted(tx, name, 900.0))  # type: ignore[misc]
        assert await records.database.write(lambda tx, name=session_id: session_deletion.remove_some_of(tx, name))  # type: ignore[misc]
    left = await records.counts()
    assert not {"blobs", "blob_uses", "runs", "run_io", "journal", "run_events", "sessions"} & set(left)


async def test_what_lives_is_left_out(records: Records) -> None:
    await delegated(records, "r1", RunState.ERROR)
    await delegated(records, "r2", RunState.CANCELLED)
    await records.started("at-work")
    await records.accept("waits")
    await fork(records)
    copies = await rows(records)
    assert set(copies) == {"r1", "m-r1", "r2", "m-r2"}
    assert [copies[name].seq for name in ("r1", "r2")] == [0, 1]
    next_run = (await records.accept("next", "s2")).run
    assert (next_run.state, next_run.seq) == (RunState.READY, 2)


async def test_a_run_that_ends_meanwhile_is_in_it_with_its_state_or_not_at_all(records: Records) -> None:
    await delegated(records, "r1")
    run = await records.started("r2")
    await asyncio.gather(fork(records), records.settle(run, state_delta={"set": {"b": 2}, "removed": []}))
    session, copies = await session_of(records), await rows(records)
    assert session.state == ({"a": 1, "b": 2} if "r2" in copies else {"a": 1})


async def test_a_run_that_goes_on_from_a_failed_one_does_so_in_the_copy(records: Records) -> None:
    await delegated(records, "r1", RunState.ERROR)
    await records.accept("r2", row={"forked_from": "r1"})
    stored_input = {
        "message": "m",
        "options": {"fork": {"of": "r1", "members": {"t0/c0": "m-r1"}}, "metadata": {"of": "r1"}},
    }
    await records.execute("UPDATE runs SET state = 'completed', holder = NULL WHERE run_id = 'r2'")
    await records.execute(
        "UPDATE run_io SET input = :i WHERE run_id = 'r2'", i=json.dumps(stored_input, separators=(",", ":"))
    )
    await fork(records)
    copies = await rows(records)
    assert copies["r2"].forked_from == copies["r1"].run_id
    (io,) = await records.select("SELECT input FROM run_io WHERE run_id = :r", r=copies["r2"].run_id)
    options = json.loads(io["input"])["options"]
    assert options["fork"] == {"of": copies["r1"].run_id, "members": {"t0/c0": copies["m-r1"].run_id}}
    assert options["metadata"] == {"of": "r1"}


async def test_the_session_is_the_callers(records: Records) -> None:
    await delegated(records, "r1", caller=ALICE, row={"owner": "alice", "user_id": "alice"})
    await records.execute(
        "UPDATE sessions SET name = 'Plan', summary = :s", s='{"summary":"x","as_of":1.0,"run_id":"r1"}'
    )
    await fork(records, caller=Caller(user_id="root", label="root", is_admin=True))
    session, copies = await session_of(records), await rows(records)
    assert (session.owner, session.user_id, session.name, session.state) == ("root", "root", "Plan", {"a": 1})
    assert (session.forked_from, session.next_seq, session.first_message) == ("s1", 1, "hello r1")
    assert session.summary == {"summary": "x", "as_of": 1.0, "run_id": copies["r1"].run_id}
    assert {(row.owner, row.user_id) for row in copies.values()} == {("root", "root")}


async def test_a_label_is_taken_over_unless_another_is_given(records: Records) -> None:
    await delegated(records, "r1", row={"user_id": "u1"})
    await fork(records)
    await fork(records, session_id="s3", user_id="u2")
    assert [(await session_of(records, name)).user_id for name in ("s2", "s3")] == ["u1", "u2"]


async def test_what_cannot_be_forked(records: Records) -> None:
    await records.accept("r1", caller=ALICE, row={"owner": "alice"})
    with pytest.raises(BadRequest):
        await fork(records)
    for changes in ({"source": "nope"}, {"caller": BOB}, {"component_id": "other"}, {"component_kind": "team"}):
        with pytest.raises(NotFound):
            await fork(records, **changes)
    assert (await records.counts())["sessions"] == 1


async def test_a_long_session_is_copied_in_pieces(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_forks, "PIECE_EVENTS", 60)
    monkeypatch.setattr(session_forks, "BATCH_ROWS", 3)
    for number in range(5):
        await delegated(records, f"r{number}")
    await fork(records)
    assert [name for name in await rows(records) if name.startswith("r")] == [f"r{number}" for number in range(5)]
    assert len(await records.select("SELECT * FROM run_events")) == 2 * len(
        await records.select("SELECT * FROM run_events WHERE root_id IN ('r0', 'r1', 'r2', 'r3', 'r4')")
    )


async def begun(records: Records) -> Fork:
    """A fork of which the rows of its runs are there, and the rest is not."""
    target = ForkTarget(session_id="s2", component_kind="agent", component_id="solo")
    planned = await records.database.scan(lambda tx: session_forks.plan(tx, "s1", target, NOBODY))
    await records.database.write(lambda tx: session_forks.begin(tx, planned))
    await records.database.write(lambda tx: session_forks.add_runs(tx, planned, list(planned.weights)))
    return planned


async def test_nobody_sees_a_fork_before_it_is_whole(records: Records) -> None:
    await delegated(records, "r1")
    started = await begun(records)
    copied = started.ids["r1"]

    async def seen(tx: Tx) -> list[object]:
        sessions_page, _ = await session_search.search(tx, SessionFilter(), NOBODY)
        view = await runs.view(tx, copied, "agent", "solo", None, NOBODY)
        return [await sessions.get(tx, "s2", NOBODY), view, *(one.session_id for one in sessions_page)]

    assert await records.database.scan(seen) == [None, None, "s1"]
    assert await records.database.scan(lambda tx: sessions.list_deleted(tx, clock.now())) == [], (
        "upkeep leaves it alone"
    )
    await records.database.write(lambda tx: session_forks.finish(tx, started))
    assert (await session_of(records)).forked_from == "s1"


async def test_a_fork_that_nobody_finishes_goes(records: Records) -> None:
    await delegated(records, "r1")
    before = await records.counts()
    started = await begun(records)
    late = clock.now() + session_forks.FINISH_SECONDS + 1
    assert await records.database.scan(lambda tx: sessions.list_deleted(tx, late)) == ["s2"]
    await records.database.write(lambda tx: session_forks.give_up(tx, started))
    assert await records.database.scan(lambda tx: sessions.list_deleted(tx, clock.now())) == ["s2"]
    with pytest.raises(Conflict):
        await records.database.write(lambda tx: session_forks.add(tx, started, []))
    with pytest.raises(Conflict):
        await records.database.write(lambda tx: session_forks.finish(tx, started))
    await records.database.write(lambda tx: session_deletion.remove_some_of(tx, "s2"))
    assert await records.counts() == before


async def test_a_session_that_is_deleted_while_it_is_forked_leaves_no_fork(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    await delegated(records, "r1")
    add_runs = session_forks.add_runs

    async def slipped_in(tx: Tx, planned: Fork, roots: Sequence[str]) -> None:
        await sessions.mark_deleted(tx, "s1", clock.now())
        await add_runs(tx, planned, roots)

    monkeypatch.setattr(session_forks, "add_runs", slipped_in)
    with pytest.raises(NotFound):
        await fork(records)
    assert await records.database.scan(lambda tx: sessions.list_deleted(tx, clock.now())) == ["s2"]


async def test_a_fork_of_which_runs_went_meanwhile_is_refused(records: Records) -> None:
    await delegated(records, "r1")
    target = ForkTarget(session_id="s2", component_kind="agent", component_id="solo")
    planned = await records.database.scan(lambda tx: session_forks.plan(tx, "s1", target, NOBODY))
    await records.database.write(lambda tx: session_forks.begin(tx, planned))
    await records.database.write(lambda tx: retention.remove_runs(tx, [Removable("r1", "s1", 1.0, 1)], clock.now()))
    with pytest.raises(Conflict):
        await records.database.write(lambda tx: session_forks.add_runs(tx, planned, ["r1"]))


async def test_no_transaction_of_a_fork_holds_more_than_a_batch(records: Records) -> None:
    await delegated(records, "r1")
    story = [Event(EventKind.CONTENT, "r1", 1.0, {"text": "x" * 1000})]
    for index in range(100, 2100):
        await records.execute(
            """INSERT INTO run_events (root_id, first_index, shard, count, payload)
               SELECT run_id, :i, shard, 1, :p FROM runs WHERE run_id = 'r1'""",
            i=index,
            p=json.dumps([[one.kind, one.run_id, one.at, one.data, ""] for one in story]),
        )
    originals = await records.database.scan(lambda tx: session_forks.originals(SessionTx(tx, "s1"), ["r1"]))
    target = ForkTarget(session_id="s2", component_kind="agent", component_id="solo")
    planned = await records.database.scan(lambda tx: session_forks.plan(tx, "s1", target, NOBODY))
    sizes = [len(batch) for batch in session_forks.batches(session_forks.copies(planned, originals))]
    assert len(sizes) > 4
    assert max(sizes) <= session_forks.BATCH_ROWS
    await fork(records)
    assert len(await records.select("SELECT * FROM run_events WHERE root_id <> 'r1'")) > 2000


async def test_the_same_request_twice_at_once_makes_one_session(records: Records) -> None:
    await delegated(records, "r1")
    request = Request(caller="", kind="fork", key="k", fingerprint="f")

    async def under_the_key(session_id: str) -> tuple[str, bool]:
        target = ForkTarget(session_id=session_id, component_kind="agent", component_id="solo")
        return await fork_session(records.database, "s1", target, NOBODY, request)

    results = await asyncio.gather(under_the_key("s2"), under_the_key("s3"))
    assert {session_id for session_id, _ in results} == {
        session_id for session_id, is_repeated in results if not is_repeated
    }
    assert sorted(is_repeated for _, is_repeated in results) == [False, True]
    left = await records.database.scan(lambda tx: session_search.search(tx, SessionFilter(), NOBODY))
    assert {one.session_id for one in left[0]} == {"s1", results[0][0]}
    assert (await under_the_key("s4"))[1]


def test_ids_are_replaced_where_our_own_records_name_runs() -> None:
    ids = {"a": "A", "b": "B"}
    record = {"run_id": "a", "tools": [{"child_run_id": "b", "args": {"run_id": "a"}, "result": "a"}], "name": "a"}
    assert renamed(record, ids) == {
        "run_id": "A",
        "tools": [{"child_run_id": "B", "args": {"run_id": "a"}, "result": "a"}],
        "name": "a",
    }
    assert renamed({"member_history": {"members": {"agent:x": ["a"]}, "team": ["b", "c"]}}, ids) == {
        "member_history": {"members": {"agent:x": ["A"]}, "team": ["B", "c"]}
    }


async def test_the_same_request_at_once_makes_one_session(records: Records) -> None:
    await delegated(records, "r1")
    request = Request(caller="", kind="fork", key="k", fingerprint="f")
    targets = [ForkTarget(session_id=name, component_kind="agent", component_id="solo") for name in ("s2", "s3")]
    forks = await asyncio.gather(
        *(fork_session(records.database, "s1", one, NOBODY, request) for one in targets),
    )
    assert {session_id for session_id, _ in forks} in ({"s2"}, {"s3"})
    assert sorted(was_here for _, was_here in forks) == [False, True]
    assert await visible(records, "s2", "s3") == [forks[0][0]]
