"""The journal of an attempt: it records each step of the loop once, under the step's path in the run tree."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from musterd.core import clock, faults, jsontext
from musterd.core.errors import HandedOver, ModelFailed, ReplayDiverged
from musterd.core.jsontypes import JsonObject
from musterd.core.media import contents
from musterd.core.metrics import Metrics
from musterd.core.records import Input, RunRow, StepKind, StepOutcome, StepRow, StepState
from musterd.core.requirements import ApprovalRow, Requirement, RequirementKind, Verdict
from musterd.core.states import RunState
from musterd.core.totals import Totals
from musterd.engine.outbox import Outbox
from musterd.engine.recovery import Recovered, answer_of, loaded, recorded_result, tool_step_of
from musterd.engine.steering_inbox import SteeringInbox
from musterd.engine.step_attempts import StepAttempts, error_text, timing_text
from musterd.engine.step_gate import StepGate
from musterd.loop.conversation import message_text
from musterd.loop.pausing import Waits
from musterd.loop.steps import NOTED, Intent, MemberEnd, MemberStart, ToolStep
from musterd.loop.stored_media import binaries
from musterd.models.call import ModelAnswer
from musterd.store.attempt_writes import MemberRecord, TakenMessage

_CALLS = (StepKind.TOOL, StepKind.FUNCTION, StepKind.DELEGATE, StepKind.ASK)
CUT_OFF_TEXT = "The call was interrupted, and its outcome is unknown. It was not repeated."

NOT_MADE_TEXT = "A person rejected the call. It was not made."

_NO_PATHS: frozenset[str] = frozenset()  # each empty set takes 216 bytes, and thousands of runs may wait


class Journal:
    """Records an attempt's steps through its outbox; implements the loop's :class:`musterd.loop.steps.Steps`.

    ``noted`` is what the tree remembers of its user: the results of steps at paths that end with ``NOTED``, by path.
    ``cut_off`` lists the steps that were under way when the attempt was stopped: path, kind, name and outcome of each.
    ``totals`` is what the tree has used so far.

    :param recovered: what earlier attempts stored.
    :param inbox: messages that are sent to the run while it is at work.
    """

    def __init__(
        self,
        outbox: Outbox,
        gate: StepGate,
        root: RunRow,
        recovered: Recovered,
        inbox: SteeringInbox,
        metrics: Metrics,
    ) -> None:
        self._outbox = outbox
        self._gate = gate
        self._root = root
        self._metrics = metrics
        self._earlier_steps = recovered.steps
        self._earlier_members = recovered.members
        self._approvals = recovered.approvals
        self._contents = recovered.contents
        self._open_members: dict[str, RunRow] = {}
        self._seen_messages = recovered.seen_messages
        self._inbox = inbox
        self._message_ids: dict[str, list[str]] = {}
        steps = recovered.steps.values()
        # Also those that earlier attempts left open: if their member is stopped now, their steps are closed with it.
        self._open_calls = {step.path: step for step in steps if step.kind in _CALLS and step.result is None}
        self._costs = {
            step.path: step.cost
            for step in steps
            if step.kind is StepKind.MODEL and step.usage is not None and not step.is_taken_over
        }
        self._attempts = StepAttempts(recovered.steps, recovered.cut_off_calls)
        self._abandoned_paths = _NO_PATHS
        # Also those below members whose results are stored: nothing drives these members again.
        self.noted = {step.path: loaded(step) for step in steps if _is_note(step.path)}
        self.cut_off: list[JsonObject] = []
        self.totals = Totals.of(steps)
        self.totals.cost = self.cost_below("")
        self._has_new_totals = True  # so that a run without stored totals gets them with its first step

    def prepared(self, path: str, fingerprint: str, taken: JsonObject) -> JsonObject:
        """Record the values that a run reads before its first turn, or return those that an earlier attempt stored."""
        if (stored := self._stored_step(path, StepKind.PREPARE, fingerprint)) is not None:
            return loaded(stored)
        now = clock.now()
        step = self._step(path, StepKind.PREPARE, StepState.COMPLETED, fingerprint, now)
        step.ended_at, step.result = now, jsontext.dumps(taken)
        self._outbox.batch.steps.append(step)
        if _is_note(path):
            self.noted[path] = taken
        return taken

    async def take_messages(self, path: str, run_id: str) -> Sequence[str]:
        """The messages that the model call at ``path`` is to see: new ones, or those that the stored call saw."""
        if (stored := self._earlier_steps.get(path)) is not None and stored.result is not None:
            return self._seen_messages.get(path, ())
        messages = await self._inbox.take(run_id)
        if messages:
            # Marked as taken in the commit of the model step: a crash before it leaves them for the next attempt.
            self._message_ids[path] = [message.id for message in messages]
        return [message.text for message in messages]

    async def take(self, path: str, fingerprint: str, look: Callable[[], Awaitable[JsonObject]]) -> JsonObject:
        """Read a value from outside the run and record it with the next commit, or return the stored one."""
        if (stored := self._stored_step(path, StepKind.PREPARE, fingerprint)) is None:
            await self._begin_step()
            return self.prepared(path, fingerprint, await look())
        return loaded(stored)

    async def model(
        self, path: str, fingerprint: str, name: str, call: Callable[[], Awaitable[ModelAnswer]]
    ) -> tuple[ModelAnswer, str]:
        """Make one model call and record it with the next commit, or return the stored answer."""
        # A step without a result is a call that failed or was cancelled, or its start, stored for a budget. The call is
        # made again.
        if (stored := self._stored_step(path, StepKind.MODEL, fingerprint)) is not None and stored.result is not None:
            return answer_of(stored, self._contents), stored.result
        await self._begin_step()
        # The step has no commit of its own: it goes into that of the tool calls which the answer asks for, or into the
        # run's end. A crash before that repeats only the model call.
        step = self._step(path, StepKind.MODEL, StepState.COMPLETED, fingerprint, clock.now(), name)
        step.earlier = self._attempts.of_model_call(path)
        faults.point("asking")
        try:
            answer = await call()
            self._gate.require_open()  # a model may swallow a cancel; its answer is void then
        except asyncio.CancelledError:
            self._note_cut_off(path, StepKind.MODEL, StepOutcome.STOPPED)
            step.state, step.ended_at = StepState.CANCELLED, clock.now()
            self._outbox.batch.steps.append(step)  # stored with the end of its run, if this attempt stores that
            raise
        except ModelFailed as error:
            # Without a commit of its own: it is stored with the end of the run, or the result of the delegation.
            step.state, step.ended_at, step.tries = StepState.FAILED, clock.now(), len(error.retries) + 1
            step.timing = timing_text(None, error.retries)
            step.error = error_text(error.code, error.message)
            self._add_failed_model_call(step)
            raise
        faults.point("asked")
        for binary in binaries(answer.response):
            self._outbox.batch.contents.append(binary.data)
        if answer.load_seconds is not None:
            self._outbox.batch.steps.append(self._load_step(step, answer.load_seconds))
        first = answer.first_token_seconds
        step.timing = timing_text(None if first is None else first - (answer.load_seconds or 0.0), answer.retries)
        text = message_text(answer.response)
        step.ended_at, step.tries, step.result = clock.now(), answer.tries, text
        step.usage, step.cost = answer.usage, answer.cost
        self._add_ended(step)
        for message_id in self._message_ids.pop(path, ()):
            self._outbox.batch.taken.append(TakenMessage(message_id, path))
        return answer, text

    async def intend(self, intents: Sequence[Intent], members: Sequence[MemberStart]) -> None:
        """Commit everything recorded so far, together with the intents of these calls and the rows of these members."""
        await self._begin_step()
        now = clock.now()
        for start in members:
            if (row := self._earlier_members.get(start.run_id)) is not None:
                self._open_members[row.run_id] = row
            elif not self._has_result(start.path):
                self._outbox.batch.started.append(self._member_record(start))
        for intent in intents:
            stored = self._stored_step(intent.path, intent.kind, intent.fingerprint)
            if stored is None:
                state = StepState.STARTED if intent.asks is None else StepState.WAITING
                self._open_call(self._call_step(intent, state, now))
                if intent.asks is not None:
                    self._outbox.batch.opened.append(intent.asks)
            elif self._is_made_again(intent, stored):
                step = self._call_step(intent, StepState.STARTED, now)
                step.earlier = self._attempts.begin_again(stored)
                self._open_call(step)
        # One commit, before any of the calls begins: a call without a stored intent was never made, and one with an
        # intent and no result was cut off. The model step is in it, so no later attempt can ask for other calls.
        faults.point("intending")
        await self._outbox.commit()
        faults.point("intended")

    async def tool(
        self,
        intent: Intent,
        call: Callable[[], Awaitable[ToolStep]],
        require: Callable[[RequirementKind], Requirement],
    ) -> ToolStep:
        """Make one tool call whose intent is stored and commit its result, or return the stored result."""
        stored = self._stored_step(intent.path, intent.kind, intent.fingerprint)
        if stored is not None and stored.result is not None:
            return tool_step_of(stored, self._contents)
        if stored is not None and stored.state is StepState.WAITING:
            known = await self._outcome_of_waiting(intent, self._approvals[intent.path])
            if known is not None:
                return await self._record_tool(intent, known)
        elif stored is None and intent.asks is not None:
            raise Waits([intent.asks])
        # Cut off: it may have taken effect, or not. A question about it counts even if its tool is `retry_safe` since.
        elif stored is not None and (not intent.is_retry_safe or intent.path in self._approvals):
            known = await self._outcome_of_cut_off(intent, stored.started_at, require)
            if known is not None:
                return await self._record_tool(intent, known)
        outcome = await self._perform(intent, call)
        if intent.leaves_open(outcome.state):  # its time was over: as one that was cut off
            known = await self._outcome_of_cut_off(intent, outcome.started_at, require, outcome.result)
            # At most once after a timeout: a call that runs out of time again is recorded as unknown.
            if known is None:
                timed_out = self._call_step(intent, StepState.UNKNOWN, outcome.started_at)
                timed_out.ended_at = outcome.started_at + outcome.seconds
                earlier = self._attempts.begin_again(timed_out)
                return await self._record_tool(intent, await self._perform(intent, call), earlier)
            outcome = known
        return await self._record_tool(intent, outcome)

    def abandoned(self, path: str) -> None:
        """Note that the tool call at ``path`` did not end when it was cancelled, and was left running."""
        self._abandoned_paths |= {path}

    async def once(
        self,
        kind: StepKind,
        path: str,
        fingerprint: str,
        name: str,
        call: Callable[[], Awaitable[JsonObject]],
        *,
        is_followed: bool = False,
    ) -> JsonObject:
        """Do something of the loop's own and commit its result, or return the stored result."""
        if (stored := self._stored_step(path, kind, fingerprint)) is not None and stored.result is not None:
            return loaded(stored)
        await self._begin_step()
        # No intent is stored: if a crash cuts it off, the next attempt does it again.
        step = self._step(path, kind, StepState.COMPLETED, fingerprint, clock.now(), name)
        result = await call()
        step.ended_at, step.result = clock.now(), jsontext.dumps(result)
        self._outbox.batch.steps.append(step)
        await self._commit_unless(is_followed)
        return result

    async def _commit_unless(self, is_followed: bool) -> None:
        """Commit a result, unless the caller stores something else at once."""
        if is_followed:
            self._gate.require_open()  # as the commit would
        else:
            await self._outbox.commit()

    async def _begin_step(self) -> None:
        """Check that a step may begin.

        :raises CancelledError: the loop has to end.
        :raises HandedOver: another attempt goes on from here; everything done so far is stored.
        """
        self._gate.require_open()
        if self._gate.is_handing_over:
            # Model steps have no commit of their own: without this one, the next attempt would make the calls again.
            await self._outbox.commit()
            raise HandedOver

    async def _record_tool(self, intent: Intent, outcome: ToolStep, earlier: str | None = None) -> ToolStep:
        """Record the result of a call and commit it.

        :param earlier: the earlier attempts of the call, if this attempt of it has no stored intent of its own.
        """
        step = self._call_step(intent, outcome.state, outcome.started_at)
        step.ended_at = outcome.settled_at or outcome.started_at + outcome.seconds
        step.result, step.content = recorded_result(outcome, keeps_content_apart=intent.keeps_content_apart)
        step.earlier = earlier
        if outcome.is_error:
            is_known = outcome.state is not StepState.UNKNOWN
            step.error = error_text("tool_failed" if is_known else "unknown_outcome", outcome.result)
        if intent.kind is not StepKind.ASK:
            self._count_call(intent.kind, outcome.state.value, outcome.seconds)
        self._open_calls.pop(intent.path, None)
        if intent.kind is StepKind.DELEGATE and (outcome.is_error or outcome.hook_effect == "skipped"):
            self._end_leftover_members(intent.path)
        for content in contents(outcome.media).values():
            self._outbox.batch.contents.append(content)
        self._add_ended(step)
        # A crash before this commit loses the result: the next attempt finds the intent alone, as of a call that was
        # cut off. A decision about the call is consumed in the same commit.
        faults.point("recording")
        # A failure is stored at once, unless it ends the run. A question about it may follow at a path below it, and
        # the end of the member's run, stored in the same commit, would close that question.
        await self._commit_unless(intent.is_followed and (intent.ends_if_failed or not outcome.is_error))
        faults.point("recorded")
        return outcome

    async def _perform(self, intent: Intent, call: Callable[[], Awaitable[ToolStep]]) -> ToolStep:
        faults.point("performing")
        try:
            result = await call()
        except asyncio.CancelledError:
            outcome = StepOutcome.STOPPED if intent.is_stoppable else StepOutcome.UNKNOWN
            if intent.path in self._abandoned_paths:
                outcome = StepOutcome.ABANDONED
            self._count_call(intent.kind, "cut_off", None)
            self._note_cut_off(intent.path, intent.kind, outcome, intent.name)
            raise
        faults.point("performed")
        if self._gate.is_closed:  # it finished in spite of the stop; its result is not stored
            self._note_cut_off(intent.path, intent.kind, StepOutcome.FINISHED, intent.name)
        return result

    def _count_call(self, kind: StepKind, outcome: str, seconds: float | None) -> None:
        self._metrics.tool_calls.add(kind.value, outcome)
        if seconds is not None:
            self._metrics.tool_seconds.observe(seconds, kind.value)

    def _note_cut_off(self, path: str, kind: StepKind, outcome: StepOutcome, name: str | None = None) -> None:
        self.cut_off.append({"path": path, "kind": kind.value, "name": name, "outcome": outcome.value})

    async def _outcome_of_cut_off(
        self,
        intent: Intent,
        started_at: float,
        require: Callable[[RequirementKind], Requirement],
        failure_text: str = CUT_OFF_TEXT,
    ) -> ToolStep | None:
        """The outcome of a call that was cut off, by a person's decision or the declared rule; None: call again.

        A question that was asked waits for its decision, whatever is declared since.

        :param failure_text: what the model reads if the call counts as failed.
        :raises Waits: a person has to decide first.
        """
        approval = self._approvals.pop(intent.path, None)  # a decision counts for one call: a second cut asks again
        if approval is not None and approval.decision is not None:
            # Not committed here but with its effect, below: the result, or the intent of the call that is made again.
            self._outbox.batch.consumed.append(intent.path)
            return await self._apply_decision(intent, started_at, approval.decision, CUT_OFF_TEXT)
        if approval is not None:  # before the rule, which may be newer than the question
            raise Waits([approval.requirement])
        if intent.on_unknown == "retry":
            return None
        if intent.on_unknown == "fail":
            return _settled_call(started_at, failure_text, is_error=True)
        question = require(RequirementKind.UNKNOWN_OUTCOME)
        # A new id each time that the call is cut off: an old decision, sent once more, says nothing about the new call.
        own_id = clock.derived_id(question.id, f"{self._root.attempt} {started_at}")
        requirement = replace(question, id=own_id, started_at=started_at)
        unknown_step = self._call_step(intent, StepState.UNKNOWN, started_at)
        # One commit for the step and its question: no step is unknown without a question that can settle it.
        self._outbox.batch.steps.append(unknown_step)
        self._outbox.batch.opened.append(requirement)
        await self._outbox.commit()
        raise Waits([requirement])

    async def _outcome_of_waiting(self, intent: Intent, approval: ApprovalRow) -> ToolStep | None:
        """The outcome of a call that waited for a person, by that person's decision; None: make the call.

        :raises Waits: there is no decision yet.
        """
        if approval.decision is None:
            raise Waits([approval.requirement])
        del self._approvals[intent.path]  # it counts for one call: if the outcome is unknown, a person is asked again
        self._outbox.batch.consumed.append(intent.path)
        return await self._apply_decision(intent, clock.now(), approval.decision, NOT_MADE_TEXT)

    async def _apply_decision(
        self, intent: Intent, started_at: float, decision: JsonObject, failure_text: str
    ) -> ToolStep | None:
        verdict = Verdict(decision["verdict"])
        if verdict is Verdict.HAPPENED:
            return _settled_call(started_at, decision["result"] or "", is_error=False)
        if verdict is Verdict.REFUSED:
            return _settled_call(started_at, decision["note"] or failure_text, is_error=True)
        # The intent is stored again in the commit that consumes the decision, before the call is made. A crash after it
        # leaves a call that was cut off, and a new question; the old decision cannot make the call twice.
        step = self._call_step(intent, StepState.STARTED, clock.now())
        stored = self._earlier_steps.get(intent.path)
        if stored is not None and stored.state is not StepState.WAITING:
            step.earlier = self._attempts.begin_again(stored)
        self._open_call(step)
        await self._outbox.commit()
        return None

    def input_changed(self, run_id: str, text: str) -> None:
        """Record a run's new input with the next commit."""
        self._outbox.batch.inputs[run_id] = text

    def member_ended(self, end: MemberEnd) -> None:
        """Record the end of a member's run with the next commit."""
        run = self._open_members.pop(end.run_id)
        run.state, run.ended_at = end.state, end.at
        if end.is_stopped or end.state is RunState.ERROR:
            self._close_below(run.path)
        below = [step for step in self.cut_off if str(step["path"]).startswith(f"{run.path}/")]
        if end.state is RunState.CANCELLED:
            end.output.cut_off = below
        if end.is_stopped or end.state is RunState.ERROR:
            # The root goes on: these steps do not belong to a later cancel of the root.
            self.cut_off = [step for step in self.cut_off if step not in below]
        end.output.cost = self.cost_below(f"{run.path}/")
        self._outbox.batch.ended.append(MemberRecord(run=run, output=end.output, messages=end.messages))

    def _end_leftover_members(self, path: str) -> None:
        """End the members that an earlier attempt began for a delegation which this attempt's hooks refuse."""
        for row in self._earlier_members.values():
            if not row.state.is_final and f"{row.path}/".startswith(f"{path}/"):
                row.state, row.ended_at = RunState.CANCELLED, clock.now()
                self._close_below(row.path)
                self._outbox.batch.ended.append(MemberRecord(run=row))

    def cost_below(self, prefix: str) -> float | None:
        """The cost of the model calls at paths that begin with ``prefix``; None if one of them has no list price."""
        costs = [cost for path, cost in self._costs.items() if path.startswith(prefix)]
        known_costs = [cost for cost in costs if cost is not None]
        return sum(known_costs, 0.0) if len(known_costs) == len(costs) else None

    def _close_below(self, path: str) -> None:
        """Close the open calls below a member that was stopped: their results will not be awaited."""
        for below in [open_path for open_path in self._open_calls if open_path.startswith(f"{path}/")]:
            step = self._open_calls.pop(below)
            may_have_happened = step.kind.has_effect and step.state is not StepState.WAITING
            state = StepState.UNKNOWN if may_have_happened else StepState.FAILED
            self._outbox.batch.steps.append(replace(step, state=state))

    def first_token(self, at: float) -> None:
        """Note when the root's model gave its first text."""
        batch = self._outbox.batch
        if batch.first_token_at is None:
            batch.first_token_at = at

    def _stored_step(self, path: str, kind: StepKind, fingerprint: str) -> StepRow | None:
        """The step that an earlier attempt stored under this path.

        :raises ReplayDiverged: it is a different step than the loop is about to make.
        """
        stored = self._earlier_steps.get(path)
        if stored is not None and (stored.kind, stored.fingerprint) != (kind, fingerprint):
            name = f" ('{stored.name}')" if stored.name else ""
            raise ReplayDiverged(
                f"The run cannot continue because step {path}{name} differs from the stored one: its declaration was "
                "changed. Start a new run."
            )
        return stored

    def _has_result(self, path: str) -> bool:
        """Whether the step has a stored result; the runs of members that a fork copied have one."""
        stored = self._earlier_steps.get(path)
        return stored is not None and stored.result is not None

    def _member_record(self, start: MemberStart) -> MemberRecord:
        root = self._root
        run = RunRow(
            run_id=start.run_id,
            root_id=root.run_id,
            parent_id=start.parent_id,
            session_id=root.session_id,
            owner=root.owner,
            user_id=root.user_id,
            component_kind=start.component_kind,
            component_id=start.component_id,
            component_name=start.component_name,
            model=start.model,
            model_provider=start.model_provider,
            state=RunState.RUNNING,
            path=start.path,
            created_at=start.at,
            started_at=start.at,
            step=None if start.step is None else jsontext.dumps(start.step),
        )
        self._open_members[run.run_id] = run
        return MemberRecord(run=run, input_text=jsontext.dumps(Input(message=start.task).as_json()))

    def _is_made_again(self, intent: Intent, stored: StepRow) -> bool:
        """Whether a call that was cut off is made again without asking a person."""
        is_begun = stored.state is StepState.STARTED and stored.result is None
        is_cut_off = is_begun and stored.kind is not StepKind.DELEGATE  # a delegation goes on with what is stored
        may_repeat = intent.is_retry_safe or (intent.on_unknown == "retry" and intent.path not in self._approvals)
        return is_cut_off and may_repeat

    def _open_call(self, step: StepRow) -> None:
        """Record the intent of a call with the next commit."""
        self._open_calls[step.path] = step
        self._outbox.batch.steps.append(step)

    def _add_failed_model_call(self, step: StepRow) -> None:
        """Record a model call that failed with the next commit."""
        self._add_ended(step)

    def _add_ended(self, step: StepRow) -> None:
        """Record a step that has ended with the next commit, and count it."""
        if step.kind is StepKind.MODEL and step.usage is not None:
            self._note_cost(step.path, step.cost)
        self._has_new_totals |= self.totals.count(step)
        batch = self._outbox.batch
        batch.steps.append(step)
        if self._has_new_totals:
            batch.totals, self._has_new_totals = self.totals, False

    def _note_cost(self, path: str, cost: float | None) -> None:
        is_first, totals = path not in self._costs, self.totals
        self._costs[path] = cost
        if is_first and (cost is None or totals.cost is None):
            totals.cost = None
        else:
            totals.cost = (totals.cost or 0.0) + (cost or 0.0) if is_first else self.cost_below("")

    def _call_step(self, intent: Intent, state: StepState, started_at: float) -> StepRow:
        step = self._step(intent.path, intent.kind, state, intent.fingerprint, started_at, intent.name)
        step.call_id = intent.call_id
        return step

    def _load_step(self, call: StepRow, seconds: float) -> StepRow:
        """The loading of a call's model, for people who look at the run; the call's own step begins after it."""
        step = self._step(
            f"{call.path}/load", StepKind.LOAD, StepState.COMPLETED, call.fingerprint, call.started_at, call.name
        )
        step.ended_at = call.started_at = call.started_at + seconds
        return step

    def _step(
        self,
        path: str,
        kind: StepKind,
        state: StepState,
        fingerprint: str,
        started_at: float,
        name: str | None = None,
    ) -> StepRow:
        return StepRow(
            root_id=self._root.run_id,
            path=path,
            kind=kind,
            state=state,
            fingerprint=fingerprint,
            attempt=self._root.attempt,
            started_at=started_at,
            name=name,
        )


def _is_note(path: str) -> bool:
    return path.rpartition("/")[2] == NOTED


def _settled_call(started_at: float, result: str, *, is_error: bool) -> ToolStep:
    """The result of a call that was settled by a person's decision or by a rule, without being made."""
    return ToolStep(
        result=result,
        is_error=is_error,
        started_at=started_at,
        seconds=0.0,
        settled_at=clock.now(),
        state=StepState.FAILED if is_error else StepState.COMPLETED,
    )
