"""Lists of runs: pages of a session's trees, what lives in it, pages over all sessions."""

from typing import Any

import pytest

from musterd.core.callers import Caller
from musterd.core.queueing import OnBusy
from musterd.core.records import RunView
from musterd.core.states import RunState
from musterd.store import run_lists, sessions
from musterd.store.attempt_writes import MemberRecord
from musterd.store.run_lists import RunsQuery, SessionRunsQuery
from tests.support.store import NOBODY, Records, member_of

ALICE = Caller(user_id="alice", label="alice")


async def listed(records: Records, session_id: str = "s1", **filters: Any) -> list[str]:
    query = SessionRunsQuery(session_id=session_id, **filters)
    return [view.row.run_id for view in await records.database.scan(lambda tx: run_lists.of_session(tx, query))]


async def page(records: Records, caller: Caller = NOBODY, **filters: Any) -> list[str]:
    return [view.row.run_id for view in await views(records, caller, **filters)]


async def views(records: Records, caller: Caller = NOBODY, **filters: Any) -> list[RunView]:
    return await records.database.scan(lambda tx: run_lists.page(tx, RunsQuery(**filters), caller))


async def ended(records: Records, run_id: str, session_id: str = "s1", state: str = "completed", **row: Any) -> None:
    """A run that has ended, with a member that completed."""
    run = await records.started(run_id, session_id, row=row)
    member = member_of(run, f"m-{run_id}")
    await records.append(run, started=[member])
    member.run.state, member.run.ended_at = RunState.COMPLETED, 1.0
    await records.append(run, ended=[MemberRecord(run=member.run, messages=['"member"'])])
    await records.settle(run, RunState(state), messages=['{"said":1}'])


# Of a session


async def test_a_page_holds_the_last_trees_in_order(records: Records) -> None:
    for number in range(4):
        await ended(records, f"r{number}")
    await ended(records, "elsewhere", "s2")
    assert sorted(await listed(records)) == sorted([*(f"r{n}" for n in range(4)), *(f"m-r{n}" for n in range(4))])
    assert set(await listed(records, limit=2)) == {"r2", "m-r2", "r3", "m-r3"}
    assert set(await listed(records, limit=2, before="r2")) == {"r0", "m-r0", "r1", "m-r1"}
    assert set(await listed(records, limit=1, before="r2")) == {"r1", "m-r1"}
    assert await listed(records, before="r0") == []
    for unknown in ("nope", "m-r2", "elsewhere"):
        assert await listed(records, before=unknown) == []


async def test_trees_stand_in_the_order_of_the_line(records: Records) -> None:
    """A delayed run gets its place when it is due."""
    await records.accept("later", row={"not_before": 500.0})
    await ended(records, "first")
    await records.execute("UPDATE runs SET seq = 9 WHERE run_id = 'later'")
    roots = [name for name in await listed(records) if not name.startswith("m-")]
    assert roots == ["first", "later"]


async def test_a_limit_counts_trees_that_have_something_to_list(records: Records) -> None:
    await ended(records, "bad-1", state="error")
    await ended(records, "good")
    await ended(records, "bad-2", state="error")
    assert await listed(records, states={RunState.ERROR}) == ["bad-1", "bad-2"]
    assert await listed(records, states={RunState.ERROR}, limit=1) == ["bad-2"]
    assert await listed(records, states={RunState.ERROR}, limit=1, before="bad-2") == ["bad-1"]
    assert set(await listed(records, states={RunState.COMPLETED})) == {"good", "m-good", "m-bad-1", "m-bad-2"}
    assert await listed(records, states=set()) == []


async def test_times_count_in(records: Records) -> None:
    for number in range(3):
        await records.accept(f"r{number}", row={"created_at": 100.0 + number})
    assert await listed(records, created_after=101.0) == ["r1", "r2"]
    assert await listed(records, created_before=101.0) == ["r0", "r1"]
    assert await listed(records, created_after=100.5, created_before=101.5) == ["r1"]


async def test_only_a_components(records: Records) -> None:
    await ended(records, "r1")
    await records.accept("r2", row={"component_id": "other"})
    assert set(await listed(records, component=("agent", "solo"))) == {"r1", "m-r1"}
    assert await listed(records, component=("agent", "other")) == ["r2"]
    assert await listed(records, component=("agent", "helper")) == [], "a member's own component has no runs here"
    assert await listed(records, component=("team", "solo")) == []


async def test_members_are_listed_when_their_root_is_not_at_work(records: Records) -> None:
    """A chat page that loads the session meanwhile would show a member's task as something that the user said."""
    run = await records.started("r1")
    member = member_of(run, "m-r1")
    await records.append(run, started=[member])
    member.run.state, member.run.ended_at = RunState.COMPLETED, 1.0
    await records.append(run, ended=[MemberRecord(run=member.run, messages=['"member"'])])
    for state in ("running", "ready", "queued"):  # also after a crash, and after a decision on a paused run
        await records.execute("UPDATE runs SET state = :state WHERE run_id = 'r1'", state=state)
        assert await listed(records) == ["r1"], state
        assert await listed(records, states={RunState.COMPLETED}, limit=1) == []
        assert await listed(records, states={RunState(state), RunState.COMPLETED}, limit=1) == ["r1"]
    for state in ("paused", "completed", "error", "cancelled"):
        await records.execute("UPDATE runs SET state = :state WHERE run_id = 'r1'", state=state)
        assert set(await listed(records)) == {"r1", "m-r1"}, state
        assert "m-r1" in await listed(records, states={RunState.COMPLETED}, limit=1)


