"""Approvals: tool calls that wait for a person, and the decisions about them."""

import json

from musterd.core import jsontext
from musterd.core.requirements import ApprovalRow, Requirement
from musterd.store.database import Row, Statement
from musterd.store.shards import SessionTx

ADD = Statement(
    "approval_add",
    """INSERT INTO approvals (id, shard, root_id, run_id, path, kind, state, approval_type, request, created_at,
                              expires_at, default_decision)
       VALUES (:id, :shard, :root_id, :run_id, :path, :kind, 'pending', :approval_type, :request, :created_at,
               :expires_at, :default_decision)""",
)
OF_ROOT = Statement(
    "approvals_of_root",
    """SELECT id, path, state, request, decision FROM approvals WHERE root_id = :root_id AND shard = :shard
       ORDER BY created_at, path""",
)
# Only a decided approval: a member's cancel may have closed it after the attempt read the decision, and then it stays
# closed.
CONSUME = Statement(
    "approval_consume",
    """UPDATE approvals SET state = 'consumed'
       WHERE root_id = :root AND shard = :shard AND path = :path AND state = 'decided'""",
)
# The inbox goes on showing what a person decided; only questions without a decision get the new status.
CLOSE = Statement(
    "approvals_close",
    """UPDATE approvals SET state = 'closed', status = CASE WHEN status = 'pending' THEN :status ELSE status END
       WHERE root_id = :root AND shard = :shard AND state IN ('pending', 'decided')""",
)
# The path of a member contains neither % nor _, so LIKE needs no escaping.
CLOSE_BELOW = Statement(
    "approvals_close_below",
    """UPDATE approvals SET state = 'closed', status = CASE WHEN status = 'pending' THEN 'cancelled' ELSE status END
       WHERE root_id = :root AND shard = :shard AND state IN ('pending', 'decided') AND path LIKE :below""",
)
CANCELLED, EXPIRED = "cancelled", "expired"


async def add(tx: SessionTx, root_id: str, requirement: Requirement) -> None:
    """Open a requirement."""
    await tx.run(
        ADD,
        {
            "id": requirement.id,
            "root_id": root_id,
            "run_id": requirement.run_id,
            "path": requirement.path,
            "kind": requirement.kind.value,
            "approval_type": requirement.approval_type,
            "request": jsontext.dumps(requirement.as_json()),
            "created_at": requirement.created_at,
            "expires_at": requirement.expires_at,
            "default_decision": requirement.default_decision,
        },
    )


async def close(tx: SessionTx, root_id: str, status: str = CANCELLED) -> None:
    """Close the open approvals of a run that finishes.

    :param status: the status of approvals that are still pending.
    """
    await tx.run(CLOSE, {"root": root_id, "status": status})


async def close_below(tx: SessionTx, root_id: str, path: str) -> None:
    """Close the open approvals of the member at ``path`` and below it; no attempt would act on a decision any more."""
    await tx.run(CLOSE_BELOW, {"root": root_id, "below": f"{path}/%"})


async def of_root(tx: SessionTx, root_id: str) -> list[ApprovalRow]:
    """All requirements of a run tree in order of creation, so the latest one about a call comes last."""
    return [_approval(row) for row in await tx.all(OF_ROOT, {"root_id": root_id})]


def _approval(row: Row) -> ApprovalRow:
    decision = row["decision"]
    return ApprovalRow(
        requirement=Requirement.from_json(json.loads(row["request"])),
        state=row["state"],
        decision=None if decision is None else json.loads(decision),
    )
