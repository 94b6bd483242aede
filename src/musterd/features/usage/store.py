"""The statements on daily usage: counted from runs, stored for days that are closed.

A run counts for the day (UTC) of its acceptance. ``daily_metrics`` has two kinds of rows. A past day on which every run
has finished is *closed*: its figures are stored (``is_over = 1``), for everybody (owner "") and for each owner, and
change only if runs of the day are imported later. For any other day a row holds the figures of runs that were removed
since (``is_over = 0``), so that the figures of a day never shrink, and how many imports have added runs to the day.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from musterd.core import jsontext
from musterd.core.records import Usage
from musterd.features.usage.records import Day, DayFigures
from musterd.store.database import Statement, Tx

EVERYBODY = ""
SETTLE_SECONDS = 300.0
"""How long after its end a day can be closed. An acceptance is stored a little after its time, and clocks differ."""
_COUNTS = ("input_tokens", "output_tokens", "reasoning_tokens", "cache_read_tokens", "cache_write_tokens")
_SUMS = ", ".join(f"SUM(JSON_WHOLE(j.usage, '{name}')) AS {name}" for name in _COUNTS)
_IN_DAY = "r.parent_id IS NULL AND r.created_at >= :start AND r.created_at < :end AND r.copied_from IS NULL"
"""Copies in forked sessions do not count: their tokens were used once, by the original."""

_RUNS = f"""SELECT r.owner, r.component_kind AS kind, count(*) AS runs, count(DISTINCT r.session_id) AS sessions
            FROM runs r WHERE {_IN_DAY}"""
_RUNS_OF_ROOTS = f"""SELECT r.owner, r.component_kind AS kind, count(*) AS runs, count(DISTINCT CASE WHEN NOT EXISTS (
                         SELECT 1 FROM runs o WHERE o.session_id = r.session_id AND o.parent_id IS NULL
                         AND o.created_at >= :start AND o.created_at < :end AND o.copied_from IS NULL
                         AND o.component_kind = r.component_kind AND NOT IN_LIST(o.run_id, :roots))
                       THEN r.session_id END) AS sessions FROM runs r WHERE {_IN_DAY}"""
"""Counts a session only if all its runs of that day are among the roots; otherwise the runs that stay count it."""
_USERS = f"SELECT DISTINCT r.owner, r.user_id FROM runs r WHERE {_IN_DAY} AND r.user_id IS NOT NULL"
_USERS_OF_ROOTS = f"""{_USERS} AND NOT EXISTS (
                       SELECT 1 FROM runs o WHERE o.user_id = r.user_id AND o.parent_id IS NULL
                       AND o.created_at >= :start AND o.created_at < :end AND o.copied_from IS NULL
                       AND COALESCE(o.owner, '') = COALESCE(r.owner, '') AND NOT IN_LIST(o.run_id, :roots))"""
"""The same for users: of a closed day only their number is stored."""
_MODELS = f"""SELECT r.owner, m.model, m.model_provider, count(*) AS runs
              FROM runs r JOIN runs m ON m.root_id = r.run_id WHERE {_IN_DAY} AND m.model <> ''"""
"""The runs of workflows have no model of their own."""
_TOKENS = f"""SELECT r.owner, {_SUMS} FROM runs r JOIN journal j ON j.root_id = r.run_id
              WHERE {_IN_DAY} AND j.usage IS NOT NULL AND j.attempt > 0"""  # 0: copied from another run
_SUMS_OF_IMPORTED = ", ".join(f"SUM(JSON_WHOLE(r.totals, '{name}')) AS {name}" for name in _COUNTS)
_TOKENS_OF_IMPORTED = f"""SELECT r.owner, {_SUMS_OF_IMPORTED} FROM runs r
                          WHERE {_IN_DAY} AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.root_id = r.run_id)"""
"""Runs that were imported have no journal, only the totals of their tree."""
_ONLY = {
    "owner": " AND r.owner = :owner",
    "roots": " AND IN_LIST(r.run_id, :roots)",
}
LIVE = Statement(
    "day_live",
    f"""SELECT 1 AS one FROM runs r WHERE {_IN_DAY}
        AND r.state IN ('scheduled', 'queued', 'ready', 'running', 'paused') LIMIT 1""",
)
NEXT = Statement(
    "day_next",
    "SELECT created_at FROM runs WHERE parent_id IS NULL AND created_at >= :start ORDER BY created_at, run_id LIMIT 1",
)
NEXT_OWN = Statement(
    "day_next_own",
    """SELECT created_at FROM runs WHERE parent_id IS NULL AND owner = :owner AND created_at >= :start
       ORDER BY created_at, run_id LIMIT 1""",
)
TIMES_OF_ROOTS = Statement("roots_times", "SELECT created_at FROM runs WHERE IN_LIST(run_id, :roots)")
STORED = Statement(
    "days_stored",
    "SELECT * FROM daily_metrics WHERE owner = :owner AND day >= :first AND day <= :last ORDER BY day",
)
IS_CLOSED = Statement(
    "day_is_closed", f"SELECT 1 AS one FROM daily_metrics WHERE day = :day AND owner = '{EVERYBODY}' AND is_over = 1"
)
CLOSED = Statement("day_closed", "SELECT owner, figures FROM daily_metrics WHERE day = :day AND is_over = 1")
REMOVED = Statement("day_removed", "SELECT owner, figures FROM daily_metrics WHERE day = :day AND is_over = 0")
TURN = Statement("days_turn", "SELECT TURN('days') AS one")
# The guard at its end keeps the figures of a closed day: if two processes close it, the second one changes nothing.
PUT = Statement(
    "day_put",
    """INSERT INTO daily_metrics (day, owner, is_over, figures, created_at, updated_at)
       VALUES (:day, :owner, :is_over, :figures, :now, :now)
       ON CONFLICT (day, owner) DO UPDATE SET is_over = excluded.is_over, figures = excluded.figures,
           created_at = excluded.created_at, updated_at = excluded.updated_at
       WHERE daily_metrics.is_over = 0""",
)
# Only for rows that are stored as final, or for further owners of a closed day.
PUT_LATE = Statement(
    "day_put_late",
    """INSERT INTO daily_metrics (day, owner, is_over, figures, created_at, updated_at)
       VALUES (:day, :owner, 1, :figures, :now, :now)
       ON CONFLICT (day, owner) DO UPDATE SET is_over = 1, figures = excluded.figures,
           updated_at = excluded.updated_at""",
)
ByOwner = dict[str, DayFigures]
"""The figures of a day for each owner, and under :data:`EVERYBODY` of all."""


def day_of(at: float) -> str:
    """The date of a time, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def bounds(day: str) -> tuple[float, float]:
    """When a day begins, and when the next one does, in unix seconds."""
    start = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    return start.timestamp(), (start + timedelta(days=1)).timestamp()


