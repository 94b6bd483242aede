"""Sessions: what they keep, how they are found, how they go."""

import json
from typing import Any

import pytest

from musterd.core.callers import Caller
from musterd.core.errors import Conflict
from musterd.core.events import Event, EventKind
from musterd.core.records import SessionRow
from musterd.core.states import RunState
from musterd.store import blobs, history, run_removal, session_deletion, session_search, sessions
from musterd.store.session_search import SessionFilter
from tests.support.store import NOBODY, Records, member_of, of_run, step

ALICE, BOB = Caller(user_id="alice", label="alice"), Caller(user_id="bob", label="bob")


async def get(records: Records, session_id: str, caller: Caller = NOBODY) -> SessionRow | None:
    return await records.database.read(lambda tx: sessions.get(tx, session_id, caller))


async def bury(records: Records, session_id: str = "s1") -> None:
    await records.database.write(lambda tx: sessions.mark_deleted(tx, session_id, 900.0))


async def remove(records: Records, session_id: str = "s1") -> bool:
    return await records.database.write(lambda tx: session_deletion.remove_some_of(tx, session_id))


async def test_a_session_is_made_by_its_first_run(records: Records) -> None:
    await records.accept("r1", row={"user_id": "label"})
    session = await get(records, "s1")
    assert session is not None
    assert (session.owner, session.user_id, session.component_kind, session.component_id) == (
        None, "label", "agent", "solo",
    )  # fmt: skip
    assert (session.name, session.first_message, session.state, session.metadata) == (None, "hello r1", {}, None)
    await records.accept("r2", row={"user_id": "other", "component_id": "another"})
    again = await get(records, "s1")
    assert again is not None
    assert (again.user_id, again.component_id, again.first_message) == ("label", "solo", "hello r1")
    assert again.updated_at > session.updated_at == session.created_at


async def test_an_owner_sees_its_own_session_alone(records: Records) -> None:
    await records.accept("r1", "mine", caller=ALICE, row={"owner": "alice"})
    await records.accept("r2", "nobodys")
    assert [await get(records, "mine", who) is not None for who in (ALICE, BOB, NOBODY)] == [True, False, True]
    assert await get(records, "nobodys", ALICE) is None


# Made ahead of its runs, and changed


def new_session(session_id: str = "s1", **changes: Any) -> SessionRow:
    values: dict[str, Any] = {"owner": None, "user_id": None, "component_kind": "agent", "component_id": ""}
    values |= {"name": None, "first_message": "", "state": {}, "metadata": None, "next_seq": 0}
    return SessionRow(session_id=session_id, created_at=50.0, updated_at=50.0, **{**values, **changes})


async def add(records: Records, session: SessionRow) -> None:
    await records.database.write(lambda tx: sessions.add(tx, session))


async def change(records: Records, caller: Caller = NOBODY, session_id: str = "s1", **changes: Any) -> bool:
    session_changes = sessions.SessionChanges(**changes)
    return (
        await records.database.write(lambda tx: sessions.change(tx, session_id, session_changes, caller, 60.0))
        is not None
    )


async def test_a_session_may_be_there_before_its_first_run(records: Records) -> None:
    await add(records, new_session(state={"a": 1}, metadata={"m": 1}, name="Plan"))
    assert await get(records, "s1") == new_session(state={"a": 1}, metadata={"m": 1}, name="Plan")
    first = (await records.accept("r1", row={"user_id": "u1", "component_kind": "team"})).run
    await records.accept("r2", row={"user_id": "u2", "component_id": "other"})
    session = await get(records, "s1")
    assert session is not None
    assert (first.seq, session.next_seq, session.first_message) == (0, 2, "hello r1")
    assert (session.component_kind, session.component_id, session.user_id) == ("team", "solo", "u1")
    assert (session.state, session.metadata, session.name) == ({"a": 1}, {"m": 1}, "Plan")


async def test_what_it_was_made_for_stays(records: Records) -> None:
    await add(records, new_session(component_kind="team", component_id="desk", user_id="u1"))
    await records.accept("r1", row={"user_id": "u2", "component_id": "other"})
    session = await get(records, "s1")
    assert session is not None
    assert (session.component_kind, session.component_id, session.user_id) == ("team", "desk", "u1")
    assert session.first_message == "hello r1"


