"""The statements on schedules and firings.

A transaction that fires a schedule locks its row first, and then the session of the run. Removing runs locks sessions
and then the rows of firings that exist already, so the two cannot deadlock.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from musterd.core import jsontext
from musterd.core.callers import Caller
from musterd.core.errors import Conflict
from musterd.features.schedules.due_shares import Due
from musterd.features.schedules.records import (
    Definition,
    Firing,
    FiringStatus,
    Maker,
    Schedule,
    ScheduleFilter,
    Trigger,
)
from musterd.store.database import Row, Statement, Tx
from musterd.store.rows import qualified, run_view

UNSERVED_SECONDS = 60.0
"""After how long any process handles what is due of a component that it does not serve itself."""
GIVEN_UP_SECONDS = 86_400.0
"""After how long any process handles a retry too. Until then it waits for a process that can continue the run."""

ADD = Statement(
    "schedule_add",
    """INSERT INTO schedules (id, owner, user_id, name, component, definition, maker, declared, enabled, next_run_at,
                              due_at, version, created_at, updated_at)
       VALUES (:id, :owner, :user_id, :name, :component, :definition, :maker, :declared, :enabled, :next_run_at,
               :due_at, :version, :created_at, :updated_at)
       ON CONFLICT DO NOTHING""",
)
GET = Statement("schedule_get", "SELECT * FROM schedules WHERE id = :id")
LOCK = Statement("schedule_lock", "SELECT * FROM schedules WHERE id = :id LOCK_ROW")
NAMED = Statement("schedule_named", "SELECT * FROM schedules WHERE COALESCE(owner, '') = :owner AND name = :name")
OF_NAME = Statement("schedules_of_name", "SELECT * FROM schedules WHERE name = :name OR id = :name ORDER BY id")
OF_USER = Statement(
    "schedules_of_user",
    """SELECT * FROM schedules WHERE owner = :owner AND user_id = :user_id
       ORDER BY created_at DESC, id DESC LIMIT :limit""",
)
# Without authentication users are only named by requests, or not at all.
OF_NAMED_USER = Statement(
    "schedules_of_named_user",
    """SELECT * FROM schedules WHERE owner IS NULL AND COALESCE(user_id, '') = :user_id
       ORDER BY created_at DESC, id DESC LIMIT :limit""",
)
CHANGE = Statement(
    "schedule_change",
    """UPDATE schedules SET name = :name, user_id = :user_id, component = :component, definition = :definition,
           maker = :maker, declared = :declared, enabled = :enabled, next_run_at = :next_run_at, due_at = :due_at,
           version = :version, updated_at = :updated_at
       WHERE id = :id""",
)
TURN = Statement("schedules_turn", "SELECT TURN('schedules') AS one")
REMOVE = Statement("schedule_remove", "DELETE FROM schedules WHERE id = :id")
REMOVE_FIRINGS = Statement("schedule_remove_firings", "DELETE FROM firings WHERE schedule_id = :id")
DECLARED = Statement("schedules_declared", "SELECT * FROM schedules WHERE declared IS NOT NULL ORDER BY id LOCK_ROW")
DUE = Statement(
    "schedules_due",
    """SELECT id, component, due_at FROM schedules
       WHERE due_at <= :now AND (component = '' OR IN_LIST(component, :served) OR due_at <= :unserved)
       ORDER BY due_at LIMIT :limit""",
)
# Without those that start no runs, or none any more because they stop.
WORKERS = Statement("schedules_workers", "SELECT id, components FROM workers WHERE components <> '[]' ORDER BY id")
SEVERAL = Statement("schedules_several", "SELECT * FROM schedules WHERE IN_LIST(id, :ids)")
ANY_DUE = Statement(
    "schedules_any_due",
    """SELECT 1 AS found FROM schedules WHERE due_at <= :now
       UNION ALL SELECT 1 FROM firings f LEFT JOIN runs r ON r.run_id = f.run_id
                 WHERE f.look_at <= :now AND (r.run_id IS NULL OR r.state IN ('completed', 'error', 'cancelled'))
       LIMIT 1""",
)
NEXT_DUE = Statement(
    "schedules_next_due",
    """SELECT due_at FROM schedules WHERE due_at > :now AND (component = '' OR IN_LIST(component, :served))
       ORDER BY due_at LIMIT 1""",
)
# The guard decides between processes that fire the same instant: the second one finds it moved, or locked by the first,
# for which it does not wait, because the first one fires others in the same transaction.
ADVANCE = Statement(
    "schedule_advance",
    """UPDATE schedules SET next_run_at = :next_run_at, due_at = :due_at, enabled = :enabled
       WHERE id = (SELECT id FROM schedules
                   WHERE id = :id AND enabled = 1 AND version = :version AND next_run_at = :instant
                   SKIP_LOCKED_ROWS)""",
)
# An instant that has fired already, for example before clocks went back, does not fire again.
ADD_FIRING = Statement(
    "firing_add",
    """INSERT INTO firings (id, schedule_id, attempt, trigger, scheduled_for, run_id, session_id, outcome, status_code,
                            error, look_at, created_at)
       VALUES (:id, :schedule_id, :attempt, :trigger, :scheduled_for, :run_id, :session_id, :outcome, :status_code,
               :error, :look_at, :created_at)
       ON CONFLICT DO NOTHING""",
)
# The first part of the unique index is named, so that an instant that was skipped fires after all.
MAKE_UP = Statement(
    "firing_make_up",
    """INSERT INTO firings (id, schedule_id, attempt, trigger, scheduled_for, look_at, created_at)
       VALUES (:id, :schedule_id, 1, :trigger, :scheduled_for, :look_at, :created_at)
       ON CONFLICT (schedule_id, scheduled_for) WHERE attempt = 1 AND scheduled_for IS NOT NULL
       DO UPDATE SET outcome = NULL, error = NULL, status_code = NULL, look_at = excluded.look_at,
                     trigger = excluded.trigger, created_at = excluded.created_at
       WHERE firings.outcome = 'skipped'""",
)
BEGIN_FIRING = Statement(
    "firing_begin",
    """UPDATE firings SET run_id = :run_id, session_id = :session_id, outcome = :outcome, status_code = :status_code,
           error = :error, look_at = :look_at
       WHERE id = :id AND look_at = :seen""",
)
CLOSE_FIRING = Statement("firing_close", "UPDATE firings SET look_at = NULL WHERE id = :id AND look_at = :seen")
# Only firings that may need a retry have a time to be looked at, so this costs nothing for all others.
TO_LOOK_AT = Statement(
    "firings_to_look_at",
    """SELECT f.id, s.component, COALESCE(r.ended_at, f.look_at) AS due_at
       FROM firings f JOIN schedules s ON s.id = f.schedule_id LEFT JOIN runs r ON r.run_id = f.run_id
       WHERE f.look_at <= :now AND (r.run_id IS NULL OR r.state IN ('completed', 'error', 'cancelled'))
         AND (s.component = '' OR IN_LIST(s.component, :served)
              OR (f.run_id IS NULL AND f.outcome IS NULL AND f.look_at <= :unserved)
              OR COALESCE(r.ended_at, f.look_at) <= :given_up)
       ORDER BY f.look_at LIMIT :limit""",
)
SEVERAL_FIRINGS = Statement("firings_several", "SELECT * FROM firings WHERE IN_LIST(id, :ids)")
GET_FIRING = Statement("firing_get", "SELECT * FROM firings WHERE id = :id")
LAST_RUN = Statement(
    "firings_last_run",
    "SELECT run_id FROM firings WHERE IN_LIST(id, :ids) AND run_id IS NOT NULL ORDER BY attempt DESC LIMIT 1",
)
LAST_INSTANT = Statement(
    "firings_last_instant",
    """SELECT max(scheduled_for) AS last FROM firings
       WHERE schedule_id = :schedule_id AND (error IS NULL OR error <> 'changed')""",
)
LAST_SESSION = Statement(
    "firings_last_session",
    """SELECT session_id FROM firings
       WHERE schedule_id = :schedule_id AND session_id IS NOT NULL AND session_id <> :other_than
       ORDER BY created_at DESC LIMIT 1""",
)
_VIEW = f"""SELECT f.id, f.schedule_id, f.attempt AS firing_attempt, f.trigger, f.scheduled_for, f.outcome,
                   f.status_code, f.error, f.look_at, f.created_at AS fired_at, f.run_id AS firing_run,
                   f.session_id AS firing_session,
                   {qualified("r")}, io.input, io.output, NULL AS messages
            FROM firings f LEFT JOIN runs r ON r.run_id = f.run_id LEFT JOIN run_io io ON io.run_id = f.run_id"""
VIEW = Statement("firing_view", f"{_VIEW} WHERE f.id = :id AND f.schedule_id = :schedule_id")
PAGE = Statement(
    "firings_page",
    f"""{_VIEW} WHERE f.schedule_id = :schedule_id
        ORDER BY f.created_at DESC, f.scheduled_for DESC, f.attempt DESC, f.id LIMIT :limit OFFSET :offset""",
)
COUNT = Statement("firings_count", "SELECT count(*) AS n FROM firings WHERE schedule_id = :schedule_id")
# Without its row, an instant could fire again.
KEEP_OF_RUNS = Statement(
    "firings_keep_of_runs",
    """UPDATE firings SET run_id = NULL, session_id = NULL, look_at = NULL,
           outcome = (SELECT CASE r.state WHEN 'completed' THEN 'success' WHEN 'error' THEN 'failed'
                                          ELSE 'cancelled' END
                      FROM runs r WHERE r.run_id = firings.run_id)
       WHERE IN_LIST(run_id, :runs)""",
)
OF_RUN = Statement("firing_of_run", "SELECT * FROM firings WHERE run_id = :run_id")
OLD = Statement(
    "firings_remove_old",
    """DELETE FROM firings WHERE id IN (
         SELECT id FROM firings WHERE run_id IS NULL AND created_at <= :before AND look_at IS NULL LIMIT :limit)""",
)


Choose = Callable[[Mapping[str, Collection[str]], Sequence[Due]], Sequence[str]]
"""Chooses ids among what is due. It gets the components that each process serves that drives runs."""


class Lost(Exception):
    """Another process or a person was first. Whatever the transaction did must be rolled back."""


class AlreadyFired(Exception):
    """The instant has fired before. Whatever the transaction did must be rolled back."""


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to do for a process.

    :param due: schedules that are due.
    :param firings: firings whose run has to be started, and those that wait for the end of their run if it has ended.
    :param is_left: whether more is due, which was not chosen.
    :param next_due_at: when the next schedule is due.
    """

    due: Sequence[Schedule]
    firings: Sequence[Firing]
    is_left: bool
    next_due_at: float | None


