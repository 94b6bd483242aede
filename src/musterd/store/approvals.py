"""Approvals: tool calls that wait for a person, and what was decided about them."""

import json

from musterd.core import jsontext
from musterd.core.requirements import ApprovalRow, Requirement
from musterd.store.database import Row, Statement, Tx

ADD = Statement(
    "approval_add",
    """INSERT INTO approvals (id, root_id, run_id, path, kind, state, request, created_at, expires_at)
       VALUES (:id, :root_id, :run_id, :path, :kind, 'pending', :request, :created_at, :expires_at)
       ON CONFLICT (root_id, path) DO UPDATE SET id = excluded.id, state = 'pending', request = excluded.request,
           decision = NULL,
           created_at = excluded.created_at, decided_at = NULL, consumed_at = NULL, expires_at = excluded.expires_at""",
)
OF_ROOT = Statement(
    "approvals_of_root",
    "SELECT id, path, state, request, decision FROM approvals WHERE root_id = :root_id ORDER BY created_at, path",
)
CONSUME = Statement(
    "approval_consume",
    "UPDATE approvals SET state = 'consumed', consumed_at = :now WHERE root_id = :root AND path = :path",
)
CLOSE = Statement(
    "approvals_close", "UPDATE approvals SET state = 'closed' WHERE root_id = :root AND state IN ('pending', 'decided')"
)


async def add(tx: Tx, root_id: str, requirement: Requirement, expires_at: float | None) -> None:
    """Open a requirement."""
    await tx.run(
        ADD,
        {
            "id": requirement.id,
            "root_id": root_id,
            "run_id": requirement.run_id,
            "path": requirement.path,
            "kind": requirement.kind.value,
            "request": jsontext.dumps(requirement.as_json()),
            "created_at": requirement.created_at,
            "expires_at": expires_at,
        },
    )


async def of_root(tx: Tx, root_id: str) -> list[ApprovalRow]:
    """The requirements of a run tree, open and decided ones, in order."""
    return [_approval(row) for row in await tx.all(OF_ROOT, {"root_id": root_id})]


def _approval(row: Row) -> ApprovalRow:
    decision = row["decision"]
    return ApprovalRow(
        requirement=Requirement.from_json(json.loads(row["request"])),
        state=row["state"],
        decision=None if decision is None else json.loads(decision),
    )
