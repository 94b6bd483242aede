"""Limits per user: how many runs may wait, and how many may run at once. Used only if they are set."""

from dataclasses import dataclass

from musterd.core.errors import TooManyRequests
from musterd.core.states import RunState
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
