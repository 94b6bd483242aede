"""Deliveries: rows written with what they tell, claimed by whoever sends them, ended by the receiver's answer.

A claim is a lease by time: it moves ``due_at`` behind the time that a try may take, so that no other process finds the
row due meanwhile; the outcome is noted under the claim's name, so that one who comes too late notes nothing.
"""

import json
from collections.abc import Sequence
from typing import Any

from musterd.core import clock, jsontext
from musterd.core.callers import Caller
from musterd.core.deliveries import (
    Delivery,
    DeliveryFilter,
    DeliveryProgress,
    DeliveryState,
    Happening,
    Notice,
    Outcome,
)
from musterd.core.webhook_addresses import host_and_port
from musterd.store.database import Row, Statement, Tx

ADD = Statement(
    "delivery_add",
    """INSERT INTO deliveries (id, run_id, url, place, happening, run_attempts, facts, state, due_at, created_at)
       VALUES (:id, :run_id, :url, :place, :happening, :run_attempts, :facts, 'pending', :now, :now)""",
)
DUE = Statement(
    "deliveries_due",
    """SELECT id, place FROM deliveries WHERE state = 'pending' AND due_at <= :now AND NOT IN_LIST(place, :busy)
       ORDER BY due_at, id LIMIT :limit""",
)
CLAIM = Statement(
    "deliveries_claim",
    """WITH picked AS MATERIALIZED (
         SELECT id FROM deliveries WHERE IN_LIST(id, :ids) AND state = 'pending' AND due_at <= :now LOCK_FREE_ROWS)
       UPDATE deliveries SET due_at = :until, lease = :lease, attempts = attempts + 1
       WHERE id IN (SELECT id FROM picked)""",
)
NOTE = Statement(
    "delivery_note",
    """UPDATE deliveries SET state = :state, due_at = :due_at, lease = NULL, last_status = :status, last_error = :error,
                             ended_at = CASE WHEN :state <> 'pending' THEN :now END
       WHERE id = :id AND lease = :lease AND state = 'pending'""",
)
AGAIN = Statement(
    "delivery_again",
    """UPDATE deliveries SET state = 'pending', due_at = :now, lease = NULL, attempts = 0, ended_at = NULL
       WHERE id = :id""",
)
GIVE_UP = Statement(
    "deliveries_give_up",
    """UPDATE deliveries SET state = 'failed', ended_at = :now, lease = NULL, last_error = :error
       WHERE id IN (
         SELECT id FROM deliveries WHERE state = 'pending' AND due_at <= :before LIMIT :limit LOCK_FREE_ROWS)""",
)
PENDING_OF = Statement(
    "deliveries_pending_of",
    "SELECT DISTINCT run_id FROM deliveries WHERE IN_LIST(run_id, :roots) AND ended_at IS NULL",
)
FORGET = Statement(
    "deliveries_forget",
    """DELETE FROM deliveries WHERE id IN (
         SELECT id FROM deliveries WHERE ended_at <= :before LIMIT :limit LOCK_FREE_ROWS)""",
)
_COLUMNS = """d.id, d.run_id, d.url, d.happening, d.run_attempts, d.facts, d.state, d.attempts, d.due_at, d.created_at,
              d.ended_at, d.last_status, d.last_error, r.session_id, r.owner, r.user_id, r.component_kind,
              r.component_id, r.component_name"""
