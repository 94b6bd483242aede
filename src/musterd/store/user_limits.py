"""Limits per user: how many runs may wait, and how many may run at once. Used only if they are set."""

from dataclasses import dataclass

from musterd.core.errors import TooManyRequests
from musterd.core.states import RunState
from musterd.store.crashes import HAS_WAITED, NOTHING_STORED, SUSPECT_FROM
from musterd.store.database import Statement, Tx
from musterd.store.rows import RUN_COLUMNS
from musterd.store.sessions import BEGUN_AT

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
# Suspects come first in their user's share; otherwise other runs of the user could keep them waiting for ever. `chosen`
# locks nothing, so `picked` checks the state once more when it locks the rows.
CLAIM_FAIRLY = Statement(
    "runs_claim_fairly",
    f"""WITH placed AS (
          SELECT run_id, owner, priority, queued_at, crashes,
                 row_number() OVER (PARTITION BY owner
                                    ORDER BY CASE WHEN crashes >= {SUSPECT_FROM} THEN 0 ELSE 1 END,
                                             priority DESC, queued_at) AS place
          FROM runs WHERE state = 'ready' AND cancel_requested_at IS NULL
          AND IN_LIST(component_kind || ':' || component_id, :components)
          AND {HAS_WAITED}),
        busy AS (
          SELECT COALESCE(owner, '') AS owner, count(*) AS n FROM runs
          WHERE parent_id IS NULL AND state = 'running' AND worker IS NOT NULL GROUP BY 1),
        chosen AS (
          SELECT p.run_id FROM placed p LEFT JOIN busy b ON b.owner = p.owner
          WHERE p.crashes BETWEEN :least_crashes AND :most_crashes
          AND (p.owner IS NULL OR p.place + COALESCE(b.n, 0) <= :most_of_owner)
          ORDER BY p.priority DESC, p.queued_at LIMIT :limit),
        picked AS MATERIALIZED (
          SELECT run_id FROM runs WHERE run_id IN (SELECT run_id FROM chosen)
          AND state = 'ready' AND cancel_requested_at IS NULL LOCK_FREE_ROWS)
        UPDATE runs SET state = 'running', attempt = attempt + 1, worker = :worker, version = version + 1,
                        started_at = {BEGUN_AT}, not_before = {NOTHING_STORED}
        WHERE run_id IN (SELECT run_id FROM picked)
        RETURNING {RUN_COLUMNS}""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLimits:
    """Limits of one user; 0 means no limit.

    :param queue_depth: how many runs may wait.
    :param concurrency: how many runs may run at once, in all processes.
    """

    queue_depth: int = 0
    concurrency: int = 0


async def require_room(tx: Tx, owner: str | None, shares: UserLimits) -> None:
    """Check that one more run of this user may wait. Runs that can be claimed at once do not count.

    :raises TooManyRequests: too many runs of the user are waiting.
    """
    if owner is None or not shares.queue_depth:
        return
    # One acceptance per user at a time: two that count at once would each find room for one more run. At READ COMMITTED
    # a statement sees what was committed when it began, so the lock is a statement of its own: the count must see what
    # the previous holder committed.
    await tx.one(QUEUE_TURN, {"owner": owner})
    by_state = {row["state"]: int(row["n"]) for row in await tx.all(LIVE, {"owner": owner})}
    running = by_state.pop(RunState.RUNNING.value, 0)
    waiting = sum(by_state.values())
    if waiting - max(shares.concurrency - running, 0) >= shares.queue_depth:
        raise TooManyRequests(f"{waiting} runs of this user are already waiting; try again later.")