async def test_an_id_is_taken_once(records: Records) -> None:
    await records.accept("r1", "s1")
    await add(records, new_session("s2"))
    await bury(records, "s2")
    for taken in ("s1", "s2"):
        with pytest.raises(Conflict):
            await add(records, new_session(taken))
    assert (await get(records, "s1")) is not None


async def test_a_session_without_runs_is_none_that_a_model_may_look_into(records: Records) -> None:
    await records.accept("r1", "s1", row={"user_id": "ada"})
    await add(records, new_session("s2", user_id="ada", component_id="solo"))
    run = (await records.accept("r3", "s3", row={"user_id": "ada"})).run
    sessions_read = await records.database.scan(lambda tx: history.other_sessions(tx, run, 5, 5))
    assert [row["session_id"] for row, _ in sessions_read] == ["s1"]


async def test_a_change_stays_when_a_run_at_work_ends(records: Records) -> None:
    run = await records.started("r1")
    assert await change(records, name="", state={"a": 1, "b": 1}, metadata={"m": 1})
    await records.settle(run, state_delta={"set": {"b": 2, "c": 2}, "removed": []})
    session = await get(records, "s1")
    assert session is not None
    assert (session.name, session.state, session.metadata) == ("", {"a": 1, "b": 2, "c": 2}, {"m": 1})


async def test_what_is_not_given_stays(records: Records) -> None:
    summary = {"summary": "x", "topics": [], "as_of": 1.0, "run_id": ""}
    await add(records, new_session(name="Plan", state={"a": 1}, metadata={"m": 1}))
    assert await change(records, summary=summary)
    assert await get(records, "s1") == SessionRow(
        **{
            name: getattr(new_session(name="Plan", state={"a": 1}, metadata={"m": 1}), name)
            for name in SessionRow.__slots__
            if name not in ("summary", "updated_at")
        },
        summary=summary,
        updated_at=60.0,
    )


async def test_nobody_changes_what_it_may_not_see(records: Records) -> None:
    await records.accept("r1", "mine", caller=ALICE, row={"owner": "alice"})
    await records.accept("r2", "gone")
    await bury(records, "gone")
    assert not await change(records, BOB, "mine", name="x")
    assert not await change(records, session_id="gone", name="x")
    assert not await change(records, session_id="nope", name="x")
    assert await change(records, ALICE, "mine", name="x")
    assert [row["name"] for row in await records.select("SELECT name FROM sessions ORDER BY session_id")] == [None, "x"]


# Deleting


async def test_a_deleted_session_is_gone_at_once(records: Records) -> None:
    await records.started("r1")
    await bury(records)
    assert await get(records, "s1") is None
    assert await page(records) == ([], 0)


async def test_what_lives_is_cancelled_last_first_in_pieces(records: Records) -> None:
    done = await records.started("r0")
    await records.append(done, started=[member_of(done, "m0")])
    await records.settle(done)
    for number in (1, 2, 3):
        await records.accept(f"r{number}")
    await records.execute("UPDATE runs SET state = 'paused' WHERE run_id = 'r2'")
    await records.started("r4", "s2")

    async def cancel() -> list[str]:
        cancelled = await records.database.write(lambda tx: session_deletion.cancel_live(tx, "s1", 901.0, limit=2))
        return [done.run.run_id for done in cancelled]

    assert await cancel() == [], "it was not deleted"
    await bury(records)
    assert await cancel() == ["r3", "r2"]
    assert await records.database.scan(lambda tx: session_deletion.to_cancel(tx, 1e9)) == ["s1"]
    assert await cancel() == ["r1"]
    assert await cancel() == []
    states = await records.states()
    assert {name: states[name] for name in ("r1", "r2", "r3", "r4")} == {
        "r1": "cancelled", "r2": "cancelled", "r3": "cancelled", "r4": "running",
    }  # fmt: skip
    assert await records.database.scan(lambda tx: session_deletion.is_any_removable(tx, 1e9)), "its rows can go"
    assert await records.database.scan(lambda tx: session_deletion.to_cancel(tx, 1e9)) == []
    await remove(records)
    assert not await records.database.scan(lambda tx: session_deletion.is_any_removable(tx, 1e9))


