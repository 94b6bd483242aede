"""What an attempt writes, every time behind the same guard.

The guard is the first write of each transaction: it touches the root's row only while this attempt is the run's
current one and the run is running, and it hands out the event indexes. No row back means another attempt owns the
run, or the run has ended: the transaction is given up.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.core import clock, jsontext
from musterd.core.deliveries import HAPPENING_OF, Happening, Notice
from musterd.core.errors import LeaseLost, MusterdError
from musterd.core.events import Event
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Output, RunRow, StepRow, StepState
from musterd.core.requirements import Requirement
from musterd.core.states import RunState
from musterd.store import (
    approvals,
    blobs,
    deliveries,
    follow_ups,
    history,
    messages,
    run_outputs,
    sessions,
    user_limits,
)
from musterd.store.crashes import HAS_WAITED, NOTHING_STORED, SUSPECT_FROM
from musterd.store.database import Statement, Tx
from musterd.store.rows import RUN_COLUMNS, add_run, run_row

NO_SUSPECTS = (0, SUSPECT_FROM - 1)
CLAIM = Statement(
    "runs_claim",
    f"""WITH picked AS MATERIALIZED (
          SELECT run_id FROM runs WHERE state = 'ready' AND cancel_requested_at IS NULL
          AND IN_LIST(component_kind || ':' || component_id, :components)
          AND crashes BETWEEN :least_crashes AND :most_crashes AND {HAS_WAITED}
          ORDER BY priority DESC, queued_at LIMIT :limit LOCK_FREE_ROWS)
        UPDATE runs SET state = 'running', attempt = attempt + 1, worker = :worker, version = version + 1,
                        started_at = {sessions.BEGUN_AT}, not_before = {NOTHING_STORED}
        WHERE run_id IN (SELECT run_id FROM picked)
        RETURNING {RUN_COLUMNS}""",
)
GUARD = Statement(
    "attempt_guard",
    """UPDATE runs SET next_event = next_event + :count, first_token_at = COALESCE(first_token_at, :first_token_at),
                       crashes = CASE WHEN :has_ended_steps THEN 0 ELSE crashes END, not_before = NULL
       WHERE run_id = :root AND attempt = :attempt AND state = 'running' RETURNING next_event""",
)
SETTLE = Statement(
    "attempt_settle",
    """UPDATE runs SET next_event = next_event + :count, state = :state, version = version + 1, holder = NULL,
                       worker = NULL, ended_at = :now, error_code = :error_code, not_before = NULL,
                       first_token_at = COALESCE(first_token_at, :first_token_at)
       WHERE run_id = :root AND attempt = :attempt AND state = 'running'
         AND (:state = 'cancelled' OR cancel_requested_at IS NULL)
       RETURNING next_event, signals""",
)
RESUME_MEMBERS = Statement(
    "members_resume",
    """UPDATE runs SET state = 'running', version = version + 1
       WHERE root_id = :root AND parent_id IS NOT NULL AND state = 'paused'""",
)
CANCEL_STORED = Statement(
    "attempt_cancel_stored",
    """SELECT 1 AS found FROM runs WHERE run_id = :root AND attempt = :attempt AND state = 'running'
       AND cancel_requested_at IS NOT NULL""",
)
ADD_EVENTS = Statement(
    "events_add",
    "INSERT INTO run_events (root_id, first_index, count, payload) VALUES (:root, :first_index, :count, :payload)",
)
PUT_STEP = Statement(
    "step_put",
    """INSERT INTO journal
         (root_id, path, kind, state, fingerprint, attempt, started_at, ended_at, result, usage, cost, codec)
       VALUES
         (:root_id, :path, :kind, :state, :fingerprint, :attempt, :started_at, :ended_at, :result, :usage, :cost,
          :codec)
       ON CONFLICT (root_id, path) DO UPDATE SET state = excluded.state, attempt = excluded.attempt,
           started_at = CASE WHEN excluded.state = 'started' THEN excluded.started_at ELSE journal.started_at END,
           ended_at = excluded.ended_at, result = excluded.result, usage = excluded.usage,
           cost = excluded.cost""",
)
END_MEMBER = Statement(
    "member_end",
    """UPDATE runs SET state = :state, ended_at = :now, error_code = :error_code, version = version + 1
       WHERE run_id = :run_id AND state = 'running'""",
)
CLOSE_MEMBERS = Statement(
    "members_close",
    """UPDATE runs SET state = :state, ended_at = :now, version = version + 1
       WHERE root_id = :root AND parent_id IS NOT NULL AND state IN ('running', 'paused')""",
)
CLOSE_MEMBERS_BELOW = Statement(
    "members_close_below",
    """UPDATE runs SET state = :state, ended_at = :now, version = version + 1
       WHERE root_id = :root AND path LIKE :below AND state IN ('running', 'paused')""",
)
CLOSE_STEPS = Statement(  # whether a call happened nobody will find out any more; what waited never began
    "steps_close",
    """UPDATE journal SET state = CASE WHEN kind = 'tool' AND state = 'started' THEN 'unknown' ELSE 'failed' END
       WHERE root_id = :root AND state IN ('started', 'waiting')""",
)
PROMOTE = Statement(
    "lane_promote",
    """UPDATE runs SET state = 'ready', holder = lane, version = version + 1
       WHERE run_id = COALESCE(
           (SELECT run_id FROM runs WHERE lane = :lane AND state = 'queued' AND on_busy = 'interrupt'
            ORDER BY seq LIMIT 1),
           (SELECT run_id FROM runs WHERE lane = :lane AND state = 'queued' ORDER BY seq LIMIT 1))
         AND NOT EXISTS (SELECT 1 FROM runs WHERE holder = :lane)
       RETURNING run_id""",
)


class TransitionRefused(MusterdError):
    """The run cannot end or pause in this way now."""


class CancelStored(TransitionRefused):
    """The run is to be cancelled; it cannot end in any other way."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write for a run: the root and the number of the attempt.

    :param drops_media: whether the run's media go with its end.
    :param webhooks: whom the run tells, as its row has it.
    """

    root_id: str
    attempt: int
    drops_media: bool = False
    webhooks: str | None = None


@dataclass(slots=True, kw_only=True)
class MemberRecord:
    """A member's run that begins or ends.

    :param input_text: what one that begins is asked, as JSON.
    """

    run: RunRow
    input_text: str = ""
    output: Output | None = None
    messages: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Batch:
    """What one transaction of an attempt writes.

    :param contents: of media that the steps refer to.
    :param opened: requirements that begin to wait for a person.
    :param consumed: paths of requirements whose decisions are acted on with these steps.
    :param taken: messages that a model call saw: id, the call's path.
    :param inputs: what runs are asked in place of what they were asked, by run id.
    :param first_token_at: when the root's model gave its first text, once known.
    :param on_indexed: told the index of the first event, inside the transaction, before the events are written.
    """

    events: list[Event] = field(default_factory=list)
    steps: list[StepRow] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    started: list[MemberRecord] = field(default_factory=list)
    ended: list[MemberRecord] = field(default_factory=list)
    opened: list[Requirement] = field(default_factory=list)
    consumed: list[str] = field(default_factory=list)
    taken: list[tuple[str, str]] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    first_token_at: float | None = None
    on_indexed: "Callable[[Batch, int], None] | None" = None

    @property
    def has_ended_steps(self) -> bool:
        """Whether a step is stored with this that has ended: the run got on, and its crashes so far are forgotten."""
        return any(step.state is not StepState.STARTED for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How an attempt ends its run.

    :param state_delta: what the run changed in the session's state: {"set": {…}, "removed": […]}.
    :param summary: what was said in the session, summed up; None: as it is.
    :param first_message: what the session is called by, where hooks may have changed it.
    """

    state: RunState
    at: float
    session_id: str
    output: Output
    messages: list[str]
    state_delta: dict[str, Any] | None = None
    summary: dict[str, Any] | None = None
    first_message: str | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """What settling a run did: its first event index, the run promoted in its place, whether its session is going."""

    first_index: int
    promoted: str | None
    is_session_deleted: bool


