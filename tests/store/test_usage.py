"""Daily usage: counted from runs, for each owner, and not less after runs are removed."""

from functools import partial
from typing import Any

from musterd.core.callers import Caller
from musterd.core.records import StepKind, Usage
from musterd.features.usage import store as usage
from musterd.features.usage.records import DayFigures
from musterd.features.usage.store import EVERYBODY
from musterd.store import retention, session_deletion, sessions
from musterd.store.database import Tx
from musterd.store.run_removal import Removable
from tests.support.store import Records, member_of, step

ADA, BOB = Caller(user_id="ada", label="ada"), Caller(user_id="bob", label="bob")
FIRST, SECOND = "1970-01-02", "1970-01-03"
DAY_SECONDS = 86400.0


async def ran(records: Records, run_id: str, session_id: str, at: float, caller: Caller = ADA, **row: Any) -> None:
    """A run with a member and two model calls, of 3 and 4 tokens, accepted at ``at`` and over."""
    root = await records.started(
        run_id,
        session_id,
        caller=caller,
        row={"created_at": at, "owner": caller.user_id, "user_id": caller.user_id, **row},
    )
    steps = [
        step(root, "t0/m", kind=StepKind.MODEL, usage=Usage(input_tokens=2, output_tokens=1)),
        step(root, "t0/c0/t0/m", kind=StepKind.MODEL, usage=Usage(input_tokens=4, cache_read_tokens=1)),
    ]
    await records.append(root, started=[member_of(root, f"{run_id}-m")], steps=steps)
    await records.settle(root)


async def counted(records: Records, day: str = FIRST, owner: str | None = None) -> dict[str, DayFigures]:
    return await records.database.scan(lambda tx: usage.count(tx, day, owner))


async def removed(records: Records, session_id: str) -> None:
    """The session is deleted, and its rows are gone."""

    async def work(tx: Tx) -> bool:
        await sessions.mark_deleted(tx, session_id, 5 * DAY_SECONDS)
        return await session_deletion.remove_some_of(tx, session_id, [usage.keep_removed])

    assert await records.database.write(work)


async def test_a_day_counts_what_was_accepted_in_it(records: Records) -> None:
    for run_id, session, at in (("r1", "s1", 1.0), ("r2", "s1", 1.5), ("r3", "s2", 1.999), ("r4", "s1", 2.0)):
        await ran(records, run_id, session, at * DAY_SECONDS)
    await ran(records, "r5", "s5", 1.1 * DAY_SECONDS, BOB, component_kind="team", model="big")
    figures = await counted(records)
    assert set(figures) == {"ada", "bob", EVERYBODY}
    everybody = figures[EVERYBODY]
    assert (everybody.runs, everybody.sessions) == ({"agent": 3, "team": 1}, {"agent": 2, "team": 1})
    assert everybody.users_count == 2
    assert not everybody.users & {"ada", "bob"}, "nobody is named"
    assert everybody.usage == Usage(input_tokens=24, output_tokens=4, cache_read_tokens=4)
    assert everybody.models == {("scripted", "Scripted"): 7, ("big", "Scripted"): 1}
    assert figures["ada"].runs == {"agent": 3}
    assert (await counted(records, SECOND))[EVERYBODY].runs == {"agent": 1}
    assert set(await counted(records, owner="bob")) == {"bob", EVERYBODY}


async def test_a_workflow_counts_the_models_of_its_steps_and_has_none_itself(records: Records) -> None:
    await ran(records, "r1", "s1", 1.5 * DAY_SECONDS, component_kind="workflow", model="", model_provider="")
    everybody = (await counted(records))[EVERYBODY]
    assert everybody.runs == {"workflow": 1}
    assert everybody.models == {("scripted", "Scripted"): 1}


async def test_a_deleted_session_still_counts(records: Records) -> None:
    await ran(records, "r1", "s1", DAY_SECONDS)
    await ran(records, "r2", "s1", 2 * DAY_SECONDS)
    await ran(records, "r3", "s3", DAY_SECONDS)
    await ran(records, "r4", "s4", DAY_SECONDS, BOB)
    before = [await counted(records, day) for day in (FIRST, SECOND)]
    for session_id in ("s1", "s4", "s3"):
        await removed(records, session_id)
        assert [await counted(records, day) for day in (FIRST, SECOND)] == before
    days = await records.database.scan(lambda tx: usage.days_with_removed_runs(tx, None, FIRST, SECOND))
    assert days == {FIRST, SECOND}


