"""Claiming ready runs. A claim begins the run's next attempt."""

from collections.abc import Sequence
from typing import Any

from musterd.core import jsontext
from musterd.core.records import RunRow
from musterd.store import run_attempts, transitions, user_limits
from musterd.store.crashes import SUSPECT_FROM
from musterd.store.database import Row, Tx
from musterd.store.rows import run_row
from musterd.store.shards import SessionTx

NO_SUSPECTS = (0, SUSPECT_FROM - 1)


async def claim(
    tx: Tx,
    worker: str,
    components: Sequence[str],
    limit: int,
    now: float,
    *,
    crashes: tuple[int, int] = NO_SUSPECTS,
    max_per_owner: int = 0,
) -> list[RunRow]:
    """Claim up to ``limit`` ready runs, by priority and then by waiting time; each gets the next attempt number.

    :param crashes: the minimum and maximum number of crashes without a new step; by default no suspects.
    :param max_per_owner: how many runs of one user may be at work; 0 means no limit.
    """
    params = _claim_params(worker, components, now, crashes)
    if max_per_owner:
        run_ids = await user_limits.choose_ready(tx, params, limit, max_per_owner)
        named = {**params, "run_ids": jsontext.dumps(run_ids)}
        rows = await tx.all(transitions.CLAIM_BY_IDS, named) if run_ids else []
    else:
        rows = await tx.all(transitions.CLAIM, {**params, "limit": limit})
    return await _begin_attempts(tx, rows, now)


async def claim_by_ids(
    tx: Tx, worker: str, components: Sequence[str], run_ids: Sequence[str], now: float
) -> list[RunRow]:
    """Claim those of these runs that are ready and no suspects; each gets the next attempt number."""
    params = {**_claim_params(worker, components, now, NO_SUSPECTS), "run_ids": jsontext.dumps(list(run_ids))}
    rows = await tx.all(transitions.CLAIM_BY_IDS, params)
    return await _begin_attempts(tx, rows, now)


def _claim_params(worker: str, components: Sequence[str], now: float, crashes: tuple[int, int]) -> dict[str, Any]:
    return {
        "worker": worker,
        "components": jsontext.dumps(list(components)),
        "now": now,
        "min_crashes": crashes[0],
        "max_crashes": crashes[1],
    }


async def _begin_attempts(tx: Tx, rows: Sequence[Row], now: float) -> list[RunRow]:
    claimed = [run_row(row) for row in rows]
    for run in claimed:
        if run.attempt > 1:  # the run may have been paused, and its members with it
            session = SessionTx(tx, run.session_id)
            await session.run(transitions.RESUME_MEMBERS, {"root": run.run_id})
            await run_attempts.begin(session, run, now)
    # RETURNING gives the rows in no particular order.
    return sorted(claimed, key=lambda run: (-run.priority, run.queued_at or 0.0))