Settle = Callable[[Tx, Lease, Batch], Coroutine[Any, Any, Settled]]
"""A store function that ends or pauses a run with the attempt's last batch."""


async def claim(
    tx: Tx,
    worker: str,
    components: Sequence[str],
    limit: int,
    now: float,
    *,
    crashes: tuple[int, int] = NO_SUSPECTS,
    most_of_owner: int = 0,
) -> list[RunRow]:
    """Take up to ``limit`` ready runs, by priority, then those that wait longest; each gets the next attempt number.

    :param crashes: the least and the most crashes without a new step that they may have; by default no suspects.
    :param most_of_owner: how many runs of one user may be at work; 0: any number.
    """
    who = {"worker": worker, "components": jsontext.dumps(list(components))}
    asked = {**who, "limit": limit, "now": now, "least_crashes": crashes[0], "most_crashes": crashes[1]}
    if most_of_owner:
        await tx.one(user_limits.TURN, {})  # two that count at once would each find room for one more
        rows = await tx.all(user_limits.CLAIM_FAIRLY, {**asked, "most_of_owner": most_of_owner})
    else:
        rows = await tx.all(CLAIM, asked)
    runs = [run_row(row) for row in rows]
    for run in runs:
        if run.attempt > 1:
            await tx.run(RESUME_MEMBERS, {"root": run.run_id})
    return sorted(runs, key=lambda run: (-run.priority, run.queued_at or 0.0))


