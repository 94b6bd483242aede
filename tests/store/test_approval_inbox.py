"""The inbox: one page of what waits over all runs, by an index, whoever asks."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from musterd.core.approvals import ApprovalFilter
from musterd.core.callers import Caller
from musterd.core.records import Output, RunRow, ToolCall
from musterd.core.requirements import Decision, Requirement, RequirementKind, Verdict
from musterd.features.schedules import store as schedules
from musterd.features.schedules.records import Firing, Trigger
from musterd.store import approval_inbox, decisions, pauses
from musterd.store.attempt_writes import Batch
from musterd.store.database import for_sqlite
from musterd.store.pauses import Pause
from tests.support.store import NOBODY, Records, lease_of, of_run

ANA = Caller(user_id="ana", label="ana")


def asks(run: RunRow, **changes: Any) -> Requirement:
    requirement = Requirement(
        id=f"ask {run.run_id}",
        kind=RequirementKind.CONFIRMATION,
        path="t0/c0",
        tool=ToolCall(id=f"call {run.run_id}", name="pay", args={"n": 1}, created_at=1.0),
        run_id=run.run_id,
        component_kind="agent",
        component_id="solo",
        component_name="Solo",
        created_at=run.created_at,
    )
    return replace(requirement, **changes)


async def pause(
    records: Records, run_id: str, owner: str | None = None, *, second: dict[str, Any] | None = None, **changes: Any
) -> None:
    caller = NOBODY if owner is None else Caller(user_id=owner, label=owner)
    row = {"owner": owner, "user_id": owner}
    run = await records.started(run_id, f"of {run_id}", row=row, caller=caller)
    opened = [asks(run, **changes)]
    if second is not None:
        opened.append(asks(run, id=f"also {run_id}", path="t0/c1", **second))
    how = Pause(at=5.0, expires_at=9_999.0, output=Output(content="why"), messages=["{}"])
    await records.database.write(lambda tx: pauses.pause(tx, lease_of(run), Batch(opened=opened), how))


async def search_inbox(records: Records, caller: Caller = NOBODY, **filters: Any) -> tuple[list[str], int]:
    approval_filter = ApprovalFilter(**filters)
    page, total = await records.database.scan(lambda tx: approval_inbox.search(tx, approval_filter, caller))
    return [one.root_id for one in page], total


async def test_pages_come_newest_first(records: Records) -> None:
    for number in range(5):
        await pause(records, f"r{number}")
    assert await search_inbox(records, limit=2) == (["r4", "r3"], 5)
    assert await search_inbox(records, limit=2, page=3) == (["r0"], 5)
    assert await search_inbox(records, limit=2, page=4) == ([], 5)
    said = [Decision(key="ask r3", verdict=Verdict.REFUSED)]
    how = decisions.DecisionSource(by="me", now=7.0)
    await records.database.write(of_run(decisions.decide, "r3", said, how))
    await records.cancel("r2")
    assert await search_inbox(records, status="pending") == (["r4", "r1", "r0"], 3)
    assert await search_inbox(records, status="rejected") == (["r3"], 1)
    assert await search_inbox(records, status="cancelled") == (["r2"], 1)


async def test_what_waits_is_listed_by_its_expiry(records: Records) -> None:
    for run_id, expires_at in (("late", 90.0), ("soon", 70.0), ("undeclared", None), ("between", 80.0)):
        await pause(records, run_id, expires_at=expires_at)
    second = {"expires_at": 60.0, "default_decision": "approve"}
    await pause(records, "first-and-last", second=second)  # without a time of its own the run goes on before that
    order: dict[str, Any] = {"status": "pending", "sort_by": "expires_at"}
    rows, total = await search_inbox(records, **order)
    assert rows == ["first-and-last", "soon", "between", "late", "undeclared", "first-and-last"]
    assert await search_inbox(records, **order, limit=2, page=2) == (rows[2:4], total)


async def test_a_user_sees_its_own(records: Records) -> None:
    await pause(records, "r1", "ana")
    await pause(records, "r2", "bob")
    assert await search_inbox(records, ANA) == (["r1"], 1)
    assert await search_inbox(records, ANA, user_id="bob") == ([], 0)
    assert await search_inbox(records) == (["r2", "r1"], 2)
    assert await records.database.read(lambda tx: approval_inbox.get(tx, "ask r2", ANA)) is None


async def test_approvals_of_a_schedule_are_those_of_the_runs_that_it_started(records: Records) -> None:
    for number, owner in enumerate(("ana", "bob", None, None)):
        await pause(records, f"r{number}", owner)
    for number, schedule_id in ((0, "s1"), (1, "s1"), (2, "s2")):
        firing = Firing(
            id=f"f{number}", schedule_id=schedule_id, created_at=1.0, trigger=Trigger.CRON, run_id=f"r{number}"
        )
        await records.database.write(lambda tx, firing=firing: schedules.add_firing(tx, firing))  # type: ignore[misc]
    assert await search_inbox(records, schedule_id="s1") == (["r1", "r0"], 2)
    assert await search_inbox(records, ANA, schedule_id="s1") == (["r0"], 1)
    assert await search_inbox(records, schedule_id="s1", run_id="r1") == (["r1"], 1)
    assert await search_inbox(records, schedule_id="s2", run_id="r1") == ([], 0)
    page, _ = await records.database.scan(lambda tx: approval_inbox.search(tx, ApprovalFilter(), NOBODY))
    assert [(one.schedule_id, one.firing_id) for one in page] == [
        (None, None),
        ("s2", "f2"),
        ("s1", "f1"),
        ("s1", "f0"),
    ]


async def test_what_is_audited_is_there_once_it_is_decided(records: Records) -> None:
    await pause(records, "r1", approval_type="audit")
    assert await search_inbox(records) == ([], 0)
    said = [Decision(key="ask r1", verdict=Verdict.RUN)]
    how = decisions.DecisionSource(by="me", now=7.0)
    await records.database.write(of_run(decisions.decide, "r1", said, how))
    assert await search_inbox(records, approval_type="audit", status="approved") == (["r1"], 1)


async def test_until_when_is_the_runs_own_limit_where_nothing_is_declared(records: Records) -> None:
    await pause(records, "r1")
    await pause(records, "r2", expires_at=77.0)
    page, _ = await records.database.scan(lambda tx: approval_inbox.search(tx, ApprovalFilter(), NOBODY))
    assert [one.expires_at for one in page] == [77.0, 9_999.0]


@pytest.mark.parametrize("filters", [{"status": "pending"}, {}, {"status": "approved", "team_id": "t"}])
def test_a_page_comes_from_the_index(template: Path, filters: dict[str, Any]) -> None:
    statement, params = approval_inbox.page_of(ApprovalFilter(**filters), NOBODY)
    with closing(sqlite3.connect(template)) as connection:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {for_sqlite(statement.text)}", params).fetchall()
    steps = [str(row[-1]) for row in rows]
    assert any("approvals_inbox" in step or "approvals_created" in step for step in steps), steps
    assert not any("TEMP B-TREE" in step or step.startswith(("SCAN r", "SCAN m", "SCAN s")) for step in steps), steps