async def test_runs_that_go_before_their_session_still_count(records: Records) -> None:
    for run_id in ("r1", "r2", "r3"):
        await ran(records, run_id, "s1", DAY_SECONDS)
    before = (await counted(records))["ada"]

    async def work(tx: Tx) -> None:
        await usage.keep_removed(tx, ["r1", "r2"], 9.0)

    await records.database.write(work)
    await records.execute("DELETE FROM journal WHERE root_id <> 'r3'")
    await records.execute("DELETE FROM runs WHERE root_id <> 'r3'")
    after = (await counted(records))["ada"]
    assert (after.runs, after.usage, after.models, after.users) == (
        before.runs, before.usage, before.models, before.users,
    )  # fmt: skip


async def test_days_between_on_which_nothing_ran_are_left_alone(records: Records) -> None:
    for run_id, day in (("r1", 1), ("r2", 1000)):
        await ran(records, run_id, "s1", day * DAY_SECONDS)
    await removed(records, "s1")
    rows = await records.select("SELECT DISTINCT day FROM daily_metrics ORDER BY day")
    assert [row["day"] for row in rows] == [FIRST, usage.day_of(1000 * DAY_SECONDS)]


async def test_a_session_whose_runs_go_a_few_at_a_time_is_one_session(records: Records) -> None:
    for run_id in ("r1", "r2", "r3"):
        await ran(records, run_id, "s1", DAY_SECONDS)
    await ran(records, "r4", "s1", 2 * DAY_SECONDS)
    before = [await counted(records, day) for day in (FIRST, SECOND)]
    for roots in (["r1"], ["r2"], ["r3", "r4"]):
        runs = [Removable(root, "s1", 1.0, 1) for root in roots]
        await records.database.write(partial(retention.remove_runs, runs=runs, now=9.0, hooks=[usage.keep_removed]))
        assert [await counted(records, day) for day in (FIRST, SECOND)] == before


async def test_a_session_that_is_deleted_while_a_day_is_being_kept_still_counts(records: Records) -> None:
    await ran(records, "r1", "s1", DAY_SECONDS)
    await ran(records, "r2", "s2", DAY_SECONDS, BOB)
    before = await counted(records)
    # Owners' figures are kept a slice at a time, everybody's last. Here a stop comes after the first slice.
    await records.database.write(lambda tx: usage.close(tx, FIRST, {"ada": before["ada"]}, 9.0, late_imports=0))
    await removed(records, "s1")
    after = await counted(records)
    assert after[EVERYBODY].without_names() == before[EVERYBODY].without_names()
    assert after["ada"] == before["ada"].without_names()


async def test_a_day_that_is_kept_does_not_change(records: Records) -> None:
    await ran(records, "r1", "s1", DAY_SECONDS)
    await ran(records, "r2", "s2", DAY_SECONDS)
    await removed(records, "s2")
    figures = await counted(records)
    await records.database.write(lambda tx: usage.close(tx, FIRST, figures, 9.0, late_imports=0))
    await removed(records, "s1")
    again = {EVERYBODY: DayFigures()}
    assert not await records.database.write(lambda tx: usage.close(tx, FIRST, again, 10.0, late_imports=0))
    for owner, users in ((None, 1), ("ada", 1)):
        (day,) = await records.database.scan(partial(usage.closed_days, owner=owner, first=FIRST, last=SECOND))
        assert (day.day, day.figures.runs, day.figures.users_count) == (FIRST, {"agent": 2}, users)
        assert day.figures.usage == Usage(input_tokens=12, output_tokens=2, cache_read_tokens=2)
    assert await records.database.scan(lambda tx: usage.days_with_removed_runs(tx, None, FIRST, SECOND)) == set()


async def test_runs_that_come_late_are_added_to_a_day_that_is_kept(records: Records) -> None:
    await ran(records, "r1", "s1", DAY_SECONDS)
    kept = await counted(records)
    await records.database.write(lambda tx: usage.close(tx, FIRST, kept, 9.0, late_imports=0))
    late: list[tuple[str, str, Caller]] = [("r2", "s1", ADA), ("r3", "s3", ADA), ("r4", "s4", BOB)]
    for run_id, session_id, caller in late:
        await ran(records, run_id, session_id, DAY_SECONDS, caller)
        await records.database.write(partial(usage.add_late, roots=[run_id], now=10.0))
    expected: list[tuple[str | None, int, int, int]] = [(None, 4, 3, 2), ("ada", 3, 2, 1), ("bob", 1, 1, 1)]
    for owner, runs, sessions_count, users in expected:
        (day,) = await records.database.scan(partial(usage.closed_days, owner=owner, first=FIRST, last=SECOND))
        assert (day.figures.runs, day.figures.sessions) == ({"agent": runs}, {"agent": sessions_count})
        assert (day.figures.users_count, day.figures.usage.input_tokens) == (users, 6 * runs)
        assert day.figures.models == {("scripted", "Scripted"): 2 * runs}