def name_taken(name: str) -> Conflict:
    """The error of a name that another schedule of the owner has."""
    return Conflict(f"Schedule with name '{name}' already exists")


# --- schedules ----------------------------------------------------------------------------------------


async def add(tx: Tx, schedule: Schedule) -> None:
    """Store a new schedule.

    :raises Conflict: another one of the owner has its name.
    """
    if not await tx.run(ADD, _params(schedule)):
        raise name_taken(schedule.name)


async def get(tx: Tx, schedule_id: str, caller: Caller) -> Schedule | None:
    """The schedule; None: there is none that this caller may see."""
    return _visible(await tx.one(GET, {"id": schedule_id}), caller)


async def lock(tx: Tx, schedule_id: str, caller: Caller) -> Schedule | None:
    """The same, locked until the transaction ends."""
    return _visible(await tx.one(LOCK, {"id": schedule_id}), caller)


async def named(tx: Tx, name_or_id: str) -> list[Schedule]:
    """The schedules with this name, of any owner, or with this id."""
    return [_schedule(row) for row in await tx.all(OF_NAME, {"name": name_or_id})]


async def of_user(tx: Tx, owner: str | None, user_id: str | None, limit: int) -> list[Schedule]:
    """The newest schedules of an owner whose runs are for a user."""
    params = {"owner": owner, "user_id": user_id or "", "limit": limit}
    return [_schedule(row) for row in await tx.all(OF_NAMED_USER if owner is None else OF_USER, params)]


