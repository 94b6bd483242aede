"""Pausing: an attempt hands its run to a person."""

from dataclasses import dataclass

from musterd.core.deliveries import Happening
from musterd.core.errors import LeaseLost, RunFailed
from musterd.core.records import Output
from musterd.core.states import RunState
from musterd.store import attempts, cancels, decisions, finish, run_outputs, sessions
from musterd.store.attempts import Batch, Lease, Settled, TransitionRefused
from musterd.store.database import Statement, Tx
from musterd.store.schedule import Moved

PAUSE = Statement(
    "attempt_pause",
    """UPDATE runs SET next_event = next_event + :count, state = 'paused', version = version + 1, worker = NULL,
                       holder = CASE WHEN hold_paused = 1 THEN holder END, expires_at = :expires_at,
                       first_token_at = COALESCE(first_token_at, :first_token_at), crashes = 0, not_before = NULL,
                       cancel_on_disconnect = 0
       WHERE run_id = :root AND attempt = :attempt AND state = 'running' AND cancel_requested_at IS NULL
         AND NOT EXISTS (SELECT 1 FROM approvals WHERE root_id = :root AND state = 'decided')
         AND NOT EXISTS (SELECT 1 FROM runs AS member WHERE member.root_id = :root AND member.parent_id IS NOT NULL
                         AND member.cancel_requested_at IS NOT NULL AND member.state IN ('running', 'paused'))
       RETURNING next_event""",
)
PAUSE_MEMBERS = Statement(
    "members_pause",
    """UPDATE runs SET state = 'paused', version = version + 1
       WHERE root_id = :root AND parent_id IS NOT NULL AND state = 'running'""",
)
STILL_OURS = Statement(
    "attempt_still_ours",
    "SELECT 1 AS found FROM runs WHERE run_id = :root AND attempt = :attempt AND state = 'running'",
)


EXPIRED = Statement(
    "runs_expired",
    """SELECT run_id FROM runs WHERE state = 'paused' AND parent_id IS NULL AND expires_at <= :now
       ORDER BY expires_at LIMIT :limit""",
)
EXPIRES_AT = Statement("run_expires_at", "SELECT expires_at FROM runs WHERE run_id = :run_id")
LIMIT = 100
NOBODY_DECIDED = "The run waited for a decision, and nobody made one in time."


class DecisionStored(TransitionRefused):
    """A decision has come meanwhile, or a member is to stop; the run cannot pause before it is acted on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """How an attempt hands its run to a person.

    :param expires_at: when it ends if nobody decides.
    """

    at: float
    expires_at: float
    session_id: str
    output: Output
    messages: list[str]


async def pause(tx: Tx, lease: Lease, batch: Batch, how: Pause) -> Settled:
    """Store the last batch and pause the run: it holds neither slot nor line while it waits, and needs no reader.

    :raises LeaseLost: the attempt is not the run's current one.
    :raises CancelStored: a cancel was stored.
    :raises DecisionStored: a decision is there that no attempt has acted on.
    """
    ours = {"root": lease.root_id, "attempt": lease.attempt}
    params = {"count": len(batch.events), "expires_at": how.expires_at, "first_token_at": batch.first_token_at}
    session = await sessions.lock(tx, how.session_id)
    row = await tx.one(PAUSE, {**ours, **params})
    if row is None:
        if await tx.one(attempts.CANCEL_STORED, ours) is not None:
            raise attempts.CancelStored
        if await tx.one(STILL_OURS, ours) is not None:
            raise DecisionStored
        raise LeaseLost
    first_index = int(row["next_event"]) - len(batch.events)
    await attempts.write(tx, lease, batch, first_index)
    await tx.run(PAUSE_MEMBERS, {"root": lease.root_id})
    await run_outputs.put(tx, lease.root_id, how.output, how.messages)
    if lease.webhooks:
        await attempts.tell(tx, lease, Happening.RUN_PAUSED, how.at, {"requirements": how.output.requirements})
    promoted = await attempts.promote(tx, how.session_id)
    return Settled(first_index, promoted, session is not None and session.deleted_at is not None)


async def expire(tx: Tx, now: float, limit: int = LIMIT) -> Moved:
    """Let paused runs that waited too long go on as was declared for that; end those for which nothing was."""
    moved = Moved()
    for row in await tx.all(EXPIRED, {"now": now, "limit": limit}):
        run = await cancels.lock(tx, row["run_id"])
        if run is None or run.state is not RunState.PAUSED:
            continue
        held = await tx.one(EXPIRES_AT, {"run_id": run.run_id})
        if held is None or held["expires_at"] is None or held["expires_at"] > now:
            continue
        if await decisions.by_default(tx, run, now):
            moved.joined.append(run)
        else:
            moved.told.append(await finish.fail(tx, run, RunFailed(NOBODY_DECIDED, finish.EXPIRED), now))
    return moved
