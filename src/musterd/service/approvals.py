"""Approvals: the inbox of approvals that runs wait for, and decisions that are made there."""

from musterd.core import clock, jsontext
from musterd.core.approvals import Approval, ApprovalFilter, Resolution
from musterd.core.callers import Caller
from musterd.core.errors import Conflict, NotFound
from musterd.core.records import RunRow
from musterd.core.requirements import Decision, Verdict
from musterd.core.states import RunState
from musterd.engine.resources import Resources
from musterd.store import approval_inbox, run_locks
from musterd.store.database import Tx
from musterd.store.decisions import DecisionSource, decide
from musterd.store.shards import SessionTx


class ApprovalService:
    """The use cases of approvals."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def search(self, approval_filter: ApprovalFilter, caller: Caller) -> tuple[list[Approval], int]:
        """One page of approvals and the total number of matches."""
        return await self._resources.database.scan(lambda tx: approval_inbox.search(tx, approval_filter, caller))

    async def count(self, approval_filter: ApprovalFilter, caller: Caller) -> int:
        """The number of approvals that match."""
        return await self._resources.database.scan(lambda tx: approval_inbox.count(tx, approval_filter, caller))

    async def view(self, approval_id: str, caller: Caller) -> Approval:
        """One approval.

        :raises NotFound: there is no such approval that this caller may see.
        """
        return await self._resources.database.read(lambda tx: _get(tx, approval_id, caller))

    async def resolve(self, approval_id: str, resolution: Resolution, caller: Caller) -> Approval:
        """Store a decision and return the approval as it is afterwards. If the run is paused, it goes on.

        :raises NotFound: there is no such approval that this caller may see.
        :raises Conflict: it is decided already, or its run has finished; the message has the outcome.
        :raises InvalidInput: the decision does not fit what the tool call waits for.
        """
        data = None if resolution.data is None else jsontext.canonical(resolution.data)
        by = caller.user_id or resolution.by or "client"
        deciding = DecisionSource(by=by, now=clock.now(), in_inbox=True, data=data)

        async def work(tx: Tx) -> tuple[Approval, RunRow]:
            approval = await _get(tx, approval_id, caller)
            session = SessionTx(tx, approval.session_id)
            await run_locks.lock_unless_deleted(session, approval.root_id)
            # Read it again under the lock: the transaction that held the run may have decided it or ended the run.
            approval = await _get(tx, approval_id, caller)
            _require_pending(approval)
            run = await decide(session, approval.root_id, [_decision(approval, resolution)], deciding)
            return await _get(tx, approval_id, caller), run

        approval, run = await self._resources.database.write(work)
        if run.state is RunState.READY:
            self._resources.bus.send_ready(run)
        else:  # the run waits for more decisions
            self._resources.bus.send_change()
        return approval

    async def delete(self, approval_id: str, caller: Caller) -> None:
        """Delete the record of an approval whose run has finished.

        :raises NotFound: there is no such approval that this caller may see.
        :raises Conflict: its run still needs it.
        """

        async def work(tx: Tx) -> None:
            approval = await _get(tx, approval_id, caller)
            if not approval.run_state.is_final:
                raise Conflict("The run has not finished and still needs this approval; resolve it or cancel the run")
            await approval_inbox.remove(SessionTx(tx, approval.session_id), approval_id)

        await self._resources.database.write(work)


async def _get(tx: Tx, approval_id: str, caller: Caller) -> Approval:
    approval = await approval_inbox.get(tx, approval_id, caller)
    if approval is None:
        raise NotFound("Approval not found")
    return approval


def _require_pending(approval: Approval) -> None:
    if approval.status != "pending":
        by = f" by {approval.decided_by}" if approval.decided_by else ""
        raise Conflict(f"Approval is already '{approval.status}'{by} and cannot be resolved")


def _decision(approval: Approval, resolution: Resolution) -> Decision:
    requirement, data = approval.requirement, resolution.data or {}
    if not resolution.is_approved:
        return Decision(key=requirement.id, verdict=Verdict.REFUSED, note=data.get("note"))
    result = data.get("result")
    verdict = Verdict.RUN if result is None else Verdict.HAPPENED
    return Decision(key=requirement.id, verdict=verdict, result=result, values=data.get("values"))