async def unowned(tx: Tx, name: str) -> Schedule | None:
    """The schedule with this name that belongs to no user."""
    row = await tx.one(NAMED, {"owner": "", "name": name})
    return None if row is None else _schedule(row)


async def change(tx: Tx, schedule: Schedule) -> None:
    """Store a changed schedule with its old name. The caller has locked it."""
    await tx.run(CHANGE, _params(schedule))


async def rename(tx: Tx, schedule: Schedule) -> None:
    """The same, but with a new name.

    :raises Conflict: another one of the owner has its name.
    """
    await tx.one(TURN, {})
    other = await tx.one(NAMED, {"owner": schedule.owner or "", "name": schedule.name})
    if other is not None and other["id"] != schedule.id:
        raise name_taken(schedule.name)
    await change(tx, schedule)


async def remove(tx: Tx, schedule_id: str) -> None:
    """Delete a schedule and its firings."""
    # In this order: a firing in progress holds the row of the schedule, and its own row is there once it is free.
    await tx.run(REMOVE, {"id": schedule_id})
    await tx.run(REMOVE_FIRINGS, {"id": schedule_id})


async def declared(tx: Tx) -> list[Schedule]:
    """All schedules that are declared in code, locked. No other process declares any until the transaction ends."""
    # Before the rows are read: two processes that start at the same time would both find nothing, and both add.
    await tx.one(TURN, {})
    return [_schedule(row) for row in await tx.all(DECLARED, {})]


