"""What ran each day: counted from runs, kept for days that are over.

A run counts for the day (UTC) of its acceptance. Rows of ``daily_metrics`` are of two kinds: a day that is over, with
every run of it, is kept as it was counted, for everybody (owner "") and for each owner; of any other day a row holds
the figures of sessions that were deleted since, so that what a day counts does not shrink.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from musterd.core import jsontext
from musterd.core.records import Usage
from musterd.core.usage import Day, DayFigures
from musterd.store.database import Statement, Tx

EVERYBODY = ""
SETTLE_SECONDS = 300.0
"""How long after its end a day is not kept yet: acceptances are stored a little after their time, and clocks differ."""
_COUNTS = ("input_tokens", "output_tokens", "reasoning_tokens", "cache_read_tokens", "cache_write_tokens")
_SUMS = ", ".join(f"SUM(JSON_WHOLE(j.usage, '{name}')) AS {name}" for name in _COUNTS)
_IN_DAY = "r.parent_id IS NULL AND r.created_at >= :start AND r.created_at < :end AND r.copied_from IS NULL"
"""A copy in a forked session was paid for once, where it was made."""

_RUNS = f"""SELECT r.owner, r.component_kind AS kind, count(*) AS runs, count(DISTINCT r.session_id) AS sessions
            FROM runs r WHERE {_IN_DAY}"""
_RUNS_OF_ROOTS = f"""SELECT r.owner, r.component_kind AS kind, count(*) AS runs, count(DISTINCT CASE WHEN NOT EXISTS (
                         SELECT 1 FROM runs o WHERE o.session_id = r.session_id AND o.parent_id IS NULL
                         AND o.created_at >= :start AND o.created_at < :end AND o.copied_from IS NULL
                         AND o.component_kind = r.component_kind AND NOT IN_LIST(o.run_id, :roots))
                       THEN r.session_id END) AS sessions FROM runs r WHERE {_IN_DAY}"""
"""A session whose other runs of the day stay is counted with these."""
_USERS = f"SELECT DISTINCT r.owner, r.user_id FROM runs r WHERE {_IN_DAY} AND r.user_id IS NOT NULL"
_MODELS = f"""SELECT r.owner, m.model, m.model_provider, count(*) AS runs
              FROM runs r JOIN runs m ON m.root_id = r.run_id WHERE {_IN_DAY}"""
_TOKENS = f"""SELECT r.owner, {_SUMS} FROM runs r JOIN journal j ON j.root_id = r.run_id
              WHERE {_IN_DAY} AND j.usage IS NOT NULL AND j.attempt > 0"""  # 0: taken over from another run
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
KEPT = Statement(
    "days_kept",
    """SELECT * FROM daily_metrics WHERE owner = :owner AND day >= :first AND day <= :last ORDER BY day""",
)
IS_OVER = Statement(
    "day_is_over", f"SELECT 1 AS one FROM daily_metrics WHERE day = :day AND owner = '{EVERYBODY}' AND is_over = 1"
)
CLOSED = Statement("day_closed", "SELECT owner, figures FROM daily_metrics WHERE day = :day AND is_over = 1")
REMOVED = Statement("day_removed", "SELECT owner, figures FROM daily_metrics WHERE day = :day AND is_over = 0")
TURN = Statement("days_turn", "SELECT TURN('days') AS one")
PUT = Statement(
    "day_put",
    """INSERT INTO daily_metrics (day, owner, is_over, figures, created_at, updated_at)
       VALUES (:day, :owner, :is_over, :figures, :now, :now)
       ON CONFLICT (day, owner) DO UPDATE SET is_over = excluded.is_over, figures = excluded.figures,
           created_at = excluded.created_at, updated_at = excluded.updated_at
       WHERE daily_metrics.is_over = 0""",
)
ByOwner = dict[str, DayFigures]


def day_of(at: float) -> str:
    """The date of a time, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def bounds(day: str) -> tuple[float, float]:
    """When a day begins, and when the next does."""
    start = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    return start.timestamp(), (start + timedelta(days=1)).timestamp()


async def kept(tx: Tx, owner: str | None, first: str, last: str) -> list[Day]:
    """The days from ``first`` to ``last`` that are kept as over, for an owner (None: for everybody), oldest first."""
    rows = await tx.all(KEPT, {"owner": owner or EVERYBODY, "first": first, "last": last})
    return [
        Day(
            day=row["day"],
            metrics=DayFigures.from_json(json.loads(row["figures"])),
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )
        for row in rows
        if row["is_over"]
    ]


async def next_day(tx: Tx, start: float, owner: str | None) -> str | None:
    """The first day at or after a time in which something was accepted and is still there."""
    statement = NEXT if owner is None else NEXT_OWN
    row = await tx.one(statement, {"start": start} if owner is None else {"start": start, "owner": owner})
    return None if row is None else day_of(row["created_at"])


