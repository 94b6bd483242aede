"""Decisions about what runs wait for: taken while a run is at work or paused, acted on by its next attempt."""

from collections.abc import Sequence
from dataclasses import dataclass

from musterd.core import jsontext
from musterd.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from musterd.core.records import RunRow
from musterd.core.requirements import ApprovalRow, Decision, Verdict, decision_problem, effective_decision
from musterd.core.states import RunState
from musterd.store import approvals, cancels, session_queue
from musterd.store.database import Statement, Tx

DECIDE = Statement(
    "approval_decide",
    """UPDATE approvals SET state = 'decided', status = :status, decision = :decision, decided_by = :by,
                            decided_at = :now, resolution_data = :data
       WHERE id = :id AND state = 'pending'""",
)
PENDING = Statement(
    "approvals_pending",
    "SELECT id, expires_at, default_decision FROM approvals WHERE root_id = :root AND state = 'pending' ORDER BY path",
)
ALREADY = "run is already continued"
EXPIRY = "expiry"
"""Who decides, where nobody does in time."""
NEEDS_APPROVAL = "needs approval: it is decided at POST /approvals/{id}/resolve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """Who decides, when, and where from.

    :param in_inbox: through the inbox of approvals, else as the run's own client.
    :param data: what the inbox was told with the decision, as JSON text.
    """

    by: str
    now: float
    in_inbox: bool = False
    data: str | None = None


async def decide(tx: Tx, root_id: str, decisions: Sequence[Decision], how: Deciding) -> RunRow:
    """Take decisions about a run's requirements; a paused run goes on when one of them is still to be acted on.

    :raises NotFound: there is no such run.
    :raises InvalidInput: a decision is about nothing that the run waits for, or not what it waits for.
    :raises Forbidden: a call needs approval, and this is not the inbox of approvals.
    :raises Conflict: it was decided otherwise already, or the run has ended.
    """
    run = await _locked(tx, root_id)
    rows = await approvals.of_root(tx, root_id)
    if run.state is not RunState.PAUSED and not (rows and decisions):
        raise Conflict(ALREADY)
    about = _about(rows, decisions)
    if run.component_kind == "agent" and not about:
        raise InvalidInput.at(("body", "tools"), "missing", "No tool that the run waits for has a decision")
    for row, said in about.values():
        await _decide_one(tx, run, row, said, how)
    if run.state is RunState.PAUSED:
        fresh = await approvals.of_root(tx, root_id)
        if any(row.state == "decided" for row in fresh):
            await session_queue.go_on(tx, run)
    return run


async def by_default(tx: Tx, run: RunRow, now: float) -> bool:
    """Take the declared decisions about what a paused run has waited too long for, and let it go on.

    The caller holds the run and its session. False: something has none, so the run cannot.
    """
    pending = await tx.all(PENDING, {"root": run.run_id})
    due = [row for row in pending if row["expires_at"] is not None and row["expires_at"] <= now]
    due = due or [row for row in pending if row["expires_at"] is None]
    if not due or any(row["default_decision"] is None for row in due):
        return False
    for row in due:
        decision = Decision.by_default(row["id"], row["default_decision"])
        await _store(tx, row["id"], decision, Deciding(by=EXPIRY, now=now))
    await session_queue.go_on(tx, run)
    return True


async def _locked(tx: Tx, root_id: str) -> RunRow:
    run = await cancels.lock_there(tx, root_id)
    if run is None:
        raise NotFound("Run not found")
    return run


def _about(rows: Sequence[ApprovalRow], decisions: Sequence[Decision]) -> dict[str, tuple[ApprovalRow, Decision]]:
    """What is decided, by requirement, without what says nothing yet."""
    found: dict[str, tuple[ApprovalRow, Decision]] = {}
    for decision in decisions:
        row = _known(rows, decision)
        said = effective_decision(decision, row.requirement)
        if said is None:
            continue
        _, first = found.setdefault(row.requirement.id, (row, said))
        if first.as_json() != said.as_json():
            problem = f"There are two decisions about {decision.key[:100]}"
            raise InvalidInput.at(("body", "requirements"), "two_decisions", problem)
    return found


def _known(rows: Sequence[ApprovalRow], decision: Decision) -> ApprovalRow:
    """What the decision is about: the last that was asked under this name."""
    for row in reversed(rows):
        if decision.key in (row.requirement.id, row.requirement.tool.id):
            return row
    problem = f"The run does not wait for {decision.key[:100]}"
    raise InvalidInput.at(("body", "requirements"), "unknown_requirement", problem)


async def _decide_one(tx: Tx, run: RunRow, known: ApprovalRow, decision: Decision, how: Deciding) -> None:
    if known.decision is not None:
        if known.decision != decision.as_json():
            raise Conflict(ALREADY)
        return
    if known.state != "pending" or run.state.is_final:
        raise Conflict(ALREADY)
    requirement = known.requirement
    if requirement.approval_type == "required" and not how.in_inbox:
        raise Forbidden(f"{requirement.tool.name} {NEEDS_APPROVAL.format(id=requirement.id)}")
    if problem := decision_problem(decision, requirement):
        raise InvalidInput.at(("body", "resolution_data" if how.in_inbox else "requirements"), "decision", problem)
    await _store(tx, requirement.id, decision, how)


async def _store(tx: Tx, approval_id: str, decision: Decision, how: Deciding) -> None:
    status = "rejected" if decision.verdict is Verdict.REFUSED else "approved"
    stored = {"status": status, "decision": jsontext.canonical(decision.as_json()), "data": how.data}
    await tx.run(DECIDE, {"id": approval_id, **stored, "by": how.by, "now": how.now})
