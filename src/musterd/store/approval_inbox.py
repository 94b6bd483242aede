"""The inbox of approvals: pending and decided approvals across all runs."""

import json
from typing import Any

from musterd.core.approvals import Approval, ApprovalFilter
from musterd.core.callers import Caller
from musterd.core.requirements import Requirement
from musterd.core.states import RunState
from musterd.store.database import Row, Statement, Tx
from musterd.store.rows import FIRING_COLUMNS
from musterd.store.sessions import DELETED
from musterd.store.shards import SessionTx

_IS_LISTED = f"""(a.approval_type IS NULL OR a.approval_type <> 'audit' OR a.status <> 'pending')
                 AND r.session_id NOT IN {DELETED}"""
_FROM = f"FROM approvals a CROSS JOIN runs r WHERE r.run_id = a.root_id AND r.shard = a.shard AND {_IS_LISTED}"
"""Starts from the approvals, because most runs have none. SQLite keeps the order of a CROSS JOIN."""
_FROM_OWN = f"""FROM runs r CROSS JOIN approvals a
                WHERE a.root_id = r.run_id AND a.shard = r.shard AND r.parent_id IS NULL AND {_IS_LISTED}"""
"""Starts from the runs of one user, because there may be no approval of the user among the newest ones."""
_FROM_FIRINGS = f"""FROM firings f CROSS JOIN runs r CROSS JOIN approvals a
                    WHERE f.schedule_id = :schedule_id AND r.run_id = f.run_id AND a.root_id = r.run_id
                      AND a.shard = r.shard AND {_IS_LISTED}"""
"""Starts from the firings of one schedule, because most runs are not its."""
_RUN_EXPIRY = """CASE WHEN a.status = 'pending' AND NOT EXISTS (
                     SELECT 1 FROM approvals o WHERE o.root_id = a.root_id AND o.shard = a.shard AND o.state = 'pending'
                     AND o.expires_at <= r.expires_at AND o.default_decision IS NOT NULL) THEN r.expires_at END"""
"""When the run fails for want of this decision. Unknown while another question is decided by default before that: its
run then goes on, and the next pause begins a new limit."""
_COLUMNS = f"""a.id, a.root_id, a.status, a.approval_type, a.request, a.decision, a.decided_by, a.created_at,
              a.decided_at, COALESCE(a.expires_at, {_RUN_EXPIRY}) AS expires_at,
              a.resolution_data, r.session_id, r.user_id, r.owner, r.state AS run_state,
              r.component_kind AS source_type, r.component_id AS source_id, r.component_name AS source_name,
              {FIRING_COLUMNS}"""
GET = Statement("approval_get", f"SELECT {_COLUMNS} {_FROM} AND a.id = :id")
REMOVE = Statement("approval_remove", "DELETE FROM approvals WHERE id = :id AND shard = :shard")
_EQUAL = {
    "status": "a.status",
    "approval_type": "a.approval_type",
    "pause_type": "a.kind",
    "source_type": "r.component_kind",
    "user_id": "r.user_id",
    "run_id": "a.root_id",
    "owner": "r.owner",
}
_MEMBER = """EXISTS (SELECT 1 FROM runs m WHERE m.run_id = a.run_id AND m.shard = a.shard
                     AND m.component_kind = 'agent' AND m.component_id = :agent_id)"""
_TEAM = "r.component_kind || '' = 'team' AND r.component_id || '' = :team_id"
_WORKFLOW = "r.component_kind || '' = 'workflow' AND r.component_id || '' = :workflow_id"
_SCHEDULE = "EXISTS (SELECT 1 FROM firings f WHERE f.run_id = r.run_id AND f.schedule_id || '' = :schedule_id)"
_OTHER = {"agent_id": _MEMBER, "team_id": _TEAM, "workflow_id": _WORKFLOW, "schedule_id": _SCHEDULE}
ORDERS = {"created_at": "a.created_at DESC, a.id DESC", "expires_at": "expires_at NULLS LAST, a.created_at, a.id"}
"""What clients may sort by. No index has the time of expiry, because it depends on the run too."""
_LOOKUPS = ("run_id", "schedule_id", "user_id", "owner", "status")
"""The filters that use an index, in order of preference; a list uses the first one that is set."""
_TABLES: dict[str | None, str] = {"schedule_id": _FROM_FIRINGS, "user_id": _FROM_OWN, "owner": _FROM_OWN}


def _from_where(query: ApprovalFilter, caller: Caller) -> tuple[str, dict[str, Any]]:
    """The FROM and WHERE clauses of a list, and its parameters."""
    names = (*_EQUAL, *_OTHER)
    params = {name: value for name in names if (value := getattr(query, name, None)) is not None}
    if caller.sees_only is not None:
        params["owner"] = caller.sees_only
    lookup = next((name for name in _LOOKUPS if name in params), None)
    # `|| ''` makes an expression of the column, so that SQLite uses only the index of `lookup` (list_conditions.py).
    conditions = [
        f"{column} = :{name}" if name == lookup else f"{column} || '' = :{name}"
        for name, column in _EQUAL.items()
        if name in params
    ]
    conditions += [text for name, text in _OTHER.items() if name in params and name != lookup]
    return _TABLES.get(lookup, _FROM) + "".join(f" AND {condition}" for condition in conditions), params


def page_of(query: ApprovalFilter, caller: Caller) -> tuple[Statement, dict[str, Any]]:
    """The statement that reads one page and its parameters."""
    from_where, params = _from_where(query, caller)
    text = f"SELECT {_COLUMNS} {from_where} ORDER BY {ORDERS[query.sort_by]} LIMIT :limit OFFSET :offset"
    # The name contains the filters and the order, because translated statements are cached by name.
    name = f"approvals_page by {query.sort_by} " + " ".join(params)
    return Statement(name, text), {**params, "limit": query.limit, "offset": (query.page - 1) * query.limit}


async def search(tx: Tx, query: ApprovalFilter, caller: Caller) -> tuple[list[Approval], int]:
    """One page of approvals and the number of all matches."""
    statement, params = page_of(query, caller)
    return [_approval(row) for row in await tx.all(statement, params)], await count(tx, query, caller)


async def count(tx: Tx, query: ApprovalFilter, caller: Caller) -> int:
    """The number of matching approvals."""
    from_where, params = _from_where(query, caller)
    statement = Statement("approvals_count " + " ".join(params), f"SELECT count(*) AS n {from_where}")
    row = await tx.one(statement, params)
    return 0 if row is None else int(row["n"])


async def get(tx: Tx, approval_id: str, caller: Caller) -> Approval | None:
    """The approval, or None if there is none that this caller may see."""
    row = await tx.one(GET, {"id": approval_id})
    if row is None or not caller.may_see(row["owner"]):
        return None
    return _approval(row)


async def remove(tx: SessionTx, approval_id: str) -> None:
    """Remove an approval whose run has finished."""
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
        schedule_id=row["schedule_id"],
        firing_id=row["firing_id"],
    )
