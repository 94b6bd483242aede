"""Limits per user: how many runs may wait, and how many may run at once. Used only if they are set."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from musterd.core import jsontext
from musterd.core.errors import TooManyRequests
from musterd.core.states import RunState
from musterd.store.crashes import HAS_WAITED, SUSPECT_FROM
from musterd.store.database import Statement, Tx

LIVES = "parent_id IS NULL AND state IN ('scheduled', 'queued', 'ready', 'running')"
"""The condition of the partial index ``runs_of_owner``, word for word: otherwise SQLite does not use the index."""

LIVE = Statement(
    "runs_of_owner",
    f"SELECT state, count(*) AS n FROM runs WHERE owner = :owner AND {LIVES} GROUP BY state",
)
# Advisory locks, because what must be serialized is a count over rows that do not exist yet or that change meanwhile;
# no row could be locked for it.
TURN = Statement("claims_turn", "SELECT TURN('claims') AS held")
QUEUE_TURN = Statement("owner_queue_turn", "SELECT TURN('queue', :owner) AS held")
# Its conditions are those of the index of running runs; with one for the owner, SQLite prefers the index of all runs.
RUNNING = Statement(
    "owners_running",
    """SELECT COALESCE(owner, '') AS owner, count(*) AS n FROM runs
       WHERE parent_id IS NULL AND state = 'running' AND worker IS NOT NULL GROUP BY 1""",
)
_MAY_BE_CLAIMED = f"""runs.cancel_requested_at IS NULL AND {HAS_WAITED}
                      AND IN_LIST(runs.component_kind || ':' || runs.component_id, :components)"""
READY_SUSPECTS = Statement(
    "owners_ready_suspects",
    f"""SELECT owner, count(*) AS n FROM runs
        WHERE state = 'ready' AND crashes >= {SUSPECT_FROM} AND owner IS NOT NULL AND {_MAY_BE_CLAIMED}
        GROUP BY owner""",
)
# The index has the columns of `ready`, so the runs of users without room are passed over without a look at their rows.
CANDIDATES = Statement(
    "runs_within_limits",
    f"""SELECT ready.run_id, ready.owner FROM runs ready
        JOIN runs ON runs.run_id = ready.run_id AND runs.shard = ready.shard
        WHERE ready.state = 'ready' AND NOT IN_LIST(COALESCE(ready.owner, ''), :full)
          AND NOT IN_LIST(ready.run_id, :chosen)
          AND runs.crashes BETWEEN :min_crashes AND :max_crashes AND {_MAY_BE_CLAIMED}
        ORDER BY ready.priority DESC, ready.queued_at LIMIT :limit""",
)
CANDIDATES_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLimits:
    """Limits of one user; 0 means no limit.

    :param queue_depth: how many runs may wait.
    :param concurrency: how many runs may run at once, in all processes.
    """

    queue_depth: int = 0
    concurrency: int = 0


async def require_room(tx: Tx, owner: str | None, limits: UserLimits) -> None:
    """Check that one more run of this user may wait. Runs that can be claimed at once do not count.

    :raises TooManyRequests: too many runs of the user are waiting.
    """
    if owner is None or not limits.queue_depth:
        return
    # One acceptance per user at a time: two that count at once would each find room for one more run. At READ COMMITTED
    # a statement sees what was committed when it began, so the lock is a statement of its own: the count must see what
    # the previous holder committed.
    await tx.one(QUEUE_TURN, {"owner": owner})
    by_state = {row["state"]: int(row["n"]) for row in await tx.all(LIVE, {"owner": owner})}
    running = by_state.pop(RunState.RUNNING.value, 0)
    waiting = sum(by_state.values())
    if waiting - max(limits.concurrency - running, 0) >= limits.queue_depth:
        raise TooManyRequests(f"{waiting} runs of this user are already waiting; try again later.")


async def choose_ready(tx: Tx, params: Mapping[str, Any], limit: int, max_per_owner: int) -> list[str]:
    """Choose up to ``limit`` ready runs whose users have room for them, by priority and then by waiting time.

    Suspects have the first places of their user. Otherwise other runs of the user could keep them waiting forever.

    :param params: ``components``, ``now``, and the numbers of crashes of the runs, ``min_crashes`` and ``max_crashes``.
    """
    # Claims that count a user's runs must run one at a time: two that count at once would each find room for one more
    # run. The lock is a statement of its own, so that the counts see what the previous claim committed.
    await tx.one(TURN, {})
    # Runs without an owner have no limit.
    places = Counter({row["owner"]: int(row["n"]) for row in await tx.all(RUNNING, {}) if row["owner"]})
    if params["max_crashes"] < SUSPECT_FROM:
        suspects = {"components": params["components"], "now": params["now"]}
        places.update({row["owner"]: int(row["n"]) for row in await tx.all(READY_SUSPECTS, suspects)})
    chosen: list[str] = []
    while len(chosen) < limit:
        # The first of these runs has room, because the runs of users without room are left out: so this ends.
        lists = {
            "full": jsontext.dumps([owner for owner, count in places.items() if count >= max_per_owner]),
            "chosen": jsontext.dumps(chosen),
        }
        candidates = await tx.all(CANDIDATES, {**params, **lists, "limit": CANDIDATES_AT_ONCE})
        for candidate in candidates:
            if len(chosen) == limit:
                break
            owner = candidate["owner"]
            if owner is not None:
                if places[owner] >= max_per_owner:
                    continue
                places[owner] += 1
            chosen.append(candidate["run_id"])
        if len(candidates) < CANDIDATES_AT_ONCE:
            break
    return chosen
