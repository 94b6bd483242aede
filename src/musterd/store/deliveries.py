"""Webhook deliveries: added in the transaction of the change that they announce, claimed and sent by any process.

A claim is a lease by time. It moves ``due_at`` past the time that a try may take, so that no other process sends the
delivery meanwhile. The outcome is recorded only if the row still has the claim's lease name, so a process that comes
too late, after another one has claimed the row, changes nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from musterd.core import clock, jsontext
from musterd.core.callers import Caller
from musterd.core.deliveries import (
    Delivery,
    DeliveryFilter,
    DeliveryProgress,
    DeliveryState,
    Notice,
    Outcome,
    WebhookEvent,
)
from musterd.core.webhook_addresses import host_and_port
from musterd.store.database import Row, Statement, Tx
from musterd.store.rows import FIRING_COLUMNS
from musterd.store.shards import SessionTx

ADD = Statement(
    "delivery_add",
    """INSERT INTO deliveries (id, shard, run_id, url, host, happening, run_attempts, facts, state, due_at, created_at)
       VALUES (:id, :shard, :run_id, :url, :host, :happening, :run_attempts, :facts, 'pending', :now, :now)""",
)
DUE = Statement(
    "deliveries_due",
    """SELECT d.id, d.host, r.owner FROM deliveries d JOIN runs r ON r.run_id = d.run_id AND r.shard = d.shard
       WHERE d.state = 'pending' AND d.due_at <= :now AND NOT IN_LIST(d.host, :hosts)
       AND NOT IN_LIST(COALESCE(r.owner, ''), :owners) ORDER BY d.due_at, d.id LIMIT :limit""",
)
# The list of ids was read without locks, so the conditions are checked again on the locked rows: another process may
# have claimed them. Rows that one is claiming now are skipped.
CLAIM = Statement(
    "deliveries_claim",
    """WITH picked AS MATERIALIZED (
         SELECT id FROM deliveries WHERE IN_LIST(id, :ids) AND state = 'pending' AND due_at <= :now SKIP_LOCKED_ROWS)
       UPDATE deliveries SET due_at = :until, lease = :lease, attempts = attempts + 1
       WHERE id IN (SELECT id FROM picked)""",
)
# Both conditions are needed: the lease tells whether another process has claimed the delivery since, and the state
# whether it was given up.
RECORD_OUTCOME = Statement(
    "delivery_note",
    """UPDATE deliveries SET state = :state, due_at = :due_at, lease = NULL, last_status = :status, last_error = :error,
                             ended_at = CASE WHEN :state <> 'pending' THEN :now END
       WHERE id = :id AND shard = :shard AND lease = :lease AND state = 'pending'""",
)
# The lease is taken away from a try that is under way: it must not record its outcome over this request.
REDELIVER = Statement(
    "delivery_again",
    """UPDATE deliveries SET state = 'pending', due_at = :now, lease = NULL, attempts = 0, ended_at = NULL
       WHERE id = :id AND shard = :shard""",
)
GIVE_UP = Statement(
    "deliveries_give_up",
    """UPDATE deliveries SET state = 'failed', ended_at = :now, lease = NULL, last_error = :error
       WHERE id IN (
         SELECT id FROM deliveries WHERE state = 'pending' AND due_at <= :before LIMIT :limit SKIP_LOCKED_ROWS)""",
)
PENDING_OF = Statement(
    "deliveries_pending_of",
    "SELECT DISTINCT run_id FROM deliveries WHERE IN_LIST(run_id, :roots) AND ended_at IS NULL",
)
FORGET = Statement(
    "deliveries_forget",
    """DELETE FROM deliveries WHERE id IN (
         SELECT id FROM deliveries WHERE ended_at <= :before LIMIT :limit SKIP_LOCKED_ROWS)""",
)
_COLUMNS = f"""d.id, d.run_id, d.url, d.happening, d.run_attempts, d.facts, d.state, d.attempts, d.due_at, d.created_at,
              d.ended_at, d.last_status, d.last_error, r.session_id, r.owner, r.user_id, r.component_kind,
              r.component_id, r.component_name, {FIRING_COLUMNS}"""
_FROM = "FROM deliveries d JOIN runs r ON r.run_id = d.run_id AND r.shard = d.shard"
_NOT_DELETED = "JOIN sessions s ON s.session_id = r.session_id AND s.shard = r.shard AND s.deleted_at IS NULL"
_FROM_OWN = "FROM runs r CROSS JOIN deliveries d"
"""Starts from the runs of one user, because there may be none of them among the newest deliveries. SQLite keeps the
order of a CROSS JOIN."""
CLAIMED = Statement(
    "deliveries_claimed", f"SELECT {_COLUMNS} {_FROM} WHERE IN_LIST(d.id, :ids) AND d.lease = :lease ORDER BY d.id"
)
GET = Statement(
    "delivery_get",
    f"""SELECT {_COLUMNS} {_FROM} {_NOT_DELETED}
        WHERE d.id = :id""",
)
_CONDITIONS = {
    "run_id": "d.run_id = :run_id",
    "state": "d.state = :state",
    "owner": "r.owner = :owner",
    "before": "(d.created_at, d.id) < (:created_at, :before)",
    "hidden": "NOT IN_LIST(d.url, :hidden)",
}
_CONDITIONS_OWN = {
    **_CONDITIONS,
    "state": "COALESCE(d.state, '') = :state",  # an expression, so that SQLite uses the run's index, not the state's
    "owner": "r.owner = :owner AND r.parent_id IS NULL AND d.run_id = r.run_id AND d.shard = r.shard",
}
AT_ONCE = 1000
"""How many deliveries one transaction removes or gives up."""


async def add(tx: SessionTx, notice: Notice) -> None:
    """Add a delivery for each webhook of a run.

    The caller's transaction is the one that makes the news true. So after a crash there is either both, the change and
    its deliveries, or neither.
    """
    shared = {
        "run_id": notice.run_id,
        "happening": notice.happening.value,
        "run_attempts": notice.attempts,
        "facts": jsontext.dumps(notice.facts),
        "now": notice.at,
    }
    for url in (notice.webhooks or "").split():
        await tx.run(ADD, {**shared, "id": clock.new_id(), "url": url, "host": host_and_port(url)})


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that is due."""

    id: str
    host: str
    owner: str | None