async def search(tx: Tx, query: ScheduleFilter, caller: Caller) -> tuple[list[Schedule], int]:
    """One page of schedules, newest first, and the number of all that match."""
    conditions, params = [], dict[str, Any]()
    if caller.sees_only is not None:
        conditions.append("owner = :owner")
        params["owner"] = caller.sees_only
    if query.enabled is not None:
        # An expression if there is an owner, whose index has fewer rows.
        column = "enabled" if caller.sees_only is None else "enabled + 0"
        conditions.append(f"{column} = {int(query.enabled)}")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    page = Statement(
        f"schedules_page{where}",
        f"SELECT * FROM schedules{where} ORDER BY created_at DESC, id DESC LIMIT :limit OFFSET :offset",
    )
    count = await tx.one(Statement(f"schedules_count{where}", f"SELECT count(*) AS n FROM schedules{where}"), params)
    rows = await tx.all(page, {**params, "limit": query.limit, "offset": (query.page - 1) * query.limit})
    return [_schedule(row) for row in rows], 0 if count is None else int(count["n"])


# --- what is due --------------------------------------------------------------------------------------


async def is_any_due(tx: Tx, now: float) -> bool:
    """Whether a schedule or a firing of any component is due."""
    return await tx.one(ANY_DUE, {"now": now}) is not None


async def look(
    tx: Tx, served: Collection[str], now: float, limit: int, choose: Choose, *, leaves_others: bool = False
) -> Look:
    """What there is to do.

    :param served: the components of this process. What is due of others is left to their processes for a while.
    :param limit: among how many of the longest due ones to choose.
    :param choose: chooses among due schedules, and among firings.
    :param leaves_others: leave it to them however late it is, because their processes may be starting too.
    """
    params: dict[str, Any] = {"served": jsontext.dumps(sorted(served)), "now": now, "limit": limit}
    params["unserved"] = 0.0 if leaves_others else now - UNSERVED_SECONDS
    params["given_up"] = 0.0 if leaves_others else now - GIVEN_UP_SECONDS
    next_due = await tx.one(NEXT_DUE, params)
    workers = {row["id"]: frozenset(json.loads(row["components"])) for row in await tx.all(WORKERS, {})}
    is_left, rows = False, list[Sequence[Row]]()
    for candidates, several in ((DUE, SEVERAL), (TO_LOOK_AT, SEVERAL_FIRINGS)):
        due = [Due(row["id"], row["component"], row["due_at"]) for row in await tx.all(candidates, params)]
        ids = choose(workers, due)
        is_left = is_left or len(ids) < len(due)
        rows.append(await tx.all(several, {"ids": jsontext.dumps(list(ids))}) if ids else ())
    return Look(
        due=[_schedule(row) for row in rows[0]],
        firings=[_firing(row) for row in rows[1]],
        is_left=is_left,
        next_due_at=None if next_due is None else float(next_due["due_at"]),
    )