_FROM = "FROM deliveries d JOIN runs r ON r.run_id = d.run_id"
_FROM_OWN = "FROM runs r CROSS JOIN deliveries d"
"""From one user's runs on, which SQLite takes in this order: the newest of everybody's may hold none of them."""
CLAIMED = Statement(
    "deliveries_claimed", f"SELECT {_COLUMNS} {_FROM} WHERE IN_LIST(d.id, :ids) AND d.lease = :lease ORDER BY d.id"
)
REMOVE_LEFT = Statement(
    "deliveries_remove_left",
    """DELETE FROM deliveries WHERE IN_LIST(id, :ids) AND lease = :lease
       AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.run_id = deliveries.run_id)""",
)
GET = Statement(
    "delivery_get",
    f"""SELECT {_COLUMNS} {_FROM} JOIN sessions s ON s.session_id = r.session_id AND s.deleted_at IS NULL
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
    "state": "COALESCE(d.state, '') = :state",  # a term, so that deliveries are not found by it, but by their run
    "owner": "r.owner = :owner AND r.parent_id IS NULL AND d.run_id = r.run_id",
}
AT_ONCE = 1000
"""What one transaction forgets, or gives up."""


async def add(tx: Tx, notice: Notice) -> None:
    """Have every webhook of a run told; in the transaction that makes true what it is told."""
    shared = {
        "run_id": notice.run_id,
        "happening": notice.happening.value,
        "run_attempts": notice.attempts,
        "facts": jsontext.dumps(notice.facts),
        "now": notice.at,
    }
    for url in (notice.webhooks or "").split():
        await tx.run(ADD, {**shared, "id": clock.new_id(), "url": url, "place": host_and_port(url)})


async def due(tx: Tx, now: float, busy: Sequence[str], limit: int) -> list[tuple[str, str]]:
    """Deliveries that are to be sent now, those that wait longest first: id and place.

    :param busy: places to which enough is sent already.
    """
    rows = await tx.all(DUE, {"now": now, "busy": jsontext.dumps(list(busy)), "limit": limit})
    return [(row["id"], row["place"]) for row in rows]


async def claim(tx: Tx, ids: Sequence[str], lease: str, now: float, until: float) -> list[Delivery]:
    """Take deliveries that are due, as far as nobody else has; others leave them alone ``until`` then.

    :param lease: a name that no other claim has.
    """
    asked = {"ids": jsontext.dumps(list(ids)), "lease": lease}
    await tx.run(CLAIM, {**asked, "now": now, "until": until})
    found = [_delivery(row) for row in await tx.all(CLAIMED, asked)]
    if len(found) < len(ids):  # a program that knows of no webhooks may have removed the run
        await tx.run(REMOVE_LEFT, asked)
    return found


async def note(tx: Tx, delivery_id: str, lease: str, outcome: Outcome, progress: DeliveryProgress) -> bool:
    """Note what came of a try. False: it is another's now, or gone."""
    said = {"status": outcome.status, "error": outcome.error, "now": clock.now()}
    placed = {"id": delivery_id, "lease": lease, "state": progress.state.value, "due_at": progress.due_at}
    return await tx.run(NOTE, {**said, **placed}) > 0


async def again(tx: Tx, delivery_id: str, now: float) -> None:
    """Have a delivery sent at once, whatever became of it; its tries are counted anew."""
    await tx.run(AGAIN, {"id": delivery_id, "now": now})


async def give_up(tx: Tx, before: float, now: float, error: str) -> int:
    """Give up some of the deliveries that were due before then, and that nobody has sent; how many."""
    return await tx.run(GIVE_UP, {"before": before, "now": now, "error": error, "limit": AT_ONCE})


async def pending_of(tx: Tx, roots: Sequence[str]) -> set[str]:
    """Those of these runs of which something is still to be told."""
    return {row["run_id"] for row in await tx.all(PENDING_OF, {"roots": jsontext.dumps(list(roots))})}


async def forget(tx: Tx, before: float) -> int:
    """Remove some of the deliveries that ended before then; how many."""
    return await tx.run(FORGET, {"before": before, "limit": AT_ONCE})


async def get(tx: Tx, delivery_id: str, caller: Caller, hidden: Sequence[str] = ()) -> Delivery | None:
    """The delivery, or None where there is none that this caller may see.

    :param hidden: addresses of which only those are told who see everybody's.
    """
    row = await tx.one(GET, {"id": delivery_id})
    if row is None or not caller.may_see(row["owner"]):
        return None
    return None if caller.sees_only is not None and row["url"] in hidden else _delivery(row)


def page_of(
    wanted: DeliveryFilter, caller: Caller, created_at: float | None, hidden: Sequence[str] = ()
) -> tuple[Statement, dict[str, Any]]:
    """The statement that reads one page, newest first, and its parameters.

    :param created_at: when ``wanted.before`` was created.
    :param hidden: as of :func:`get`.
    """
    given = {"run_id": wanted.run_id, "state": wanted.state, "owner": caller.sees_only, "before": wanted.before}
    given["hidden"] = jsontext.dumps(list(hidden)) if hidden and caller.sees_only is not None else None
    params: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    is_own = caller.sees_only is not None and wanted.run_id is None
    from_rows, known = (_FROM_OWN, _CONDITIONS_OWN) if is_own else (_FROM, _CONDITIONS)
    conditions = "".join(f" AND {known[name]}" for name in params)
    name = "deliveries_page " + " ".join(params)
    if wanted.before is not None:
        params["created_at"] = created_at
    text = f"""SELECT {_COLUMNS} {from_rows} JOIN sessions s ON s.session_id = r.session_id AND s.deleted_at IS NULL
               WHERE 1 = 1{conditions} ORDER BY d.created_at DESC, d.id DESC LIMIT :limit"""
    return Statement(name, text), {**params, "limit": wanted.limit}


async def search(tx: Tx, wanted: DeliveryFilter, caller: Caller, hidden: Sequence[str] = ()) -> list[Delivery]:
    """One page of deliveries, newest first. Behind one that is gone, or that the caller may not see, there are none.

    :param hidden: as of :func:`get`.
    """
    created_at = None
    if wanted.before is not None:
        before = await get(tx, wanted.before, caller, hidden)
        if before is None:
            return []
        created_at = before.created_at
    statement, params = page_of(wanted, caller, created_at, hidden)
    return [_delivery(row) for row in await tx.all(statement, params)]


def _delivery(row: Row) -> Delivery:
    plain = {name: row[name] for name in Delivery.__slots__ if name not in ("happening", "facts", "state")}
    read = {"facts": json.loads(row["facts"]), "state": DeliveryState(row["state"])}
    return Delivery(**plain, **read, happening=Happening(row["happening"]))
