"""The journal of an attempt: each step of the loop, recorded once under its place in the tree."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from musterd.core import clock, faults, jsontext
from musterd.core.errors import ReplayDiverged
from musterd.core.jsontypes import JsonObject
from musterd.core.media import contents
from musterd.core.records import Input, RunRow, StepKind, StepOutcome, StepRow, StepState
from musterd.core.requirements import ApprovalRow, Requirement, RequirementKind, Verdict
from musterd.core.states import RunState
from musterd.engine.outbox import Outbox
from musterd.engine.recovery import Recovered, answer_of, loaded, tool_result_text, tool_step_of
from musterd.engine.steering_inbox import SteeringInbox
from musterd.loop.conversation import message_text
from musterd.loop.pausing import Waits
from musterd.loop.steps import Intent, MemberEnd, MemberStart, ToolStep
from musterd.loop.stored_media import binaries
from musterd.models.call import ModelAnswer
from musterd.store.attempts import MemberRecord

_CALLS = (StepKind.TOOL, StepKind.DELEGATE)
CUT_OFF = "The call was cut off, and whether it took effect is not known. It was not made again."

NOT_MADE = "A person refused the call. It was not made."


class Journal:
    """Records what an attempt does, through its outbox. The loop's :class:`musterd.loop.steps.Steps`.

    ``cut_off`` is what was under way when the attempt was stopped: path, kind, name and outcome of each step.

    :param recovered: what earlier attempts stored.
    :param post: what is said to the run meanwhile.
    """

    def __init__(self, outbox: Outbox, root: RunRow, recovered: Recovered, post: SteeringInbox) -> None:
        self._outbox = outbox
        self._root = root
        self._stored = recovered.steps
        self._member_rows = recovered.members
        self._approvals = recovered.approvals
        self._contents = recovered.contents
        self._members: dict[str, RunRow] = {}
        self._heard = recovered.heard
        self._post = post
        self._taking: dict[str, list[str]] = {}
        steps = recovered.steps.values()
        self._open = {step.path: step for step in steps if step.kind in _CALLS and step.result is None}
        self._costs = {step.path: step.cost for step in steps if step.kind is StepKind.MODEL and step.usage is not None}
        self._abandoned: frozenset[str] = frozenset()
        self.cut_off: list[JsonObject] = []

    def prepared(self, path: str, fingerprint: str, taken: JsonObject) -> JsonObject:
        """Record what a run takes from the world before its first turn, or give what an earlier attempt took."""
        if (stored := self._earlier(path, StepKind.PREPARE, fingerprint)) is not None:
            return loaded(stored)
        now = clock.now()
        step = self._step(path, StepKind.PREPARE, StepState.COMPLETED, fingerprint, now)
        step.ended_at, step.result = now, jsontext.dumps(taken)
        self._outbox.record(step)
        return taken

    async def take_messages(self, path: str, run_id: str) -> Sequence[str]:
        """What was said to a run and no earlier model call of it saw; taken with the step of the call at ``path``."""
        if (stored := self._stored.get(path)) is not None and stored.result is not None:
            return self._heard.get(path, ())
        found = await self._post.take(run_id)
        if found:
            self._taking[path] = [message.id for message in found]
        return [message.text for message in found]

    async def take(self, path: str, fingerprint: str, look: Callable[[], Awaitable[JsonObject]]) -> JsonObject:
        """Take something from the world and record it, stored with the next commit; or give what is stored already."""
        if (stored := self._earlier(path, StepKind.PREPARE, fingerprint)) is None:
            await self._outbox.begin_step()
            return self.prepared(path, fingerprint, await look())
        return loaded(stored)

    async def model(
        self, path: str, fingerprint: str, call: Callable[[], Awaitable[ModelAnswer]]
    ) -> tuple[ModelAnswer, str]:
        """Make one model call and record it, stored with the next commit; or give what is stored already."""
        if (stored := self._earlier(path, StepKind.MODEL, fingerprint)) is not None and stored.result is not None:
            return answer_of(stored, self._contents), stored.result
        await self._outbox.begin_step()
        started_at = clock.now()
        faults.point("asking")
        try:
            answer = await call()
            self._outbox.require_going()  # a model may swallow a cancel; its answer is void then
        except asyncio.CancelledError:
            self._was_cut_off(path, StepKind.MODEL, StepOutcome.STOPPED)
            raise
        faults.point("asked")
        for binary in binaries(answer.response):
            self._outbox.content(binary.data)
        text = message_text(answer.response)
        step = self._step(path, StepKind.MODEL, StepState.COMPLETED, fingerprint, started_at)
        step.ended_at, step.result, step.usage, step.cost = clock.now(), text, answer.usage, answer.cost
        self._outbox.record(step)
        for message_id in self._taking.pop(path, ()):
            self._outbox.message_taken(message_id, path)
        self._costs[path] = answer.cost
        return answer, text

    async def intend(self, intents: Sequence[Intent], members: Sequence[MemberStart]) -> None:
        """Commit what is recorded so far, and with it that these tool calls and members' runs begin."""
        await self._outbox.begin_step()
        now = clock.now()
        for start in members:
            if (row := self._member_rows.get(start.run_id)) is not None:
                self._members[row.run_id] = row
            elif not self._is_done(start.path):
                self._outbox.member_started(self._member_record(start))
        for intent in intents:
            if self._earlier(intent.path, intent.kind, intent.fingerprint) is None:
                state = StepState.STARTED if intent.asks is None else StepState.WAITING
                step = self._open[intent.path] = self._step(intent.path, intent.kind, state, intent.fingerprint, now)
                self._outbox.record(step)
                if intent.asks is not None:
                    self._outbox.requirement_opened(intent.asks)
        faults.point("intending")
        await self._outbox.commit()
        faults.point("intended")

    async def tool(
        self,
        intent: Intent,
        call: Callable[[], Awaitable[ToolStep]],
        require: Callable[[RequirementKind], Requirement],
    ) -> ToolStep:
        """Do one tool call whose intent is stored, and commit its result; or give the result that is stored."""
        stored = self._earlier(intent.path, intent.kind, intent.fingerprint)
        if stored is not None and stored.result is not None:
            return tool_step_of(stored, self._contents)
        if stored is not None and stored.state is StepState.WAITING:
            known = await self._agreed(intent, self._approvals[intent.path])
            if known is not None:
                return await self._record_tool(intent, known)
        elif stored is None and intent.asks is not None:
            raise Waits([intent.asks])
        elif stored is not None and not intent.is_retry_safe:  # it was cut off: nobody can say whether it happened
            known = await self._known_outcome(intent, stored.started_at, require)
            if known is not None:
                return await self._record_tool(intent, known)
        done = await self._made(intent, call)
        if intent.leaves_open(done.state):  # its time was over
            known = await self._known_outcome(intent, done.started_at, require, done.result)
            done = known or await self._made(intent, call)
        return await self._record_tool(intent, done)

    def abandoned(self, path: str) -> None:
        """Note that the tool call at ``path`` did not end when it was cancelled, and was left running."""
        self._abandoned |= {path}

    async def once(
        self, kind: StepKind, path: str, fingerprint: str, call: Callable[[], Awaitable[JsonObject]]
    ) -> JsonObject:
        """Do something of the loop's own, and commit its result; or give the result that is stored."""
        if (stored := self._earlier(path, kind, fingerprint)) is not None and stored.result is not None:
            return loaded(stored)
        await self._outbox.begin_step()
        step = self._step(path, kind, StepState.COMPLETED, fingerprint, clock.now())
        done = await call()
        step.ended_at, step.result = clock.now(), jsontext.dumps(done)
        self._outbox.record(step)
        await self._outbox.commit()
        return done

    async def _record_tool(self, intent: Intent, done: ToolStep) -> ToolStep:
        step = self._step(intent.path, intent.kind, done.state, intent.fingerprint, done.started_at)
        step.ended_at = done.settled_at or done.started_at + done.seconds
        step.result = tool_result_text(done)
        self._count(intent.kind, done.state.value, done.seconds)
        self._open.pop(intent.path, None)
        if intent.kind is StepKind.DELEGATE and (done.is_error or done.hook_effect == "skipped"):
            self._end_left(intent.path)
        for content in contents(done.media).values():
            self._outbox.content(content)
        self._outbox.record(step)
        faults.point("recording")
        await self._outbox.commit()
        faults.point("recorded")
        return done

    async def _made(self, intent: Intent, call: Callable[[], Awaitable[ToolStep]]) -> ToolStep:
        faults.point("performing")
        try:
            done = await call()
        except asyncio.CancelledError:
            outcome = StepOutcome.STOPPED if intent.is_stoppable else StepOutcome.UNKNOWN
            if intent.path in self._abandoned:
                outcome = StepOutcome.ABANDONED
            self._count(intent.kind, "cut_off", None)
            self._was_cut_off(intent.path, intent.kind, outcome, intent.name)
            raise
        faults.point("performed")
        if self._outbox.is_stopped:
            self._was_cut_off(intent.path, intent.kind, StepOutcome.FINISHED, intent.name)
        return done

    def _count(self, kind: StepKind, outcome: str, seconds: float | None) -> None:
        metrics = self._outbox.metrics
        metrics.tool_calls.add(kind.value, outcome)
        if seconds is not None:
            metrics.tool_seconds.observe(seconds, kind.value)

    def _was_cut_off(self, path: str, kind: StepKind, outcome: StepOutcome, name: str | None = None) -> None:
        self.cut_off.append({"path": path, "kind": kind.value, "name": name, "outcome": outcome.value})

    async def _known_outcome(
        self,
        intent: Intent,
        started_at: float,
        require: Callable[[RequirementKind], Requirement],
        said: str = CUT_OFF,
    ) -> ToolStep | None:
        """What came of a call that was cut off, as far as a person or the team's rule says; None: make it again.

        :param said: what the model reads where the call counts as failed.
        :raises Waits: a person has to say first.
        """
        approval = self._approvals.pop(intent.path, None)
        if approval is not None and approval.decision is not None:
            self._outbox.decision_consumed(intent.path)
            return await self._decided(intent, started_at, approval.decision, CUT_OFF)
        if intent.on_unknown == "retry":
            return None
        if intent.on_unknown == "fail":
            return _outcome(started_at, said, is_error=True)
        if approval is not None:
            raise Waits([approval.requirement])
        asked = require(RequirementKind.UNKNOWN_OUTCOME)
        # Its own id for each time it is cut off: an old decision that is sent again says nothing about the new call.
        own_id = clock.derived_id(asked.id, f"{self._root.attempt} {started_at}")
        requirement = replace(asked, id=own_id, started_at=started_at)
        unknown = self._step(intent.path, intent.kind, StepState.UNKNOWN, intent.fingerprint, started_at)
        self._outbox.record(unknown)
        self._outbox.requirement_opened(requirement)
        await self._outbox.commit()
        raise Waits([requirement])

    async def _agreed(self, intent: Intent, approval: ApprovalRow) -> ToolStep | None:
        """What came of a call that waited for a person, as that person says; None: make it.

        :raises Waits: nobody has decided.
        """
        if approval.decision is None:
            raise Waits([approval.requirement])
        self._outbox.decision_consumed(intent.path)
        return await self._decided(intent, clock.now(), approval.decision, NOT_MADE)

    async def _decided(self, intent: Intent, started_at: float, decision: JsonObject, said: str) -> ToolStep | None:
        verdict = Verdict(decision["verdict"])
        if verdict is Verdict.HAPPENED:
            return _outcome(started_at, decision["result"] or "", is_error=False)
        if verdict is Verdict.REFUSED:
            return _outcome(started_at, decision["note"] or said, is_error=True)
        step = self._step(intent.path, intent.kind, StepState.STARTED, intent.fingerprint, clock.now())
        self._open[intent.path] = step
        self._outbox.record(step)
        await self._outbox.commit()
        return None

    def input_changed(self, run_id: str, text: str) -> None:
        """Record that a run is asked this in place of what it was asked; stored with the next commit."""
        self._outbox.input_changed(run_id, text)

    def member_ended(self, end: MemberEnd) -> None:
        """Record how a member's run ended; stored with the next commit."""
        run = self._members.pop(end.run_id)
        run.state, run.ended_at = end.state, end.at
        if end.is_stopped or end.state is RunState.ERROR:
            self._close_below(run.path)
        if end.state is RunState.CANCELLED:
            end.output.cut_off = [step for step in self.cut_off if str(step["path"]).startswith(f"{run.path}/")]
        if end.is_stopped:  # the root goes on: they were not under way when it is cancelled later
            self.cut_off = [step for step in self.cut_off if step not in end.output.cut_off]
        end.output.cost = self.cost_below(f"{run.path}/")
        self._outbox.member_ended(MemberRecord(run=run, output=end.output, messages=end.messages))

    def _end_left(self, path: str) -> None:
        """End the members of a delegation that an earlier attempt began and this one refuses: they are gone."""
        for row in self._member_rows.values():
            if not row.state.is_final and f"{row.path}/".startswith(f"{path}/"):
                row.state, row.ended_at = RunState.CANCELLED, clock.now()
                self._close_below(row.path)
                self._outbox.member_ended(MemberRecord(run=row))

    def cost_below(self, place: str) -> float | None:
        """What the model calls at places that begin with ``place`` cost; None where one has no list price."""
        costs = [cost for path, cost in self._costs.items() if path.startswith(place)]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None

    def _close_below(self, path: str) -> None:
        """Say of the calls of a member that was stopped that nobody will see what came of them."""
        for below in [open_path for open_path in self._open if open_path.startswith(f"{path}/")]:
            step = self._open.pop(below)
            was_made = step.kind is StepKind.TOOL and step.state is not StepState.WAITING
            state = StepState.UNKNOWN if was_made else StepState.FAILED
            self._outbox.record(replace(step, state=state))

    def first_token(self, at: float) -> None:
        """Note when the root's model gave its first text."""
        self._outbox.first_token(at)

    def _earlier(self, path: str, kind: StepKind, fingerprint: str) -> StepRow | None:
        """The step that an earlier attempt stored under this path."""
        stored = self._stored.get(path)
        if stored is not None and (stored.kind, stored.fingerprint) != (kind, fingerprint):
            raise ReplayDiverged(f"The run cannot go on: step {path} would do something else than was stored there.")
        return stored

    def _is_done(self, path: str) -> bool:
        """Whether the step has a result: of a member's run, in the tree that this one goes on from."""
        stored = self._stored.get(path)
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
        )
        self._members[run.run_id] = run
        return MemberRecord(run=run, input_text=jsontext.dumps(Input(message=start.task).as_json()))

    def _step(self, path: str, kind: StepKind, state: StepState, fingerprint: str, started_at: float) -> StepRow:
        return StepRow(
            root_id=self._root.run_id,
            path=path,
            kind=kind,
            state=state,
            fingerprint=fingerprint,
            attempt=self._root.attempt,
            started_at=started_at,
        )


def _outcome(started_at: float, result: str, *, is_error: bool) -> ToolStep:
    """What a person, or a rule, says came of a call that was cut off."""
    return ToolStep(
        result=result,
        is_error=is_error,
        started_at=started_at,
        seconds=0.0,
        settled_at=clock.now(),
        state=StepState.FAILED if is_error else StepState.COMPLETED,
    )