async def due(
    tx: Tx, now: float, busy_hosts: Sequence[str], busy_owners: Sequence[str], limit: int
) -> list[DueDelivery]:
    """Deliveries that are due, oldest first.

    :param busy_hosts: hosts that are left out because enough deliveries are being sent to them.
    :param busy_owners: users that are left out because enough of their deliveries are being sent.
    """
    busy = {"hosts": jsontext.dumps(list(busy_hosts)), "owners": jsontext.dumps(list(busy_owners))}
    rows = await tx.all(DUE, {"now": now, **busy, "limit": limit})
    return [DueDelivery(row["id"], row["host"], row["owner"]) for row in rows]


async def claim(tx: Tx, ids: Sequence[str], lease: str, now: float, until: float) -> list[Delivery]:
    """Claim deliveries that are due, except those that another process claims; no one else sends them before ``until``.

    :param lease: a name that no other claim has.
    """
    claim_key = {"ids": jsontext.dumps(list(ids)), "lease": lease}
    await tx.run(CLAIM, {**claim_key, "now": now, "until": until})
    # Read by the lease, which no other claim has, because CLAIM may have skipped some of the ids.
    return [_delivery(row) for row in await tx.all(CLAIMED, claim_key)]


async def record_outcome(
    tx: SessionTx, delivery_id: str, lease: str, outcome: Outcome, progress: DeliveryProgress
) -> bool:
    """Record the outcome of a try. False: another process has claimed the delivery meanwhile, or it was removed."""
    result = {"status": outcome.status, "error": outcome.error, "now": clock.now()}
    key = {"id": delivery_id, "lease": lease, "state": progress.state.value, "due_at": progress.due_at}
    return await tx.run(RECORD_OUTCOME, {**result, **key}) > 0


