"""The inbox of approvals: what waits for a person, and what was decided, over all runs."""

import json
from typing import Any

from musterd.core.approvals import Approval, ApprovalFilter
from musterd.core.callers import Caller
from musterd.core.requirements import Requirement
from musterd.core.states import RunState
from musterd.store.database import Row, Statement, Tx

_FROM = """FROM approvals a JOIN runs r ON r.run_id = a.root_id
                JOIN sessions s ON s.session_id = r.session_id AND s.deleted_at IS NULL
           WHERE (a.approval_type IS NULL OR a.approval_type <> 'audit' OR a.status <> 'pending')"""
_COLUMNS = """a.id, a.root_id, a.status, a.approval_type, a.request, a.decision, a.decided_by, a.created_at,
              a.decided_at, COALESCE(a.expires_at, CASE a.status WHEN 'pending' THEN r.expires_at END) AS expires_at,
              a.resolution_data, r.session_id, r.user_id, r.owner, r.state AS run_state,
              r.component_kind AS source_type, r.component_id AS source_id, r.component_name AS source_name"""
GET = Statement("approval_get", f"SELECT {_COLUMNS} {_FROM} AND a.id = :id")
REMOVE = Statement("approval_remove", "DELETE FROM approvals WHERE id = :id")
_CONDITIONS = {
    "status": "a.status = :status",
    "approval_type": "a.approval_type = :approval_type",
    "pause_type": "a.kind = :pause_type",
    "source_type": "r.component_kind = :source_type",
    "agent_id": """EXISTS (SELECT 1 FROM runs m WHERE m.run_id = a.run_id AND m.component_kind = 'agent'
                        AND m.component_id = :agent_id)""",
    "team_id": "r.component_kind = 'team' AND r.component_id = :team_id",
    "user_id": "r.user_id = :user_id",
    "run_id": "a.root_id = :run_id",
    "owner": "r.owner = :owner",
}


def _where(wanted: ApprovalFilter, caller: Caller) -> tuple[str, dict[str, Any]]:
    params = {name: value for name in _CONDITIONS if (value := getattr(wanted, name, None)) is not None}
    if caller.sees_only is not None:
        params["owner"] = caller.sees_only
    return "".join(f" AND {_CONDITIONS[name]}" for name in params), params


def page_of(wanted: ApprovalFilter, caller: Caller) -> tuple[Statement, dict[str, Any]]:
    """The statement that reads one page, newest first, and its parameters."""
    where, params = _where(wanted, caller)
    text = f"SELECT {_COLUMNS} {_FROM}{where} ORDER BY a.created_at DESC, a.id DESC LIMIT :limit OFFSET :offset"
    name = "approvals_page " + " ".join(params)
    return Statement(name, text), {**params, "limit": wanted.limit, "offset": (wanted.page - 1) * wanted.limit}


async def search(tx: Tx, wanted: ApprovalFilter, caller: Caller) -> tuple[list[Approval], int]:
    """One page of approvals, newest first, and the number of all that match."""
    statement, params = page_of(wanted, caller)
    return [_approval(row) for row in await tx.all(statement, params)], await count(tx, wanted, caller)


async def count(tx: Tx, wanted: ApprovalFilter, caller: Caller) -> int:
    """How many approvals match."""
    where, params = _where(wanted, caller)
    statement = Statement("approvals_count " + " ".join(params), f"SELECT count(*) AS n {_FROM}{where}")
    row = await tx.one(statement, params)
    return 0 if row is None else int(row["n"])


async def get(tx: Tx, approval_id: str, caller: Caller) -> Approval | None:
    """The approval, or None when there is none that this caller may see."""
    row = await tx.one(GET, {"id": approval_id})
    if row is None or not caller.may_see(row["owner"]):
        return None
    return _approval(row)


async def remove(tx: Tx, approval_id: str) -> None:
    """Remove an approval whose run has ended."""
    await tx.run(REMOVE, {"id": approval_id})


def _approval(row: Row) -> Approval:
    decision, data = row["decision"], row["resolution_data"]
    return Approval(
        requirement=Requirement.from_json(json.loads(row["request"])),
        status=row["status"],
        root_id=row["root_id"],
        session_id=row["session_id"],
        user_id=row["user_id"],
        run_state=RunState(row["run_state"]),
        source_type=row["source_type"],
        source_id=row["source_id"],
        source_name=row["source_name"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        decision=None if decision is None else json.loads(decision),
        resolution_data=None if data is None else json.loads(data),
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
    )
