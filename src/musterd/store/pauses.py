"""Pausing a run until a person decides, and expiring runs for which no decision came in time."""

from dataclasses import dataclass

from musterd.core.deliveries import WebhookEvent
from musterd.core.errors import LeaseLost, RunFailed
from musterd.core.jsontypes import JsonObject
from musterd.core.records import AttemptOutcome, Output
from musterd.core.states import RunState
from musterd.store import (
    attempt_writes,
    decisions,
    run_attempts,
    run_failures,
    run_locks,
    run_outputs,
    session_queue,
    sessions,
    transitions,
)
from musterd.store.attempt_writes import Batch, Lease, Settled, TransitionRefused
from musterd.store.database import Statement, Tx
from musterd.store.delays import LIMIT, Moved
from musterd.store.shards import SessionTx

STILL_OURS = Statement(
    "attempt_still_ours",
    "SELECT 1 AS found FROM runs WHERE run_id = :root AND shard = :shard AND attempt = :attempt AND state = 'running'",
)


EXPIRED = Statement(
    "runs_expired",
    """SELECT run_id, session_id FROM runs WHERE state = 'paused' AND parent_id IS NULL AND expires_at <= :now
       ORDER BY expires_at LIMIT :limit""",
)
EXPIRES_AT = Statement("run_expires_at", "SELECT expires_at FROM runs WHERE run_id = :run_id AND shard = :shard")
NOT_DECIDED_IN_TIME = "The run expired because no decision arrived in time."


class DecisionStored(TransitionRefused):
    """A decision, or a member's cancel, was stored meanwhile; the attempt must act on it before the run can pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """How an attempt pauses its run.

    :param expires_at: when the run fails if no one decides.
    """

    at: float
    expires_at: float
    output: Output
    messages: list[str]


async def pause(tx: Tx, lease: Lease, batch: Batch, details: Pause) -> Settled:
    """Store the last batch and pause the run.

    A paused run frees its slot, and its place as head of the queue unless ``hold_paused`` is set. It is no longer
    cancelled on disconnect, because no subscriber has to stay until a person decides.

    :raises LeaseLost: the attempt is not the run's current one.
    :raises CancelStored: a cancel was stored.
    :raises DecisionStored: there is a decision that no attempt has acted on.
    """
    tx = SessionTx(tx, lease.session_id)
    attempt_key = {"root": lease.root_id, "attempt": lease.attempt}
    params = {
        "count": len(batch.events),
        "expires_at": details.expires_at,
        "first_token_at": batch.first_token_at,
        "totals": batch.totals_text,
        "activity": batch.activity,
    }
    # Decisions lock the session too, so each is committed either before this pause, which is then refused, or after it,
    # and then the decision finds a paused run that it can resume.
    session = await sessions.lock(tx, lease.session_id)
    await run_attempts.end(tx, lease.root_id, lease.attempt, details.at, AttemptOutcome.PAUSED)
    row = await tx.one(transitions.PAUSE, {**attempt_key, **params})
    if row is None:
        # Find out which condition of PAUSE failed; a stored cancel wins over a decision. Both are stored under the
        # session's lock, so neither can come in between these statements.
        if await tx.one(attempt_writes.CANCEL_STORED, attempt_key) is not None:
            raise attempt_writes.CancelStored
        if await tx.one(STILL_OURS, attempt_key) is not None:
            raise DecisionStored
        raise LeaseLost
    first_index = int(row["next_event"]) - len(batch.events)
    await attempt_writes.write(tx, lease, batch, first_index)
    await tx.run(transitions.PAUSE_MEMBERS, {"root": lease.root_id})
    await run_outputs.put(tx, lease.root_id, details.output, details.messages)
    if lease.webhooks:
        facts: JsonObject = {"requirements": details.output.requirements}
        await attempt_writes.notify_webhooks(tx, lease, WebhookEvent.RUN_PAUSED, details.at, facts)
    promoted = await session_queue.promote(tx, lease.session_id)
    return Settled(first_index, promoted, session is not None and session.deleted_at is not None)


async def expire(tx: Tx, now: float, limit: int = LIMIT) -> Moved:
    """Expire paused runs: resume those with a default decision, and fail the others."""
    moved = Moved()
    for row in await tx.all(EXPIRED, {"now": now, "limit": limit}):
        # The list was read without locks. A decision or another process may have moved the run since, and it may even
        # have paused again with a later expiry, so both are checked once more under the lock.
        session = SessionTx(tx, row["session_id"])
        run = await run_locks.lock(session, row["run_id"])
        if run is None or run.state is not RunState.PAUSED:
            continue
        expiry = await session.one(EXPIRES_AT, {"run_id": run.run_id})
        if expiry is None or expiry["expires_at"] is None or expiry["expires_at"] > now:
            continue
        if await decisions.by_default(session, run, now):
            moved.joined.append(run)
        else:
            error = RunFailed(NOT_DECIDED_IN_TIME, run_failures.EXPIRED)
            moved.stopped.append(await run_failures.fail(session, run, error, now))
    return moved