async def append(tx: Tx, lease: Lease, batch: Batch) -> int:
    """Store a batch of a running attempt; return the index of its first event.

    :raises LeaseLost: the attempt is not the run's current one.
    """
    guard = {
        "root": lease.root_id,
        "attempt": lease.attempt,
        "count": len(batch.events),
        "has_ended_steps": batch.has_ended_steps,
        "first_token_at": batch.first_token_at,
    }
    row = await tx.one(GUARD, guard)
    if row is None:
        raise LeaseLost
    first_index = int(row["next_event"]) - len(batch.events)
    await write(tx, lease, batch, first_index)
    return first_index


async def settle(tx: Tx, lease: Lease, batch: Batch, end: End) -> Settled:
    """Store the last batch and end the run: the line is free, the next run of the session is ready.

    :raises LeaseLost: the attempt is not the run's current one.
    :raises CancelStored: a cancel was stored, and ``end`` is not a cancelled one.
    """
    params = {
        "root": lease.root_id,
        "attempt": lease.attempt,
        "count": len(batch.events),
        "state": end.state.value,
        "now": end.at,
        "error_code": end.output.error["code"] if end.output.error else None,
        "first_token_at": batch.first_token_at,
    }
    session = await sessions.lock(tx, end.session_id)
    row = await tx.one(SETTLE, params)
    if row is None:
        if await tx.one(CANCEL_STORED, {"root": lease.root_id, "attempt": lease.attempt}) is not None:
            raise CancelStored
        raise LeaseLost
    first_index = int(row["next_event"]) - len(batch.events)
    await write(tx, lease, batch, first_index)
    # A member that is still open ends as its root does; one that ended before keeps its end.
    member_state = RunState.CANCELLED if end.state is not RunState.ERROR else RunState.ERROR
    await tx.run(CLOSE_MEMBERS, {"root": lease.root_id, "state": member_state.value, "now": end.at})
    await approvals.close(tx, lease.root_id)
    if lease.drops_media and end.state is not RunState.ERROR:  # a failed run may go on in another one, with them
        await blobs.release(tx, lease.root_id)
    if end.state is not RunState.COMPLETED:
        await tx.run(CLOSE_STEPS, {"root": lease.root_id})
    await run_outputs.put(tx, lease.root_id, end.output, end.messages)
    if lease.webhooks:
        await tell(tx, lease, HAPPENING_OF[end.state], end.at, {"error": end.output.error} if end.output.error else {})
    if session is not None:
        await sessions.merge_state(tx, session, end.state_delta or {}, end.at)
        if end.summary is not None:
            await history.set_summary(tx, end.session_id, end.summary)
        if end.first_message is not None:
            await tx.run(sessions.SET_FIRST_MESSAGE, {"session_id": end.session_id, "text": end.first_message})
    if row["signals"] and end.state is not RunState.CANCELLED:
        await follow_ups.begin_next(tx, lease.root_id, end.at)
    promoted = await promote(tx, end.session_id)
    return Settled(first_index, promoted, session is not None and session.deleted_at is not None)