async def closed_days(tx: Tx, owner: str | None, first: str, last: str) -> list[Day]:
    """The closed days from ``first`` to ``last``, for an owner (None: for everybody), oldest first."""
    rows = await tx.all(STORED, {"owner": owner or EVERYBODY, "first": first, "last": last})
    return [
        Day(
            day=row["day"],
            figures=DayFigures.from_json(json.loads(row["figures"])),
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )
        for row in rows
        if row["is_over"]
    ]


async def next_day(tx: Tx, start: float, owner: str | None) -> str | None:
    """The first day at or after a time for which a run is stored."""
    statement = NEXT if owner is None else NEXT_OWN
    row = await tx.one(statement, {"start": start} if owner is None else {"start": start, "owner": owner})
    return None if row is None else day_of(row["created_at"])


async def days_with_removed_runs(tx: Tx, owner: str | None, first: str, last: str) -> set[str]:
    """Days that are not closed and of which runs were removed."""
    rows = await tx.all(STORED, {"owner": owner or EVERYBODY, "first": first, "last": last})
    return {row["day"] for row in rows if not row["is_over"]}


async def is_closed(tx: Tx, day: str) -> bool:
    """Whether the day is closed."""
    return await tx.one(IS_CLOSED, {"day": day}) is not None


async def has_live(tx: Tx, day: str) -> bool:
    """Whether a run of the day has not finished."""
    start, end = bounds(day)
    return await tx.one(LIVE, {"start": start, "end": end}) is not None


async def count(tx: Tx, day: str, owner: str | None = None) -> ByOwner:
    """Count the figures of a day that is not closed.

    :param owner: count only this owner's runs.
    """
    figures = await _count_runs(tx, day, {} if owner is None else {"owner": owner})
    for row in await tx.all(REMOVED, {"day": day}):
        if owner in (None, row["owner"]):
            _of(figures, row["owner"]).add(DayFigures.from_json(json.loads(row["figures"])))
    # A process may stop in the middle of closing a day, when only some owners' figures are stored. Sessions of these
    # owners may be deleted before the day is closed, so the stored figures count, not the runs that are left.
    for row in await tx.all(CLOSED, {"day": day}):
        if owner in (None, row["owner"]) and row["owner"] != EVERYBODY:
            figures[row["owner"]] = DayFigures.from_json(json.loads(row["figures"]))
    return {**figures, EVERYBODY: DayFigures.sum(figures.values())}


async def closable(tx: Tx, day: str, now: float) -> ByOwner | None:
    """The figures of a day that can be closed; None if it cannot be closed yet, or already is."""
    if bounds(day)[1] + SETTLE_SECONDS > now or await is_closed(tx, day) or await has_live(tx, day):
        return None
    return await count(tx, day)


async def close(tx: Tx, day: str, figures: ByOwner, now: float, *, late_imports: int) -> bool:
    """Store the final figures of a day. It counts as closed once those of :data:`EVERYBODY` are stored.

    :param late_imports: those of :data:`EVERYBODY` when the figures were counted.
    :return: False if the day was closed meanwhile, or runs were imported that the figures do not include. Then nothing
        is stored.
    """
    await tx.one(TURN, {})  # so that an import either finds these figures, or is found here
    if await is_closed(tx, day) or (await _kept(tx, day, EVERYBODY)).late_imports != late_imports:
        return False
    for owner in sorted(figures):
        await _put(tx, day, owner, figures[owner].without_names(), 1, now)
    return True


