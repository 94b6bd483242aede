"""Decisions about what runs wait for: taken while a run is at work or paused, acted on by its next attempt."""

from collections.abc import Sequence

from musterd.core import jsontext
from musterd.core.errors import Conflict, InvalidInput, NotFound
from musterd.core.records import RunRow
from musterd.core.requirements import ApprovalRow, Decision
from musterd.core.states import RunState
from musterd.store import acceptance, approvals, cancels, lanes, sessions
from musterd.store.database import Statement, Tx
from musterd.store.rows import run_row

DECIDE = Statement(
    "approval_decide",
    """UPDATE approvals SET state = 'decided', decision = :decision, decided_by = :by, decided_at = :now
       WHERE id = :id AND state = 'pending'""",
)
CONTINUE = Statement(
    "run_continue",
    """UPDATE runs SET state = :state, holder = :holder, expires_at = NULL, version = version + 1
       WHERE run_id = :run_id AND state = 'paused'""",
)
ALREADY = "run is already continued"


async def decide(tx: Tx, root_id: str, decisions: Sequence[Decision], by: str, now: float) -> RunRow:
    """Take decisions about a run's requirements; a paused run goes on when one of them is still to be acted on.

    :raises NotFound: there is no such run.
    :raises InvalidInput: a decision is about nothing that the run waits for.
    :raises Conflict: it was decided otherwise already, or the run has ended.
    """
    run = await _locked(tx, root_id)
    rows = await approvals.of_root(tx, root_id)
    if run.state is not RunState.PAUSED and not (rows and decisions):
        raise Conflict(ALREADY)
    if run.component_kind == "agent" and not decisions:
        raise InvalidInput.at(("body", "tools"), "missing", "No tool that the run waits for has a decision")
    for decision in decisions:
        await _decide_one(tx, run, rows, decision, by, now)
    if run.state is RunState.PAUSED:
        fresh = await approvals.of_root(tx, root_id)
        if any(row.state == "decided" for row in fresh):
            await _continue(tx, run)
    return run


async def _locked(tx: Tx, root_id: str) -> RunRow:
    """The root's row, locked after its session's, as everywhere."""
    row = await tx.one(acceptance.GET_RUN, {"run_id": root_id})
    if row is None:
        raise NotFound("Run not found")
    await sessions.lock(tx, row["session_id"])
    locked = await tx.one(cancels.GET, {"run_id": root_id})
    if locked is None:
        raise NotFound("Run not found")
    return run_row(locked)


async def _decide_one(
    tx: Tx, run: RunRow, rows: Sequence[ApprovalRow], decision: Decision, by: str, now: float
) -> None:
    known = next((row for row in rows if decision.key in (row.requirement.id, row.requirement.tool.id)), None)
    if known is None:
        problem = f"The run does not wait for {decision.key[:100]}"
        raise InvalidInput.at(("body", "requirements"), "unknown_requirement", problem)
    wanted = decision.as_json()
    if known.decision is not None:
        if known.decision != wanted:
            raise Conflict(ALREADY)
        return
    if known.state != "pending" or run.state not in (RunState.PAUSED, RunState.RUNNING):
        raise Conflict(ALREADY)
    params = {"id": known.requirement.id, "decision": jsontext.canonical(wanted), "by": by, "now": now}
    await tx.run(DECIDE, params)


async def _continue(tx: Tx, run: RunRow) -> None:
    """Let a paused run go on: ready where its line is free, else in the queue by its old place."""
    await lanes.come_back(tx, run)
    await tx.run(CONTINUE, {"run_id": run.run_id, "state": run.state.value, "holder": run.holder})