async def tell(tx: Tx, lease: Lease, happening: Happening, at: float, facts: JsonObject) -> None:
    """Have the webhooks of an attempt's run told."""
    notice = Notice(
        run_id=lease.root_id,
        webhooks=lease.webhooks,
        happening=happening,
        at=at,
        attempts=lease.attempt,
        facts=facts,
    )
    await deliveries.add(tx, notice)


async def promote(tx: Tx, lane: str) -> str | None:
    """Make the lane's next queued run ready, where nobody holds the line: interrupters first, then by seq.

    :return: its id, or None. The caller holds the session.
    """
    row = await tx.one(PROMOTE, {"lane": lane})
    return None if row is None else str(row["run_id"])


async def write(tx: Tx, lease: Lease, batch: Batch, first_index: int) -> None:
    """Store what a batch holds; the caller has passed the guard."""
    for member in batch.started:
        await add_run(tx, member.run, member.input_text)
    if batch.contents:
        await blobs.put(tx, lease.root_id, batch.contents, clock.now(), until_end=lease.drops_media)
    for step in batch.steps:
        await tx.run(PUT_STEP, _step_params(step))
    await _write_words(tx, lease, batch)
    for member in batch.ended:
        await _end_member(tx, member)
    if batch.events:
        if batch.on_indexed is not None:
            batch.on_indexed(batch, first_index)
        await add_events(tx, lease.root_id, first_index, batch.events)


async def _write_words(tx: Tx, lease: Lease, batch: Batch) -> None:
    """Store what persons are asked and have said, as far as the batch acts on it."""
    for requirement in batch.opened:
        await approvals.add(tx, lease.root_id, requirement)
        if lease.webhooks and requirement.approval_type != "audit":  # those are shown once they are decided
            await tell(
                tx, lease, Happening.APPROVAL_PENDING, requirement.created_at, {"approval": requirement.as_json()}
            )
    for path in batch.consumed:
        await tx.run(approvals.CONSUME, {"root": lease.root_id, "path": path, "now": clock.now()})
    for message_id, path in batch.taken:
        await messages.take(tx, message_id, path, clock.now())
    for run_id, text in batch.inputs.items():
        await run_outputs.change_input(tx, run_id, text)


async def add_events(tx: Tx, root_id: str, first_index: int, events: Sequence[Event]) -> None:
    """Store events under indexes that the caller allocated."""
    payload = jsontext.dumps([[event.kind.value, event.run_id, event.at, event.data, event.place] for event in events])
    await tx.run(ADD_EVENTS, {"root": root_id, "first_index": first_index, "count": len(events), "payload": payload})


def _step_params(step: StepRow) -> dict[str, Any]:
    return {
        "root_id": step.root_id,
        "path": step.path,
        "kind": step.kind.value,
        "state": step.state.value,
        "fingerprint": step.fingerprint,
        "attempt": step.attempt,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
        "result": step.result,
        "usage": None if step.usage is None else jsontext.dumps(step.usage.as_json()),
        "cost": step.cost,
        "codec": step.codec,
    }


async def _end_member(tx: Tx, member: MemberRecord) -> None:
    run, output = member.run, member.output or Output()
    await tx.run(
        END_MEMBER,
        {
            "run_id": run.run_id,
            "state": run.state.value,
            "now": run.ended_at,
            "error_code": output.error["code"] if output.error else None,
        },
    )
    await run_outputs.put(tx, run.run_id, output, member.messages)
    if run.state is not RunState.COMPLETED:  # who waits below it is not driven any more
        ended = {"state": run.state.value, "now": run.ended_at, "below": f"{run.path}/%"}
        await tx.run(CLOSE_MEMBERS_BELOW, {"root": run.root_id, **ended})
        await approvals.close_below(tx, run.root_id, run.path)
