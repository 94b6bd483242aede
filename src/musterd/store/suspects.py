"""Suspects: runs that were at work in two crashes without storing a step (``store/crashes.py``)."""

from collections.abc import Sequence
from dataclasses import dataclass

from musterd.core import jsontext
from musterd.core.records import RunRow
from musterd.store import attempts
from musterd.store.crashes import LONGEST_PROBATION_SECONDS, SUSPECT_FROM
from musterd.store.database import Statement, Tx

GROUPS = {4: 1, 3: 6, 2: 32}
"""How many runs of so many crashes without a new step are on probation together.

Two crashes say little about each of the runs at work, of which there may be hundreds: they are tried together. If the
process dies again, these are tried in smaller groups, and in the end one by one.
"""

MOST_CRASHES = Statement(
    "suspects_most_crashes", "SELECT max(crashes_in_all) AS n FROM runs WHERE IN_LIST(run_id, :run_ids)"
)
SURVIVED = Statement(
    "suspect_survived",
    f"""UPDATE runs SET crashes = {SUSPECT_FROM - 1}
        WHERE run_id = :run_id AND attempt = :attempt AND state = 'running' AND crashes >= {SUSPECT_FROM}""",
)


@dataclass(frozen=True, slots=True)
class Suspects:
    """Runs that go on probation together.

    :param seconds: how long, unless they store a step or end before.
    """

    runs: list[RunRow]
    seconds: float = 0.0


async def claim(
    tx: Tx, worker: str, components: Sequence[str], limit: int, now: float, most_of_owner: int = 0
) -> Suspects:
    """Take a group of suspects: of those with the most crashes, up to ``limit``.

    :param most_of_owner: how many runs of one user may be at work; 0: any number.
    """
    for crashes, size in GROUPS.items():
        same, most = (crashes, crashes), min(size, limit)
        if runs := await attempts.claim(tx, worker, components, most, now, crashes=same, most_of_owner=most_of_owner):
            return Suspects(runs, await _seconds(tx, runs))
    return Suspects([])


async def _seconds(tx: Tx, runs: Sequence[RunRow]) -> float:
    row = await tx.one(MOST_CRASHES, {"run_ids": jsontext.dumps([run.run_id for run in runs])})
    crashes = 0 if row is None else int(row["n"])
    return min(2.0**crashes, LONGEST_PROBATION_SECONDS)


async def survived(tx: Tx, run: RunRow) -> None:
    """The run is no suspect any more: it was at work long enough, if it still is."""
    await tx.run(SURVIVED, {"run_id": run.run_id, "attempt": run.attempt})