async def advance(tx: Tx, schedule: Schedule, next_run_at: float | None) -> None:
    """Move a schedule from the instant that it was read with to the next one. Without one it is disabled.

    :raises Lost: another process has moved it or moves it now, or a person has changed it.
    """
    due_at = replace(schedule, next_run_at=next_run_at).due_at
    params = {
        "id": schedule.id,
        "instant": schedule.next_run_at,
        "version": schedule.version,
        "next_run_at": next_run_at,
        "due_at": due_at,
        "enabled": int(next_run_at is not None),
    }
    if not await tx.run(ADVANCE, params):
        raise Lost


# --- firings ------------------------------------------------------------------------------------------


async def add_firing(tx: Tx, firing: Firing) -> None:
    """Store a firing.

    :raises AlreadyFired: its instant has fired before.
    """
    if not await tx.run(ADD_FIRING, _firing_params(firing)):
        raise AlreadyFired


async def add_firings(tx: Tx, firings: Sequence[Firing]) -> None:
    """Store firings whose instants did not fire before."""
    if firings:
        await tx.many(ADD_FIRING, [_firing_params(firing) for firing in firings])


async def make_up(tx: Tx, firing: Firing) -> bool:
    """Store a firing whose run upkeep starts; return False if its instant has fired before."""
    return bool(await tx.run(MAKE_UP, _firing_params(firing)))


async def begin_firing(tx: Tx, firing: Firing, seen: float | None) -> None:
    """Store what became of a firing that waited to be looked at.

    :param seen: its ``look_at`` when it was read.
    :raises Lost: another process has looked at it.
    """
    if not await tx.run(BEGIN_FIRING, {**_firing_params(firing), "seen": seen}):
        raise Lost


async def close_firing(tx: Tx, firing: Firing) -> None:
    """Look at a firing no more.

    :raises Lost: another process has looked at it.
    """
    if not await tx.run(CLOSE_FIRING, {"id": firing.id, "seen": firing.look_at}):
        raise Lost


async def firing_of_run(tx: Tx, run_id: str) -> Firing | None:
    """The firing that started a run; None: none did."""
    row = await tx.one(OF_RUN, {"run_id": run_id})
    return None if row is None else _firing(row)


async def get_firing(tx: Tx, firing_id: str) -> Firing | None:
    """The firing, without its run; None: there is none."""
    row = await tx.one(GET_FIRING, {"id": firing_id})
    return None if row is None else _firing(row)


async def last_instant(tx: Tx, schedule_id: str) -> float | None:
    """The last instant of a schedule that has fired or was missed; None: it has no row, or none any more."""
    row = await tx.one(LAST_INSTANT, {"schedule_id": schedule_id})
    return None if row is None or row["last"] is None else float(row["last"])


async def is_served(tx: Tx, component: str) -> bool:
    """Whether a process that drives runs serves a component."""
    return any(component in json.loads(row["components"]) for row in await tx.all(WORKERS, {}))


async def last_run(tx: Tx, firing_ids: Sequence[str]) -> str | None:
    """The run of the last of these tries that has one; None: none has."""
    row = await tx.one(LAST_RUN, {"ids": jsontext.dumps(list(firing_ids))})
    return None if row is None else str(row["run_id"])