async def test_conversations_are_read_where_they_are_shown(records: Records) -> None:
    await ended(records, "r1")
    for has_messages in (True, False):
        query = SessionRunsQuery(session_id="s1", has_messages=has_messages)
        listed_views = await records.database.scan(lambda tx, query=query: run_lists.of_session(tx, query))  # type: ignore[misc]
        (root,) = [view for view in listed_views if view.row.run_id == "r1"]
        assert root.messages == ([{"said": 1}] if has_messages else None)
        assert root.input.message == "hello r1"


# What lives


async def test_what_lives_in_the_order_of_its_line(records: Records) -> None:
    await ended(records, "over")
    await records.started("at-work")
    for name in ("queued-1", "queued-2"):
        await records.accept(name)
    await records.accept("interrupter", row={"on_busy": OnBusy.INTERRUPT})
    await records.accept("beside", row={"on_busy": OnBusy.PARALLEL})
    await records.accept("delayed", row={"not_before": 500.0})
    await records.accept("delayed-interrupter", row={"not_before": 500.0, "on_busy": OnBusy.INTERRUPT})
    await records.accept("elsewhere", "s2")
    live_runs = await records.database.scan(lambda tx: run_lists.live(tx, "s1"))
    positions = {view.row.run_id: view.queue_position for view, _ in live_runs}
    assert list(positions) == [
        "at-work", "queued-1", "queued-2", "interrupter", "beside", "delayed", "delayed-interrupter",
    ]  # fmt: skip
    assert positions == {name: await records.position(name) for name in positions}, "as one look at each says"
    assert (positions["interrupter"], positions["queued-2"], positions["delayed"]) == (1, 3, 4)


async def test_a_pause_says_when_it_is_over(records: Records) -> None:
    await records.accept("r1")
    await records.execute("UPDATE runs SET state = 'paused', expires_at = 700.0, holder = NULL WHERE run_id = 'r1'")
    ((view, expires_at),) = await records.database.scan(lambda tx: run_lists.live(tx, "s1"))
    assert (view.row.state, expires_at, view.queue_position) == (RunState.PAUSED, 700.0, None)


# Of everybody


async def test_pages_hold_every_root_once_newest_first(records: Records) -> None:
    for number in range(5):
        await ended(records, f"r{number}", f"s{number % 2}")
    await records.execute("UPDATE runs SET created_at = 50.0 WHERE run_id IN ('r1', 'r2', 'r3')")  # ties: by the id
    run_ids: list[str] = []
    after = None
    while rows := await views(records, limit=2, after=after):
        run_ids += [view.row.run_id for view in rows]
        after = (rows[-1].row.created_at, rows[-1].row.run_id)
    assert run_ids == ["r4", "r0", "r3", "r2", "r1"]
    assert all(view.messages is None for view in await views(records))


async def test_filters_meet(records: Records) -> None:
    await ended(records, "r1", "s1", user_id="u1")
    await ended(records, "r2", "s2", "error", user_id="u2")
    await records.accept("r3", "s3", row={"user_id": "u1", "component_kind": "team", "component_id": "desk"})
    await records.accept("r4", "s3", row={"user_id": "u1", "component_kind": "team", "component_id": "desk"})
    assert await page(records, user_id="u1") == ["r4", "r3", "r1"]
    assert await page(records, component=("team", "desk")) == ["r4", "r3"]
    assert await page(records, session_id="s1") == ["r1"]
    assert await page(records, states={RunState.ERROR}) == ["r2"]
    assert await page(records, states={RunState.READY, RunState.QUEUED, RunState.COMPLETED}) == ["r4", "r3", "r1"]
    assert await page(records, states={RunState.READY, RunState.QUEUED}, limit=1) == ["r4"]
    assert await page(records, user_id="u1", states={RunState.ERROR}) == []
    r2 = (await records.row("r2")).created_at
    assert await page(records, created_after=r2) == ["r4", "r3", "r2"]
    assert await page(records, created_before=r2) == ["r2", "r1"]


async def test_everybody_sees_its_own(records: Records) -> None:
    await records.accept("hers", "s1", caller=ALICE, row={"owner": "alice", "user_id": "alice"})
    await records.accept("nobodys", "s2", row={"user_id": "alice"})
    assert await page(records, ALICE) == ["hers"]
    assert await page(records, ALICE, states={RunState.READY}) == ["hers"]
    assert await page(records, ALICE, session_id="s2") == []
    assert await page(records, Caller(user_id="root", is_admin=True)) == ["nobodys", "hers"]


@pytest.mark.parametrize("states", [None, {RunState.READY}])
async def test_a_deleted_sessions_are_gone(records: Records, states: Any) -> None:
    await records.accept("r1", "s1")
    await records.accept("r2", "s2")
    await records.database.write(lambda tx: sessions.mark_deleted(tx, "s1", 900.0))
    assert await page(records, states=states) == ["r2"]