async def removed_days(tx: Tx, owner: str | None, first: str, last: str) -> set[str]:
    """Days of which sessions were deleted before they were kept as over."""
    rows = await tx.all(KEPT, {"owner": owner or EVERYBODY, "first": first, "last": last})
    return {row["day"] for row in rows if not row["is_over"]}


async def is_over(tx: Tx, day: str) -> bool:
    """Whether the day is kept as over."""
    return await tx.one(IS_OVER, {"day": day}) is not None


async def has_live(tx: Tx, day: str) -> bool:
    """Whether a run of the day has not ended."""
    start, end = bounds(day)
    return await tx.one(LIVE, {"start": start, "end": end}) is not None


async def counted(tx: Tx, day: str, owner: str | None = None) -> ByOwner:
    """What a day counts now, by owner, and for everybody; for one owner alone where one is given."""
    found = await _live_figures(tx, day, {} if owner is None else {"owner": owner})
    for row in await tx.all(REMOVED, {"day": day}):
        if owner in (None, row["owner"]):
            _of(found, row["owner"]).add(DayFigures.from_json(json.loads(row["figures"])))
    # A stop may come after some owners' figures were kept, and sessions of these may be deleted before the day is over.
    for row in await tx.all(CLOSED, {"day": day}):
        if owner in (None, row["owner"]) and row["owner"] != EVERYBODY:
            found[row["owner"]] = DayFigures.from_json(json.loads(row["figures"]))
    return {**found, EVERYBODY: DayFigures.sum(found.values())}


async def closable(tx: Tx, day: str, now: float) -> ByOwner | None:
    """What a day counts, by owner, if it can be kept: it is over, and so is every run of it. None: it cannot, or is."""
    if bounds(day)[1] + SETTLE_SECONDS > now or await is_over(tx, day) or await has_live(tx, day):
        return None
    return await counted(tx, day)


async def close(tx: Tx, day: str, metrics: ByOwner, now: float) -> None:
    """Keep a day that is over."""
    for owner in sorted(metrics):
        await _put(tx, day, owner, metrics[owner].without_names(), 1, now)


async def keep_removed(tx: Tx, roots: Sequence[str], now: float) -> None:
    """Keep what root runs of one session count in days that are not over yet, before their rows go."""
    only = {"roots": jsontext.dumps(list(roots))}
    times = await tx.all(TIMES_OF_ROOTS, only)
    days = sorted({day_of(row["created_at"]) for row in times})
    if not days:
        return
    await tx.one(TURN, {})
    for day in days:
        if not await is_over(tx, day):
            found = await _live_figures(tx, day, only)
            _of(found, EVERYBODY)  # a row for everybody is how the day is found
            for owner in sorted(found):
                await _add_removed(tx, day, owner, found[owner], now)


async def _add_removed(tx: Tx, day: str, owner: str, metrics: DayFigures, now: float) -> None:
    for row in await tx.all(REMOVED, {"day": day}):
        if row["owner"] == owner:
            metrics.add(DayFigures.from_json(json.loads(row["figures"])))
    await _put(tx, day, owner, metrics, 0, now)


async def _put(tx: Tx, day: str, owner: str, metrics: DayFigures, over: int, now: float) -> None:
    text = jsontext.dumps(metrics.as_json())
    await tx.run(PUT, {"day": day, "owner": owner, "is_over": over, "figures": text, "now": now})


async def _live_figures(tx: Tx, day: str, only: dict[str, str]) -> ByOwner:
    """What the runs of a day that are still there count, by owner ("": of nobody)."""
    start, end = bounds(day)
    params: dict[str, Any] = {"start": start, "end": end, **only}
    found: ByOwner = {}

    def asked(name: str, text: str, group: str = "") -> Statement:
        where = "".join(_ONLY[key] for key in only)
        return Statement(f"day_{name} {' '.join(only)}", f"{text}{where}{group}")

    runs = _RUNS_OF_ROOTS if "roots" in only else _RUNS
    for row in await tx.all(asked("runs", runs, " GROUP BY r.owner, r.component_kind"), params):
        metrics = _of(found, row["owner"])
        metrics.runs[row["kind"]], metrics.sessions[row["kind"]] = int(row["runs"]), int(row["sessions"])
    for row in await tx.all(asked("users", _USERS), params):
        _of(found, row["owner"]).users.add(hashlib.sha256(row["user_id"].encode()).hexdigest()[:16])
    for row in await tx.all(asked("models", _MODELS, " GROUP BY r.owner, m.model, m.model_provider"), params):
        _of(found, row["owner"]).models[row["model"], row["model_provider"]] = int(row["runs"])
    for row in await tx.all(asked("tokens", _TOKENS, " GROUP BY r.owner"), params):
        _of(found, row["owner"]).usage = Usage(**{name: int(row[name] or 0) for name in _COUNTS})
    return found


def _of(found: ByOwner, owner: str | None) -> DayFigures:
    return found.setdefault(owner or EVERYBODY, DayFigures())
