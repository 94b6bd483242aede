"""The attempts of a run that ended without ending it, and those that followed.

Most runs end in their first attempt. That attempt needs no row: the row of the run has its start, its worker and its
end.
"""

import json
from collections.abc import Sequence

from musterd.core.records import AttemptOutcome, RunAttempt, RunRow
from musterd.store.database import Statement
from musterd.store.shards import SessionTx

BEGIN = Statement(
    "run_attempt_begin",
    """INSERT INTO run_attempts (root_id, attempt, shard, worker, started_at)
       VALUES (:root, :attempt, :shard, :worker, :now)""",
)
# The first attempt has no row before its end. Executed before the update that takes the run from its worker.
END = Statement(
    "run_attempt_end",
    """INSERT INTO run_attempts (root_id, attempt, shard, worker, started_at, ended_at, outcome)
       SELECT run_id, attempt, shard, worker, COALESCE(started_at, :ended_at), :ended_at, :outcome
       FROM runs WHERE run_id = :root AND shard = :shard AND attempt = :attempt
       ON CONFLICT (root_id, attempt, shard) DO UPDATE SET ended_at = excluded.ended_at, outcome = excluded.outcome""",
)
OF_ROOT = Statement(
    "run_attempts_of_root",
    """SELECT attempt, worker, started_at, ended_at, outcome FROM run_attempts
       WHERE root_id = :root AND shard = :shard ORDER BY attempt""",
)
LAST_EVENTS = Statement(
    "run_last_events",
    "SELECT payload FROM run_events WHERE root_id = :root AND shard = :shard ORDER BY first_index DESC LIMIT 1",
)
LAST_STEP = Statement(
    "run_last_step",
    "SELECT max(COALESCE(ended_at, started_at)) AS at FROM journal WHERE root_id = :root AND shard = :shard",
)


async def begin(tx: SessionTx, run: RunRow, now: float) -> None:
    """Note that a claimed run begins another attempt."""
    await tx.run(BEGIN, {"root": run.run_id, "attempt": run.attempt, "worker": run.worker, "now": now})


async def end(tx: SessionTx, root_id: str, attempt: int, ended_at: float, outcome: AttemptOutcome) -> None:
    """Note that an attempt ends, and its run does not. The caller then takes the run from its worker."""
    params = {"root": root_id, "attempt": attempt, "ended_at": ended_at, "outcome": outcome.value}
    await tx.run(END, params)


async def end_lost(tx: SessionTx, run: RunRow, beaten_at: float | None) -> None:
    """Note that the process of an attempt died. The attempt ended with its last write or its process's last heartbeat.

    :param beaten_at: when that was; None if the process was not announced.
    """
    events, step = await tx.one(LAST_EVENTS, {"root": run.run_id}), await tx.one(LAST_STEP, {"root": run.run_id})
    times = [] if events is None else [event[2] for event in json.loads(events["payload"])]
    times += [at for at in (None if step is None else step["at"], beaten_at) if at is not None]
    earliest = run.started_at or 0.0
    begun = await of_root(tx, run.run_id)
    if begun and begun[-1].attempt == run.attempt:
        earliest = begun[-1].started_at
    await end(tx, run.run_id, run.attempt, max([earliest, *times]), AttemptOutcome.LOST)


async def of_root(tx: SessionTx, root_id: str) -> Sequence[RunAttempt]:
    """The attempts of a run that have a row, in order."""
    return [
        RunAttempt(
            attempt=row["attempt"],
            worker=row["worker"],
            started_at=row["started_at"],
            ended_at=row["ended_at"],
            outcome=None if row["outcome"] is None else AttemptOutcome(row["outcome"]),
        )
        for row in await tx.all(OF_ROOT, {"root": root_id})
    ]
