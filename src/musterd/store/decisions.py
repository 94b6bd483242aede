"""Decisions about approvals and interrupted tool calls: stored while a run works or is paused, used by an attempt."""

from collections.abc import Sequence
from dataclasses import dataclass

from musterd.core import jsontext
from musterd.core.errors import Conflict, Forbidden, InvalidInput, LeftUnfinished
from musterd.core.records import RunRow
from musterd.core.requirements import (
    ApprovalRow,
    Decision,
    Requirement,
    Verdict,
    decision_problem,
    effective_decision,
    how_to_decide,
)
from musterd.core.states import RunState
from musterd.store import approvals, run_locks, session_queue
from musterd.store.database import Statement
from musterd.store.shards import SessionTx

DECIDE = Statement(
    "approval_decide",
    """UPDATE approvals SET state = 'decided', status = :status, decision = :decision, decided_by = :by,
                            decided_at = :now, resolution_data = :data
       WHERE id = :id AND shard = :shard AND state = 'pending'""",
)
PENDING = Statement(
    "approvals_pending",
    """SELECT id, expires_at, default_decision FROM approvals
       WHERE root_id = :root AND shard = :shard AND state = 'pending' ORDER BY path""",
)
ALREADY = "run is already continued"
_ALREADY = {  # in AgentOS's words
    RunState.COMPLETED: ALREADY,
    RunState.ERROR: "run is already errored",
    RunState.CANCELLED: "run is already cancelled",
    RunState.RUNNING: "run is already running",
}
EXPIRY = "expiry"
"""The ``decided_by`` of a default decision, which is taken when no one decides in time."""
_MAX_QUESTIONS = 5
"""The most questions, or fields, that an error names."""
NEEDS_APPROVAL = "needs approval; decide it at POST /approvals/{id}/resolve"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionSource:
    """Where a decision comes from.

    :param in_inbox: whether it was made in the inbox of approvals; else by the run's own client.
    :param data: the resolution data that the inbox was given with the decision, as JSON text.
    """

    by: str
    now: float
    in_inbox: bool = False
    data: str | None = None


async def decide(tx: SessionTx, root_id: str, decisions: Sequence[Decision], source: DecisionSource) -> RunRow:
    """Store decisions about a run's requirements; a paused run resumes if a decision has not been acted on yet.

    Without decisions, a run that went on after a decision stays as it is: the decision came from the inbox.

    :raises NotFound: there is no such run.
    :raises InvalidInput: a decision is about something that the run does not wait for, or has the wrong form.
    :raises Forbidden: a call needs approval, and the decision does not come from the inbox of approvals.
    :raises Conflict: a different decision is stored already, or the run has finished.
    """
    # Locked until the commit: a pause of this run waits, and is then refused because of the stored decision
    # (transitions.PAUSE), so a decision can never be stored for a run that nothing resumes.
    run = await run_locks.require_locked(tx, root_id)
    if run.error_code == LeftUnfinished.run_code:
        raise Conflict(
            "The run was imported unfinished, so it takes no decisions; continue it without one to start it again"
        )
    rows = await approvals.of_root(tx, root_id)
    if run.state is not RunState.PAUSED and not decisions:
        if all(row.decision is None for row in rows):
            raise waits_for_nothing(run)
        return run
    if run.state is not RunState.PAUSED and not rows:
        raise waits_for_nothing(run)
    by_requirement = _by_requirement(rows, decisions)
    if run.component_kind == "agent" and not by_requirement:
        raise _nothing_decided(rows)
    for row, decision in by_requirement.values():
        await _decide_one(tx, run, row, decision, source)
    if run.state is RunState.PAUSED:
        # Read again: the decisions above changed their states. One is enough to resume: the attempt acts on it, and
        # pauses again for the others.
        rows = await approvals.of_root(tx, root_id)
        if any(row.state == "decided" for row in rows):
            await session_queue.resume(tx, run)
    return run


def waits_for_nothing(run: RunRow) -> Conflict:
    """The error for a request to continue a run that waits for no decision."""
    return Conflict(_ALREADY.get(run.state, "run is already pending"))


def _nothing_decided(rows: Sequence[ApprovalRow]) -> InvalidInput:
    """The error for a request to an agent that decides nothing. It names what the run waits for, and what to send."""
    pending = [row.requirement for row in rows if row.state == "pending"]
    questions = [f"{_name_of(each)}: {_advice(each, in_tools=True)}" for each in pending[:_MAX_QUESTIONS]]
    words = f"No decision about what the run waits for. {'; '.join(questions)}"
    return InvalidInput.at(("body", "tools"), "missing", words)