async def test_a_run_that_is_stopping_is_waited_for(records: Records) -> None:
    run = await records.started("r1")
    await bury(records)
    await records.database.write(lambda tx: session_deletion.cancel_live(tx, "s1", 901.0))
    assert not await records.database.scan(lambda tx: session_deletion.is_any_removable(tx, 1e9))
    assert await records.database.write(lambda tx: session_deletion.remove_some(tx, 1e9)) == 0
    await records.settle(run, RunState.CANCELLED)
    assert await records.database.scan(lambda tx: session_deletion.is_any_removable(tx, 1e9))


async def test_deleted_sessions_go_together(records: Records) -> None:
    for number in range(5):
        await records.settle(await records.started(f"r{number}", f"s{number}"))
    await records.started("live", "s9")
    for session in ("s0", "s1", "s2", "s9"):
        await bury(records, session)
    assert await records.database.write(lambda tx: session_deletion.remove_some(tx, 1e9)) == 6, (
        "three runs, three sessions"
    )
    assert set(await records.states()) == {"r3", "r4", "live"}
    assert await records.database.write(lambda tx: session_deletion.remove_some(tx, 1e9)) == 0


async def test_rows_go_when_the_last_run_has_ended(records: Records) -> None:
    run = await records.started("r1", has_chosen_id=True)
    await records.append(
        run,
        started=[member_of(run, "m1")],
        steps=[step(run, "t0/m")],
        events=[Event(EventKind.RUN_STARTED, "r1", 1.0)],
    )
    other = await records.started("other", "s2", has_chosen_id=True)
    await records.append(other, started=[member_of(other, "m2")], steps=[step(other, "t0/m")])
    await records.database.write(of_run(blobs.put, "r1", [b"its own", b"of both"], 1.0))
    await records.database.write(of_run(blobs.put, "other", [b"of both"], 1.0))
    before = await records.everything()
    assert not await remove(records), "it was not deleted"
    await bury(records)
    assert not await remove(records), "a run lives"
    assert (await records.counts())["runs"] == 4
    settled = await records.settle(run, RunState.CANCELLED)
    assert settled.is_session_deleted
    assert await remove(records)
    left = await records.everything()
    for table, rows in left.items():
        assert all("s1" not in row.values() and "r1" not in row.values() and "m1" not in row.values() for row in rows)
        assert all(row in before[table] for row in rows), "another session's rows are as they were"
    assert [row["content"] for row in left["blobs"]] == [b"of both"]
    assert not await remove(records)
    assert await records.database.scan(lambda tx: sessions.list_deleted(tx, 1e9)) == []


