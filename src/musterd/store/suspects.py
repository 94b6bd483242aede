"""Claiming suspects: runs that were running during two crashes without storing a step (``store/crashes.py``)."""

from collections.abc import Sequence
from dataclasses import dataclass

from musterd.core import jsontext
from musterd.core.records import RunRow
from musterd.store import claims
from musterd.store.crashes import LONGEST_PROBATION_SECONDS, SUSPECT_FROM
from musterd.store.database import Statement, Tx
from musterd.store.shards import SessionTx

GROUPS = {4: 1, 3: 6, 2: 32}
"""How many runs are on probation together, by their number of crashes without a new step.

Hundreds of runs may have been running during two crashes, and most of them did not cause them, so they are tried in
large groups. If the process dies again, its group is tried in smaller groups, and in the end one by one.
"""

MAX_CRASHES = Statement(
    "suspects_most_crashes", "SELECT max(crashes_in_all) AS n FROM runs WHERE IN_LIST(run_id, :run_ids)"
)
SURVIVED = Statement(
    "suspect_survived",
    f"""UPDATE runs SET crashes = {SUSPECT_FROM - 1}
        WHERE run_id = :run_id AND shard = :shard AND attempt = :attempt AND state = 'running'
          AND crashes >= {SUSPECT_FROM}""",
)


@dataclass(frozen=True, slots=True)
class Suspects:
    """Runs that go on probation together.

    :param seconds: how long the probation lasts, unless they store a step or finish earlier.
    """

    runs: list[RunRow]
    seconds: float = 0.0


async def claim(
    tx: Tx, worker: str, components: Sequence[str], limit: int, now: float, max_per_owner: int = 0
) -> Suspects:
    """Claim a group of suspects with the same number of crashes, at most ``limit``; those with the most crashes first.

    :param max_per_owner: how many runs of one user may be at work; 0 means no limit.
    """
    for count, size in GROUPS.items():
        crashes, most = (count, count), min(size, limit)
        runs = await claims.claim(tx, worker, components, most, now, crashes=crashes, max_per_owner=max_per_owner)
        if runs:
            return Suspects(runs, await _probation_seconds(tx, runs))
    return Suspects([])


async def _probation_seconds(tx: Tx, runs: Sequence[RunRow]) -> float:
    row = await tx.one(MAX_CRASHES, {"run_ids": jsontext.dumps([run.run_id for run in runs])})
    crashes = 0 if row is None else int(row["n"])
    return min(2.0**crashes, LONGEST_PROBATION_SECONDS)


async def survived(tx: Tx, run: RunRow) -> None:
    """Clear the suspicion of a run that is still running at the end of its probation.

    The attempt number in the statement makes sure that it is the same attempt, and not one that followed a crash.
    """
    await SessionTx(tx, run.session_id).run(SURVIVED, {"run_id": run.run_id, "attempt": run.attempt})
