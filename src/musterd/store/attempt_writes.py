"""The writes of an attempt: append steps and events, and finish the run.

Every transaction of an attempt contains a fence: an update of the root's row. It matches only while this attempt is
the run's current one and the run is running, and it allocates the event indexes. If it returns no row, another attempt
owns the run or the run has finished, and the transaction is rolled back.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.core import clock, jsontext
from musterd.core.deliveries import WEBHOOK_EVENT_OF, Notice, WebhookEvent
from musterd.core.errors import LeaseLost, MusterdError
from musterd.core.events import Event
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Output, RunRow, StepRow, StepState
from musterd.core.requirements import Requirement
from musterd.core.states import RunState
from musterd.core.totals import Totals
from musterd.store import (
    approvals,
    blobs,
    deliveries,
    follow_ups,
    history,
    messages,
    run_outputs,
    runs,
    session_queue,
    sessions,
    transitions,
)
from musterd.store.database import Statement, Tx
from musterd.store.events import stored_form
from musterd.store.shards import SessionTx

# The fence. `attempt` grows by one with every claim and nowhere else, so a worker that stood still and whose run was
# reassigned matches no row here. The row stays locked until the commit, so no claim or cancel can slip in before it.
FENCE = Statement(
    "attempt_fence",
    """UPDATE runs SET next_event = next_event + :count, first_token_at = COALESCE(first_token_at, :first_token_at),
                       totals = COALESCE(:totals, totals), activity = COALESCE(:activity, activity),
                       crashes = CASE WHEN :has_ended_steps THEN 0 ELSE crashes END, not_before = NULL
       WHERE run_id = :root AND shard = :shard AND attempt = :attempt AND state = 'running' RETURNING next_event""",
)
CANCEL_STORED = Statement(
    "attempt_cancel_stored",
    """SELECT 1 AS found FROM runs WHERE run_id = :root AND shard = :shard AND attempt = :attempt AND state = 'running'
       AND cancel_requested_at IS NOT NULL""",
)
ADD_EVENTS = Statement(
    "events_add",
    """INSERT INTO run_events (root_id, first_index, shard, count, payload)
       VALUES (:root, :first_index, :shard, :count, :payload)""",
)
# The intent of a call is stored first and its result later, so the row may exist. `started_at` changes only with a new
# intent or with a new list of earlier attempts, when the call is made again. Kind and fingerprint stay, because a
# replay compares them. A model call that was cancelled keeps the usage that was estimated for its budget.
PUT_STEP = Statement(
    "step_put",
    """INSERT INTO journal
         (root_id, path, shard, kind, state, fingerprint, name, call_id, attempt, tries, started_at, ended_at, result,
          error, usage, cost, codec, earlier, timing, content)
       VALUES
         (:root_id, :path, :shard, :kind, :state, :fingerprint, :name, :call_id, :attempt, :tries, :started_at,
          :ended_at, :result, :error, :usage, :cost, :codec, :earlier, :timing, :content)
       ON CONFLICT (root_id, path, shard) DO UPDATE SET state = excluded.state, attempt = excluded.attempt,
           started_at = CASE WHEN excluded.state = 'started' OR excluded.earlier IS NOT NULL THEN excluded.started_at
                             ELSE journal.started_at END,
           ended_at = excluded.ended_at, result = excluded.result, content = excluded.content,
           usage = COALESCE(excluded.usage, journal.usage),
           cost = CASE WHEN excluded.usage IS NULL THEN journal.cost ELSE excluded.cost END,
           tries = excluded.tries, timing = excluded.timing, error = excluded.error,
           earlier = COALESCE(excluded.earlier, journal.earlier)""",
)
CLOSE_STEPS = Statement(  # a tool call without a result may have happened; a call that waited for approval never began
    "steps_close",
    """UPDATE journal SET state = CASE WHEN kind IN ('tool', 'function') AND state = 'started'
                                     THEN 'unknown' ELSE 'failed' END
       WHERE root_id = :root AND shard = :shard AND state IN ('started', 'waiting')""",
)


class TransitionRefused(MusterdError):
    """The run cannot finish or pause in this way now."""


class CancelStored(TransitionRefused):
    """A cancel is stored; the run can only finish as cancelled."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write for a run: the root and the number of the attempt.

    :param drops_media: whether the run's media are removed when it finishes.
    :param webhooks: the webhook URLs of the run, as stored in its row.
    :param salt: the salt of the run's row.
    """

    root_id: str
    attempt: int
    session_id: str
    drops_media: bool = False
    webhooks: str | None = None
    salt: str | None = None


@dataclass(slots=True, kw_only=True)
class MemberRecord:
    """A member's run that starts or finishes.

    :param input_text: the input of a run that starts, as JSON.
    """

    run: RunRow
    input_text: str = ""
    output: Output | None = None
    messages: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TakenMessage:
    """A message that a model call saw.

    :param path: the path of the call.
    """

    message_id: str
    path: str


@dataclass(slots=True, kw_only=True)
class Batch:
    """The writes of one transaction of an attempt.

    :param contents: the content of media that the steps refer to.
    :param opened: requirements that start to wait for a person.
    :param consumed: paths of requirements whose decisions these steps act on.
    :param taken: messages that model calls saw.
    :param inputs: new input texts that replace those of runs, by run id.
    :param first_token_at: when the root's model produced its first text, once known.
    :param totals: what the tree has used so far, if it changed.
    :param activity: what the run does now, as JSON text, if it changed.
    :param on_indexed: called with the index of the first event, inside the transaction, before the events are written.
    :param events_text: the events in their stored form; empty until they are stored.
    """

    events: list[Event] = field(default_factory=list)
    steps: list[StepRow] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    started: list[MemberRecord] = field(default_factory=list)
    ended: list[MemberRecord] = field(default_factory=list)
    opened: list[Requirement] = field(default_factory=list)
    consumed: list[str] = field(default_factory=list)
    taken: list[TakenMessage] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    first_token_at: float | None = None
    totals: Totals | None = None
    activity: str | None = None
    on_indexed: "Callable[[Batch, int], None] | None" = None
    events_text: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to store. The time of the first token alone is stored with a later batch."""
        records = (self.events, self.steps, self.contents, self.started, self.ended)
        human_input = (self.opened, self.consumed, self.taken, self.inputs)
        return not any(records) and not any(human_input)

    @property
    def totals_text(self) -> str | None:
        """The totals as they are stored; None if they did not change."""
        return None if self.totals is None else jsontext.dumps(self.totals.as_json())

    @property
    def characters(self) -> int:
        """About how long the results of its steps and the outputs of its members are."""
        outputs = [member.output.characters for member in self.ended if member.output is not None]
        return sum(outputs) + sum(len(step.result or "") for step in self.steps)

    @property
    def has_ended_steps(self) -> bool:
        """Whether the batch stores a step that ended. Then the run made progress, and its crash count is reset.

        A model call that was stopped is no progress: a later attempt makes it again.
        """
        return any(step.state not in (StepState.STARTED, StepState.CANCELLED) for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How an attempt finishes its run.

    :param state_delta: the run's changes to the session's state: {"set": {…}, "removed": […]}.
    :param summary: the session's new summary, or None to keep the old one.
    :param first_message: the session's new default name, if a hook may have changed the message.
    """

    state: RunState
    at: float
    output: Output
    messages: list[str]
    state_delta: dict[str, Any] | None = None
    summary: dict[str, Any] | None = None
    first_message: str | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """The result of finishing or pausing a run.

    :param first_index: the index of the batch's first event.
    :param promoted: the run that became the head of the session's queue.
    :param is_session_deleted: whether the session is marked as deleted.
    """

    first_index: int
    promoted: RunRow | None
    is_session_deleted: bool


Settle = Callable[[Tx, Lease, Batch], Coroutine[Any, Any, Settled]]
"""A store function that finishes or pauses a run and stores the attempt's last batch."""


async def append(tx: Tx, lease: Lease, batch: Batch) -> int:
    """Store a batch of a running attempt; return the index of its first event.

    :raises LeaseLost: the attempt is not the run's current one.
    """
    tx = SessionTx(tx, lease.session_id)
    # An append locks the root's row only. It does not move the session's queue, so it does not need the session's lock.
    fence = {
        "root": lease.root_id,
        "attempt": lease.attempt,
        "count": len(batch.events),
        "has_ended_steps": batch.has_ended_steps,
        "first_token_at": batch.first_token_at,
        "totals": batch.totals_text,
        "activity": batch.activity,
    }
    row = await tx.one(FENCE, fence)
    if row is None:
        raise LeaseLost
    first_index = int(row["next_event"]) - len(batch.events)
    await write(tx, lease, batch, first_index)
    return first_index


async def finish(tx: Tx, lease: Lease, batch: Batch, end: End) -> Settled:
    """Store the last batch, finish the run, and promote the next run in the session's queue.

    :raises LeaseLost: the attempt is not the run's current one.
    :raises CancelStored: a cancel was stored, and ``end`` is not a cancel.
    """
    tx = SessionTx(tx, lease.session_id)
    params = {
        "root": lease.root_id,
        "attempt": lease.attempt,
        "count": len(batch.events),
        "now": end.at,
        "error_code": end.output.error["code"] if end.output.error else None,
        "first_token_at": batch.first_token_at,
        "totals": batch.totals_text,
    }
    # Session before root, as in every transaction that moves the queue (see sessions.lock). An acceptance that queues
    # a run in this session either commits before this lock, and `promote` sees its run, or finds the queue free.
    session = await sessions.lock(tx, lease.session_id)
    row = await tx.one(transitions.FINISH[end.state], params)
    if row is None:
        # Either the fence or the stored cancel refused the update. Only the second lets this attempt write an end.
        if await tx.one(CANCEL_STORED, {"root": lease.root_id, "attempt": lease.attempt}) is not None:
            raise CancelStored
        raise LeaseLost
    first_index = int(row["next_event"]) - len(batch.events)
    await write(tx, lease, batch, first_index, end.output.characters)
    # Members that are still open finish as their root does. Members that finished before keep their state.
    member_state = RunState.CANCELLED if end.state is not RunState.ERROR else RunState.ERROR
    await tx.run(transitions.CLOSE_MEMBERS[member_state], {"root": lease.root_id, "now": end.at})
    await approvals.close(tx, lease.root_id)
    # A failed run keeps its media, and one whose continuation is cancelled: both can be continued.
    if lease.drops_media and end.state is not RunState.ERROR:
        release = blobs.release_with_origins if end.state is RunState.COMPLETED else blobs.release
        await release(tx, lease.root_id)
    if end.state is not RunState.COMPLETED:
        await tx.run(CLOSE_STEPS, {"root": lease.root_id})
    await run_outputs.put(tx, lease.root_id, end.output, end.messages)
    if lease.webhooks:
        facts: JsonObject = {"error": end.output.error} if end.output.error else {}
        await notify_webhooks(tx, lease, WEBHOOK_EVENT_OF[end.state], end.at, facts)
    if session is not None:
        # Only the keys that the run changed: a person, or a parallel run, may have changed others since it began.
        await sessions.merge_state(tx, session, end.state_delta or {}, end.at)
        if end.summary is not None:
            await history.set_summary(tx, lease.session_id, end.summary)
        if end.first_message is not None:
            await tx.run(sessions.SET_FIRST_MESSAGE, {"session_id": lease.session_id, "text": end.first_message})
    # `signals` was read by the fence, so a message that was committed before it is not missed. The follow-up
    # run is queued before the promotion, which may pick it.
    if row["signals"] and end.state is not RunState.CANCELLED:
        await follow_ups.begin_next(tx, lease.root_id, end.at)
    promoted = await session_queue.promote(tx, lease.session_id)
    return Settled(first_index, promoted, session is not None and session.deleted_at is not None)


async def notify_webhooks(tx: SessionTx, lease: Lease, happening: WebhookEvent, at: float, facts: JsonObject) -> None:
    """Add a delivery for each webhook of an attempt's run."""
    notice = Notice(
        run_id=lease.root_id,
        webhooks=lease.webhooks,
        happening=happening,
        at=at,
        attempts=lease.attempt,
        facts=facts,
    )
    await deliveries.add(tx, notice)


async def write(tx: SessionTx, lease: Lease, batch: Batch, first_index: int, end_characters: int = 0) -> None:
    """Store the contents of a batch; the caller has passed the fence.

    :param end_characters: about how long the output of the run is, if one of the events is its end.
    """
    # Starts before ends: one batch may contain both of a member.
    for member in batch.started:
        await runs.add(tx, member.run, member.input_text)
    if batch.contents:
        await blobs.put(tx, lease.root_id, batch.contents, clock.now(), until_end=lease.drops_media)
    for step in batch.steps:
        await tx.run(PUT_STEP, _step_params(step))
    await _write_human_input(tx, lease, batch)
    for member in batch.ended:
        await _end_member(tx, member)
    if batch.events:
        # Inside the transaction, because a transaction that is retried allocates its indexes again.
        if batch.on_indexed is not None:
            batch.on_indexed(batch, first_index)
        characters = batch.characters + end_characters
        batch.events_text = await add_events(tx, lease.root_id, first_index, batch.events, characters)


async def _write_human_input(tx: SessionTx, lease: Lease, batch: Batch) -> None:
    """Store new approval requests, and mark the decisions and messages that the batch acts on as used."""
    for requirement in batch.opened:
        await approvals.add(tx, lease.root_id, requirement)
        if lease.webhooks and requirement.approval_type != "audit":  # audit approvals are listed only once decided
            facts: JsonObject = {"approval": requirement.as_json()}
            await notify_webhooks(tx, lease, WebhookEvent.APPROVAL_PENDING, requirement.created_at, facts)
    # Consumed in the same commit as the step's result or its new intent: after a crash a decision is either still to be
    # acted on or was acted on, and never both.
    for path in batch.consumed:
        await tx.run(approvals.CONSUME, {"root": lease.root_id, "path": path})
    for message in batch.taken:
        await messages.take(tx, message.message_id, message.path, clock.now())
    for run_id, text in batch.inputs.items():
        await run_outputs.change_input(tx, run_id, text)


async def add_events(
    tx: SessionTx, root_id: str, first_index: int, events: Sequence[Event], characters: int = 0
) -> str:
    """Store events under indexes that the caller allocated; return the stored text.

    :param characters: about how long the results and outputs in the events are.
    """
    text = await tx.written(stored_form(events), characters)
    await tx.run(ADD_EVENTS, {"root": root_id, "first_index": first_index, "count": len(events), "payload": text})
    return text


def _step_params(step: StepRow) -> dict[str, Any]:
    return {
        "root_id": step.root_id,
        "path": step.path,
        "kind": step.kind.value,
        "state": step.state.value,
        "fingerprint": step.fingerprint,
        "name": step.name,
        "call_id": step.call_id,
        "attempt": step.attempt,
        "tries": step.tries,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
        "result": step.result,
        "error": step.error,
        "usage": None if step.usage is None else jsontext.dumps(step.usage.as_json()),
        "cost": step.cost,
        "codec": step.codec,
        "earlier": step.earlier,
        "timing": step.timing,
        "content": step.content,
    }


async def _end_member(tx: SessionTx, member: MemberRecord) -> None:
    run, output = member.run, member.output or Output()
    await tx.run(
        transitions.FINISH_MEMBER[run.state],
        {
            "run_id": run.run_id,
            "now": run.ended_at,
            "error_code": output.error["code"] if output.error else None,
        },
    )
    await run_outputs.put(tx, run.run_id, output, member.messages)
    if run.state is not RunState.COMPLETED:  # members below it that wait for a person will not be driven again
        params = {"root": run.root_id, "now": run.ended_at, "below": f"{run.path}/%"}
        await tx.run(transitions.CLOSE_MEMBERS_BELOW[run.state], params)
        await approvals.close_below(tx, run.root_id, run.path)