async def by_default(tx: SessionTx, run: RunRow, now: float) -> bool:
    """Store the default decisions about overdue requirements of a paused run, and resume it.

    The caller has locked the run and its session. False: a requirement has no default decision, so the run cannot
    resume.
    """
    pending = await tx.all(PENDING, {"root": run.run_id})
    due = [row for row in pending if row["expires_at"] is not None and row["expires_at"] <= now]
    # If no question is overdue by its own time, the run's general limit has passed. It applies to questions without a
    # time of their own.
    due = due or [row for row in pending if row["expires_at"] is None]
    if not due or any(row["default_decision"] is None for row in due):
        return False
    for row in due:
        decision = Decision.by_default(row["id"], row["default_decision"])
        await _store(tx, row["id"], decision, DecisionSource(by=EXPIRY, now=now))
    await session_queue.resume(tx, run)
    return True


def _by_requirement(
    rows: Sequence[ApprovalRow], decisions: Sequence[Decision]
) -> dict[str, tuple[ApprovalRow, Decision]]:
    """The decisions by requirement id, without those that do not decide anything yet."""
    by_requirement: dict[str, tuple[ApprovalRow, Decision]] = {}
    by_key = _by_key(rows)
    for sent in decisions:
        if (row := by_key.get(sent.key)) is None:
            problem = f"The run is not waiting for {sent.key[:100]}"
            raise InvalidInput.at(_location(sent), "unknown_requirement", problem)
        _require_its_list(sent, row.requirement)
        decision = effective_decision(sent, row.requirement)
        if decision is None:
            if sent.unknown_fields:
                raise _no_such_field(sent, row.requirement)
            continue
        _, first = by_requirement.setdefault(row.requirement.id, (row, decision))
        if first.as_json() != decision.as_json():
            problem = f"There are two decisions for {sent.key[:100]}"
            raise InvalidInput.at(_location(sent), "two_decisions", problem)
    return by_requirement


def _by_key(rows: Sequence[ApprovalRow]) -> dict[str | None, ApprovalRow]:
    """The approvals by what a decision may name: their id, tool call id or step id. The latest one has precedence."""
    by_key: dict[str | None, ApprovalRow] = {}
    for row in rows:
        requirement = row.requirement
        step_id = (requirement.step or {}).get("step_id")
        by_key.update(dict.fromkeys((requirement.id, requirement.tool.id, step_id), row))
    return by_key


def _location(decision: Decision) -> tuple[str, str]:
    return "body", decision.field or "resolution_data"


def _require_its_list(sent: Decision, requirement: Requirement) -> None:
    if sent.field in (None, requirement.list_name) or (sent.field == "tools" and requirement.step is None):
        return
    problem = f"{_name_of(requirement)} is not one of `{sent.field}`; {_advice(requirement)}"
    raise InvalidInput.at(_location(sent), "decision", problem)


def _no_such_field(sent: Decision, requirement: Requirement) -> InvalidInput:
    names = ", ".join(f"`{name[:100]}`" for name in sent.unknown_fields[:_MAX_QUESTIONS])
    advice = _advice(requirement, in_tools=sent.field == "tools")
    problem = f"{_name_of(requirement)} has no field {names}; {advice}"
    return InvalidInput.at(_location(sent), "extra_forbidden", problem)


def _name_of(requirement: Requirement) -> str:
    return f"{requirement.tool.name} ({requirement.id})"


def _advice(requirement: Requirement, *, in_tools: bool = False) -> str:
    if requirement.approval_type == "required":
        return NEEDS_APPROVAL.format(id=requirement.id)
    return how_to_decide(requirement, in_tools=in_tools)


async def _decide_one(tx: SessionTx, run: RunRow, row: ApprovalRow, decision: Decision, source: DecisionSource) -> None:
    if row.decision is not None:  # the same decision may be sent again
        if row.decision != decision.as_json():
            raise Conflict(ALREADY)
        return
    if run.state.is_final:
        raise waits_for_nothing(run)
    if row.state != "pending":
        raise Conflict(ALREADY)
    requirement = row.requirement
    if requirement.approval_type == "required" and not source.in_inbox:
        raise Forbidden(f"{requirement.tool.name} {NEEDS_APPROVAL.format(id=requirement.id)}")
    if problem := decision_problem(decision, requirement):
        raise InvalidInput.at(_location(decision), "decision", problem)
    await _store(tx, requirement.id, decision, source)


async def _store(tx: SessionTx, approval_id: str, decision: Decision, source: DecisionSource) -> None:
    status = "rejected" if decision.verdict is Verdict.REFUSED else "approved"
    stored = {"status": status, "decision": jsontext.canonical(decision.as_json()), "data": source.data}
    await tx.run(DECIDE, {"id": approval_id, **stored, "by": source.by, "now": source.now})