async def test_a_large_session_goes_a_few_runs_at_a_time(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes meanwhile waits for one piece, and a process that dies in between leaves the rest to others."""
    monkeypatch.setattr(run_removal, "AT_ONCE", 2)
    for number in range(5):
        await records.settle(await records.started(f"r{number}"))
    await bury(records)
    for left in (3, 1, 0):
        assert await remove(records)
        assert len(await records.states()) == left
        is_left = bool(await records.database.scan(lambda tx: sessions.list_deleted(tx, 1000.0)))
        assert is_left == (left > 0)
    assert not await remove(records)


async def test_state_of_a_buried_session_is_nobodys_business(records: Records) -> None:
    run = await records.started("r1")
    await bury(records)
    await bury(records)
    assert await records.database.scan(lambda tx: sessions.list_deleted(tx, 1e9)) == ["s1"]
    await records.settle(run, RunState.CANCELLED, state_delta={"set": {"a": 1}, "removed": []})
    await remove(records)
    await records.accept("r2")
    session = await get(records, "s1")
    assert session is not None
    assert (session.state, session.next_seq) == ({}, 1)


async def test_a_run_may_end_after_its_session_was_removed(records: Records) -> None:
    run = await records.started("r1")
    await records.execute("DELETE FROM sessions")
    settled = await records.settle(run, state_delta={"set": {"a": 1}, "removed": []})
    assert (settled.promoted, settled.is_session_deleted) == (None, False)


# Finding


async def page(records: Records, caller: Caller = NOBODY, **filters: Any) -> tuple[list[str], int]:
    rows, count = await records.database.scan(
        lambda tx: session_search.search(
            tx, SessionFilter(**{"sort_by": "created_at", "descending": False, **filters}), caller
        )
    )
    return [session.session_id for session in rows], count


async def named(records: Records, *names: str | None) -> None:
    """Sessions 0, 1, …; where a name is None the first message is shown."""
    for number, name in enumerate(names):
        await records.accept(f"r{number}", str(number))
        await records.execute("UPDATE sessions SET name = :n WHERE session_id = :i", n=name, i=str(number))


async def test_pages_hold_every_session_once(records: Records) -> None:
    await named(records, *[None] * 7)
    await records.execute("UPDATE sessions SET created_at = 5.0")  # ties are broken by the id
    pages = [await page(records, limit=3, page=number) for number in (1, 2, 3, 4)]
    assert pages == [(["0", "1", "2"], 7), (["3", "4", "5"], 7), (["6"], 7), ([], 7)]
    assert await page(records, limit=3, page=0) == pages[0]
    down = [await page(records, limit=4, page=number, descending=True) for number in (1, 2)]
    assert down == [(["6", "5", "4", "3"], 7), (["2", "1", "0"], 7)]


@pytest.mark.parametrize(
    "name, expected",
    [
        ("%", ["1"]),
        ("_", ["2"]),
        ("\\", ["3"]),
        ("'", ["4"]),
        ("REPORT", ["0", "1", "2"]),
        ("hello r5", ["5"]),
        ("über", ["6"]),
        ("ÜBERSICHT", ["6"]),
        ("*", []),
    ],
)
async def test_a_name_is_searched_literally_and_in_any_case(records: Records, name: str, expected: list[str]) -> None:
    await named(records, "Report", "100% report", "my_report", "back\\slash", "o'clock", None, "Die Übersicht")
    assert await page(records, name=name) == (expected, len(expected))


async def test_a_given_name_hides_the_first_message(records: Records) -> None:
    await named(records, "Given")
    assert await page(records, name="hello") == ([], 0)


@pytest.mark.parametrize("key, order", [("session_name", "120"), ("updated_at", "201"), ("created_at", "012")])
async def test_sorting(records: Records, key: str, order: str) -> None:
    await named(records, "c", "a", "b")
    for place, session in enumerate("201"):
        await records.execute("UPDATE sessions SET updated_at = :at WHERE session_id = :i", at=900.0 + place, i=session)
    assert key in session_search.ORDERS
    assert (await page(records, sort_by=key))[0] == list(order)
    assert (await page(records, sort_by=key, descending=True))[0] == list(reversed(order))


async def test_filters_meet(records: Records) -> None:
    await records.accept("r0", "0", row={"user_id": "u1"})
    await records.accept("r1", "1", row={"user_id": "u1", "component_kind": "team"})
    await records.accept("r2", "2", row={"user_id": "u2", "component_id": "other"})
    await records.accept("r3", "3", caller=ALICE, row={"owner": "alice", "user_id": "alice"})
    assert await page(records, user_id="u1") == (["0", "1"], 2)
    assert await page(records, component_kind="agent", component_id="solo") == (["0", "3"], 2)
    assert await page(records, user_id="u1", component_kind="team", name="r1") == (["1"], 1)
    assert await page(records, ALICE) == (["3"], 1)
    assert await page(records, BOB) == ([], 0)
    assert await page(records, ALICE, user_id="u1") == ([], 0)


async def test_what_a_session_keeps_is_json(records: Records) -> None:
    run = await records.started("r1")
    value = {"ü": [1.5, None, True, "\x00", "\ud800"], "": {}}
    await records.settle(run, state_delta={"set": value, "removed": []})
    session = await get(records, "s1")
    assert session is not None
    assert session.state == value
    assert json.loads((await records.select("SELECT state FROM sessions"))[0]["state"]) == value