async def redeliver(tx: SessionTx, delivery_id: str, now: float) -> None:
    """Make a delivery due now, whatever its state, and reset its number of tries."""
    await tx.run(REDELIVER, {"id": delivery_id, "now": now})


async def give_up(tx: Tx, before: float, now: float, error: str) -> int:
    """Give up a batch of deliveries that were due before ``before`` and are still unsent; return their number."""
    return await tx.run(GIVE_UP, {"before": before, "now": now, "error": error, "limit": AT_ONCE})


async def pending_of(tx: Tx, roots: Sequence[str]) -> set[str]:
    """Those of the runs that have a pending delivery."""
    return {row["run_id"] for row in await tx.all(PENDING_OF, {"roots": jsontext.dumps(list(roots))})}


async def forget(tx: Tx, before: float) -> int:
    """Remove a batch of deliveries that ended before ``before``; return their number."""
    return await tx.run(FORGET, {"before": before, "limit": AT_ONCE})


async def get(tx: Tx, delivery_id: str, caller: Caller, hidden: Sequence[str] = ()) -> Delivery | None:
    """The delivery, or None if there is none that this caller may see.

    :param hidden: URLs that are visible only to callers who see the data of all users.
    """
    row = await tx.one(GET, {"id": delivery_id})
    if row is None or not caller.may_see(row["owner"]):
        return None
    return None if caller.sees_only is not None and row["url"] in hidden else _delivery(row)


def page_of(
    query: DeliveryFilter, caller: Caller, created_at: float | None, hidden: Sequence[str] = ()
) -> tuple[Statement, dict[str, Any]]:
    """The statement that reads one page, newest first, and its parameters.

    :param created_at: when ``query.before`` was created.
    :param hidden: as in :func:`get`.
    """
    values = {"run_id": query.run_id, "state": query.state, "owner": caller.sees_only, "before": query.before}
    values["hidden"] = jsontext.dumps(list(hidden)) if hidden and caller.sees_only is not None else None
    params: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    is_own = caller.sees_only is not None and query.run_id is None
    from_rows, condition_of = (_FROM_OWN, _CONDITIONS_OWN) if is_own else (_FROM, _CONDITIONS)
    conditions = "".join(f" AND {condition_of[name]}" for name in params)
    name = "deliveries_page " + " ".join(params)
    if query.before is not None:
        params["created_at"] = created_at
    text = f"""SELECT {_COLUMNS} {from_rows} {_NOT_DELETED}
               WHERE 1 = 1{conditions} ORDER BY d.created_at DESC, d.id DESC LIMIT :limit"""
    return Statement(name, text), {**params, "limit": query.limit}


async def search(tx: Tx, query: DeliveryFilter, caller: Caller, hidden: Sequence[str] = ()) -> list[Delivery]:
    """One page of deliveries, newest first. It is empty if ``query.before`` was removed or is not visible.

    :param hidden: as in :func:`get`.
    """
    created_at = None
    if query.before is not None:
        before = await get(tx, query.before, caller, hidden)
        if before is None:
            return []
        created_at = before.created_at
    statement, params = page_of(query, caller, created_at, hidden)
    return [_delivery(row) for row in await tx.all(statement, params)]


def _delivery(row: Row) -> Delivery:
    plain = {name: row[name] for name in Delivery.__slots__ if name not in ("happening", "facts", "state")}
    parsed = {"facts": json.loads(row["facts"]), "state": DeliveryState(row["state"])}
    return Delivery(**plain, **parsed, happening=WebhookEvent(row["happening"]))