async def last_session(tx: Tx, schedule_id: str, other_than: str) -> str | None:
    """The session of the last firing of a schedule that was not in ``other_than``; None: there is none."""
    row = await tx.one(LAST_SESSION, {"schedule_id": schedule_id, "other_than": other_than})
    return None if row is None else str(row["session_id"])


async def firing(tx: Tx, schedule_id: str, firing_id: str) -> Firing | None:
    """A firing of a schedule with its run; None: there is none."""
    row = await tx.one(VIEW, {"id": firing_id, "schedule_id": schedule_id})
    return None if row is None else await _view(tx, row)


async def firings(tx: Tx, schedule_id: str, *, limit: int, page: int) -> tuple[list[Firing], int]:
    """One page of the firings of a schedule with their runs, newest first, and the number of all."""
    count = await tx.one(COUNT, {"schedule_id": schedule_id})
    rows = await tx.all(PAGE, {"schedule_id": schedule_id, "limit": limit, "offset": (page - 1) * limit})
    return [await _view(tx, row) for row in rows], 0 if count is None else int(count["n"])


async def keep_of_runs(tx: Tx, root_ids: Sequence[str], now: float) -> None:
    """Keep the firings of runs that are removed, each with the status that its run had."""
    await tx.run(KEEP_OF_RUNS, {"runs": jsontext.dumps(list(root_ids))})


async def remove_old(tx: Tx, before: float, limit: int) -> int:
    """Remove old firings that have no run; return how many were removed."""
    return await tx.run(OLD, {"before": before, "limit": limit})


def _params(schedule: Schedule) -> dict[str, Any]:
    target = schedule.definition.target
    return {
        "id": schedule.id,
        "owner": schedule.owner,
        "user_id": schedule.user_id,
        "name": schedule.name,
        "component": "" if target is None else target.key,
        "definition": jsontext.dumps(schedule.definition.as_json()),
        "maker": jsontext.dumps(schedule.maker.as_json()),
        "declared": schedule.declared,
        "enabled": int(schedule.enabled),
        "next_run_at": schedule.next_run_at,
        "due_at": schedule.due_at,
        "version": schedule.version,
        "created_at": schedule.created_at,
        "updated_at": schedule.updated_at,
    }


def _visible(row: Row | None, caller: Caller) -> Schedule | None:
    return None if row is None or not caller.may_see(row["owner"]) else _schedule(row)


def _schedule(row: Row) -> Schedule:
    return Schedule(
        id=row["id"],
        owner=row["owner"],
        name=row["name"],
        definition=Definition.from_json(json.loads(row["definition"])),
        maker=Maker.from_json(json.loads(row["maker"])),
        declared=row["declared"],
        enabled=bool(row["enabled"]),
        next_run_at=row["next_run_at"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


_FIRING_COLUMNS = tuple(name for name in Firing.__slots__ if name != "run")


def _firing_params(firing: Firing) -> dict[str, Any]:
    return {name: getattr(firing, name) for name in _FIRING_COLUMNS}


def _firing(row: Row) -> Firing:
    values = {name: row[name] for name in _FIRING_COLUMNS}
    return Firing(**{**values, "trigger": Trigger(row["trigger"]), "outcome": _outcome(row)})


def _outcome(row: Row) -> FiringStatus | None:
    return None if row["outcome"] is None else FiringStatus(row["outcome"])


async def _view(tx: Tx, row: Row) -> Firing:
    """A firing with its run. Names that both have are those of the run, so the firing's have others."""
    has_run = row["firing_run"] is not None and row["state"] is not None
    return Firing(
        id=row["id"],
        schedule_id=row["schedule_id"],
        attempt=row["firing_attempt"],
        trigger=Trigger(row["trigger"]),
        scheduled_for=row["scheduled_for"],
        outcome=_outcome(row),
        status_code=row["status_code"],
        error=row["error"],
        look_at=row["look_at"],
        created_at=row["fired_at"],
        run_id=row["firing_run"],
        session_id=row["firing_session"],
        run=await run_view(tx, row) if has_run else None,
    )