async def keep_removed(tx: Tx, roots: Sequence[str], now: float) -> None:
    """Add the figures of root runs, whose rows are about to be removed, to those stored for their days."""
    only = {"roots": jsontext.dumps(list(roots))}
    days = await _days_of(tx, only)
    if not days:
        return
    await tx.one(TURN, {})  # one transaction at a time reads and changes the sums
    for day in days:
        if not await is_closed(tx, day):
            figures = await _count_runs(tx, day, only)
            _of(figures, EVERYBODY)  # days_with_removed_runs() finds the day by the row of everybody
            for owner in sorted(figures):
                await _add_removed(tx, day, owner, figures[owner], now)


async def add_late(tx: Tx, roots: Sequence[str], now: float) -> None:
    """Add the figures of root runs that were just imported to those that are stored as final for their days.

    Figures that were counted but are not stored yet, because a day is being closed, are made invalid.
    """
    only = {"roots": jsontext.dumps(list(roots))}
    days = await _days_of(tx, only)
    if not days:
        return
    await tx.one(TURN, {})  # as in keep_removed()
    for day in days:
        stored = {
            row["owner"]: DayFigures.from_json(json.loads(row["figures"])) for row in await tx.all(CLOSED, {"day": day})
        }
        if EVERYBODY not in stored:
            await _add_removed(tx, day, EVERYBODY, DayFigures(late_imports=1), now)
        if not stored:
            continue
        late = await _count_runs(tx, day, only)
        late[EVERYBODY] = DayFigures.sum(late.values())
        for owner in sorted(late):
            # A day that is not closed may have rows of some owners, see count().
            if owner in stored or EVERYBODY in stored:
                figures = stored.get(owner, DayFigures())
                figures.add(late[owner].without_names())
                text = jsontext.dumps(figures.as_json())
                await tx.run(PUT_LATE, {"day": day, "owner": owner, "figures": text, "now": now})


async def _days_of(tx: Tx, roots: dict[str, str]) -> list[str]:
    times = await tx.all(TIMES_OF_ROOTS, roots)
    return sorted({day_of(row["created_at"]) for row in times})


async def _add_removed(tx: Tx, day: str, owner: str, figures: DayFigures, now: float) -> None:
    figures.add(await _kept(tx, day, owner))
    await _put(tx, day, owner, figures, 0, now)


async def _kept(tx: Tx, day: str, owner: str) -> DayFigures:
    """What is stored for a day that is not closed."""
    rows = [row for row in await tx.all(REMOVED, {"day": day}) if row["owner"] == owner]
    return DayFigures.sum(DayFigures.from_json(json.loads(row["figures"])) for row in rows)


async def _put(tx: Tx, day: str, owner: str, figures: DayFigures, is_over: int, now: float) -> None:
    text = jsontext.dumps(figures.as_json())
    await tx.run(PUT, {"day": day, "owner": owner, "is_over": is_over, "figures": text, "now": now})


async def _count_runs(tx: Tx, day: str, only: dict[str, str]) -> ByOwner:
    """Count the runs of a day whose rows are stored, by owner ("": without an owner).

    :param only: limits the runs to those of an ``owner``, or to some ``roots``.
    """
    start, end = bounds(day)
    params: dict[str, Any] = {"start": start, "end": end, **only}
    figures: ByOwner = {}

    def statement(name: str, text: str, group: str = "") -> Statement:
        where = "".join(_ONLY[key] for key in only)
        return Statement(f"day_{name} {' '.join(only)}", f"{text}{where}{group}")

    runs, users = (_RUNS_OF_ROOTS, _USERS_OF_ROOTS) if "roots" in only else (_RUNS, _USERS)
    for row in await tx.all(statement("runs", runs, " GROUP BY r.owner, r.component_kind"), params):
        of_owner = _of(figures, row["owner"])
        of_owner.runs[row["kind"]], of_owner.sessions[row["kind"]] = int(row["runs"]), int(row["sessions"])
    for row in await tx.all(statement("users", users), params):
        _of(figures, row["owner"]).users.add(hashlib.sha256(row["user_id"].encode()).hexdigest()[:16])
    for row in await tx.all(statement("models", _MODELS, " GROUP BY r.owner, m.model, m.model_provider"), params):
        _of(figures, row["owner"]).models[row["model"], row["model_provider"]] = int(row["runs"])
    for name, text in (("tokens", _TOKENS), ("tokens_of_imported", _TOKENS_OF_IMPORTED)):
        for row in await tx.all(statement(name, text, " GROUP BY r.owner"), params):
            _of(figures, row["owner"]).usage.add(Usage(**{name: int(row[name] or 0) for name in _COUNTS}))
    return figures


def _of(figures: ByOwner, owner: str | None) -> DayFigures:
    return figures.setdefault(owner or EVERYBODY, DayFigures())