async def test_runs_that_come_late_are_added_to_the_owners_whose_figures_are_kept(records: Records) -> None:
    await ran(records, "r1", "s1", DAY_SECONDS)
    kept = await counted(records)
    await records.database.write(
        lambda tx: usage.close(tx, FIRST, {"ada": kept["ada"]}, 9.0, late_imports=0)
    )  # a stop came here
    for run_id, caller in (("r2", ADA), ("r3", BOB)):
        await ran(records, run_id, f"s-{run_id}", DAY_SECONDS, caller)
        await records.database.write(partial(usage.add_late, roots=[run_id], now=10.0))
    after = await counted(records)
    assert {owner: figures.runs for owner, figures in after.items()} == {
        "ada": {"agent": 2}, "bob": {"agent": 1}, EVERYBODY: {"agent": 3},
    }  # fmt: skip


async def closes(records: Records, figures: dict[str, DayFigures], *owners: str) -> bool:
    """Whether the first day is closed with these figures, or those of some owners are stored."""
    late_imports = figures[EVERYBODY].late_imports
    chosen = {owner: figures[owner] for owner in owners or figures}
    return await records.database.write(lambda tx: usage.close(tx, FIRST, chosen, 9.0, late_imports=late_imports))


async def imported(records: Records, run_id: str, caller: Caller = ADA) -> None:
    await ran(records, run_id, f"s-{run_id}", DAY_SECONDS, caller)
    await records.database.write(partial(usage.add_late, roots=[run_id], now=10.0))


async def test_a_day_is_not_closed_with_figures_from_before_an_import(records: Records) -> None:
    await ran(records, "r1", "s1", DAY_SECONDS)
    await ran(records, "r2", "s2", DAY_SECONDS)
    before = await counted(records)
    await imported(records, "r3")
    await removed(records, "s2")
    assert not await closes(records, before)
    await imported(records, "r4", BOB)
    assert not await closes(records, before)
    after = await counted(records)
    assert after[EVERYBODY].runs == {"agent": 4}
    assert await closes(records, after)
    for owner, runs in ((None, 4), ("ada", 3), ("bob", 1)):
        (day,) = await records.database.scan(partial(usage.closed_days, owner=owner, first=FIRST, last=SECOND))
        assert (day.figures.runs, day.figures.usage.input_tokens) == ({"agent": runs}, 6 * runs)


async def test_an_import_between_two_slices_of_closing_a_day_is_counted(records: Records) -> None:
    await ran(records, "r1", "s1", DAY_SECONDS)
    await ran(records, "r2", "s2", DAY_SECONDS, BOB)
    before = await counted(records)
    assert await closes(records, before, "ada")
    await imported(records, "r3")
    assert not await closes(records, before, "bob", EVERYBODY)
    after = await counted(records)
    assert {owner: figures.runs for owner, figures in after.items()} == {
        "ada": {"agent": 2}, "bob": {"agent": 1}, EVERYBODY: {"agent": 3},
    }  # fmt: skip
    assert await closes(records, after)
    (day,) = await records.database.scan(partial(usage.closed_days, owner=None, first=FIRST, last=SECOND))
    assert day.figures.runs == {"agent": 3}


async def test_figures_of_earlier_programs_are_read() -> None:
    figures = DayFigures(runs={"agent": 1}).as_json()
    del figures["late_imports"]
    assert DayFigures.from_json(figures) == DayFigures(runs={"agent": 1})


async def test_what_runs_is_told_from_what_is_over(records: Records) -> None:
    root = await records.started("r1", row={"created_at": DAY_SECONDS + 5})
    assert await records.database.scan(lambda tx: usage.has_live(tx, FIRST))
    assert not await records.database.scan(lambda tx: usage.has_live(tx, SECOND))
    await records.settle(root)
    assert not await records.database.scan(lambda tx: usage.has_live(tx, FIRST))
    assert await records.database.scan(lambda tx: usage.next_day(tx, 0.0, None)) == FIRST
    assert await records.database.scan(lambda tx: usage.next_day(tx, 0.0, "ada")) is None
    assert await records.database.scan(lambda tx: usage.next_day(tx, 2 * DAY_SECONDS, None)) is None
