"""Execution of the tool calls and delegations of one run.

The calls of a turn run concurrently. For each call a started event is emitted, its intent is stored, the call is made,
and its result is stored together with the completed event. Results are returned in the order of the calls.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from pydantic_ai.messages import ToolCallPart, UserContent

from musterd.core import clock
from musterd.core.error_logging import exception_message
from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.media import Medium
from musterd.core.records import StepState, ToolCall
from musterd.core.requirements import Requirement, RequirementKind
from musterd.declare import Component, Team
from musterd.declare.tool_errors import ToolFailed
from musterd.loop import reasoning_steps, state
from musterd.loop.answer_models import has_output_model
from musterd.loop.approval_gate import change_note, make_requirement
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.call_planning import PlannedCall, Planner, member_intent
from musterd.loop.delegation import DelegatedRun, Delegations, Refused
from musterd.loop.functions import call_function
from musterd.loop.gather import gather
from musterd.loop.history import team_history_text
from musterd.loop.hooked_delegation import delegate_in_hooks, has_delegation_hooks
from musterd.loop.knowledge_tools import note_search
from musterd.loop.media import member_messages, member_prompt
from musterd.loop.members import Drivable, drive_member, member_start
from musterd.loop.produced_media import result_content
from musterd.loop.prompts import interactions_text
from musterd.loop.retrieval import declared_filters
from musterd.loop.run_tree import RunTree
from musterd.loop.steps import Intent, MemberStart, ToolStep
from musterd.loop.structured_answers import AnswerForm, answer_form
from musterd.loop.tool_results import ResultTooLarge, checked_change, within_limit
from musterd.loop.tool_set import is_in_tasks_mode


class Toolbox:
    """The tools of one run."""

    def __init__(
        self,
        tree: RunTree,
        run: Assignment,
        progress: Progress,
        make_loop: Callable[[RunTree, Assignment], Drivable],
    ) -> None:
        self._tree = tree
        self._run = run
        self._progress = progress
        self._make_loop = make_loop
        self._interactions: list[tuple[str, str, str]] = []
        self._answered_members: list[tuple[Component, str, str]] = []
        self._media: dict[str, tuple[Medium, ...]] = {}
        self._members: dict[str, Component] = {}
        self._voice: str | None = None
        self._voice_path = ""
        self.planner = Planner(tree, run)

    async def call_all(self, turn: int, parts: Sequence[ToolCallPart], refused: Mapping[str, str]) -> list[ToolCall]:
        """Make the calls of one turn concurrently, and return them with their results, in order.

        :param refused: the reasons why some of them are not made, by tool call id.
        """
        plans = [
            self.planner.plan(turn, number, part, refused.get(part.tool_call_id)) for number, part in enumerate(parts)
        ]
        for plan in plans:
            # Listed before they are made, so that the output of a cancelled run contains the calls that were cut off.
            self._progress.output.tools.append(plan.call)
            if not plan.waits:
                self._emit(EventKind.TOOL_CALL_STARTED, plan)
        self._voice = self._run.voice if _speaks_for_team(self._run.component, plans) else None
        intents, members = [plan.intent for plan in plans], list[MemberStart]()
        for plan in plans:
            # With hooks, members' rows are stored once the hooks let the call through: they may refuse or change it.
            if plan.delegations is not None and not has_delegation_hooks(self._run):
                member_intents, starts = self._begin_members(plan, plan.delegations)
                intents += member_intents
                members += starts
        # Commit the intents before any call is made. A crash in between leaves calls that count as cut off; the other
        # way round, a call could have an effect that no later attempt knows of.
        await self._tree.steps.intend(intents, members)
        steps = await self._make_all(plans)
        for plan, step in zip(plans, steps, strict=True):
            note_search(self._run, self._progress, step)
            if step.hook_effect == "skipped":
                plan.delegations, self._voice = None, None
            if step.media:
                self._progress.add_media(step.media)  # including media of members
                self._media[plan.call.id] = step.media if plan.delegations is None else ()
            if _opens_answer(plan, step):
                self._progress.results_in_answer.append(step.result)
            if plan.delegations is not None:
                self._note_delegation(plan, plan.delegations, step)
        return [plan.call for plan in plans]

    def _note_delegation(self, plan: PlannedCall, delegations: Delegations, step: ToolStep) -> None:
        """Remember a delegation for later members, and void the member's text if it is not the answer after all."""
        first = delegations.runs[0]
        names = ", ".join(delegated.member.name for delegated in delegations.runs)
        self._interactions.append((names, first.task, step.result))
        self._members[plan.call.id] = first.member
        if delegations.join is None and not step.is_error:  # the result is the text of one member
            self._answered_members.append((first.member, first.task, step.result))
        self._voice_path = plan.intent.path
        if step.is_error or step.hook_effect == "changed":
            self.void_member_text("member_failed" if step.is_error else "hook_changed")

    @property
    def has_member_spoken(self) -> bool:
        """Whether the text of the member that answered last was emitted as this run's own text."""
        return self._voice is not None

    def void_member_text(self, reason: str) -> None:
        """Void the text that a member emitted as this run's own text, if one did."""
        if not self.has_member_spoken:
            return
        superseded = [{"run_id": self._run.voice, "path": self._voice_path}]
        data: JsonObject = {"reason": reason, "superseded": superseded}
        self._tree.emit_now(EventKind.RUN_CONTINUED, self._run.run_id, data, f"{self._voice_path}/failed")
        self._voice = None

    def member_answer_form(self, call: ToolCall) -> AnswerForm | None:
        """The answer form of the member that a delegation went to."""
        member = self._members.get(call.id)
        return answer_form(member, None) if member is not None else None

    def content_for_model(self, call: ToolCall) -> str | list[UserContent]:
        """A call's result as the model reads it: its text, and its media if the component sends them to its model."""
        text, media = self._cut(change_note(call) + (call.result or "")), self._media.get(call.id, ())
        if not media or not self._run.component.spec.send_media_to_model:
            return text
        return result_content(text, media, self._tree.models.of(self._run.component))

    def _cut(self, result: str) -> str:
        """The result, cut with a note if it is longer than the model may read."""
        limit = self._tree.settings.tool_result_bytes
        if len(result) * 4 <= limit or len(data := result.encode()) <= limit:
            return result
        beginning = data[:limit].decode(errors="ignore")
        return f"{beginning}\n[… cut: the result has {len(data)} bytes, of which {limit} are shown]"

    def _member_intent(self, plan: PlannedCall, delegated: DelegatedRun) -> Intent:
        return member_intent(plan, delegated.member, delegated.path, delegated.task)

    def _requirement(self, plan: PlannedCall, kind: RequirementKind) -> Requirement:
        return make_requirement(self._tree, self._run, plan.call, plan.intent.path, kind, plan.tool)

    # --- making a call ----------------------------------------------------------------------------

    async def _make_all(self, plans: Sequence[PlannedCall]) -> list[ToolStep]:
        """Make calls concurrently, and merge their changes of the session's state."""
        finished: dict[int, ToolStep] = {}

        async def make(number: int, plan: PlannedCall) -> ToolStep:
            step = finished[number] = await self._make(plan)
            return step

        try:
            return await gather([make(number, plan) for number, plan in enumerate(plans)])
        finally:
            # After all calls, in their order, so that every attempt arrives at the same state. Also if the run pauses
            # or ends in the middle of the turn: what the finished calls have changed counts.
            state.merge_concurrent(self._run.state, [finished[number].state_delta for number in sorted(finished)])

    async def _make(self, plan: PlannedCall) -> ToolStep:
        step = await self._tree.steps.tool(
            plan.intent, lambda: self._perform(plan), lambda kind: self._requirement(plan, kind)
        )
        if plan.call.is_error is None:  # not made here: an earlier attempt made it, or a person decided its outcome
            if plan.delegations is not None and has_delegation_hooks(self._run):
                self._restore_hooked_delegation(plan, step)
            self._finish(plan, step)
        return step

    async def _perform(self, plan: PlannedCall) -> ToolStep:
        if plan.refusal is not None:
            step = ToolStep(
                result=plan.refusal,
                is_error=True,
                started_at=clock.now(),
                seconds=0.0,
                state=StepState.FAILED,
            )
        elif plan.delegations is not None and has_delegation_hooks(self._run):
            step = await self._delegate_in_hooks(plan)
        elif plan.delegations is not None:
            step = await self._delegate(plan, plan.delegations, self._run)
        elif plan.tool is not None:
            step = await call_function(self._tree, self._run, plan.tool, plan.call.id, plan.intent.path, plan.arguments)
        else:
            raise AssertionError("a planned call is a tool, a delegation or a refusal")
        if not plan.intent.leaves_open(step.state):
            # Emit within the step, so that the completed event is stored in the same commit as the result.
            self._finish(plan, step)
        return step

    def _finish(self, plan: PlannedCall, step: ToolStep) -> None:
        """Take the result into the call, and emit it."""
        call = plan.call
        call.result, call.is_error = step.result, step.is_error
        call.started_at, call.seconds, call.child_run_id = step.started_at, step.seconds, step.child_run_id
        details = step.details or {}
        call.stops_run = (call.stops_run and not step.is_error) or "stops_run" in details
        if plan.tool is not None and "asides" in details:  # model calls of a tool of the loop
            self._progress.output.count_asides(details["asides"])
        self._emit(EventKind.TOOL_CALL_COMPLETED, plan, step.media, details.get("references"))
        if plan.tool is not None and plan.tool.is_own and call.name in (reasoning_steps.THINK, reasoning_steps.ANALYZE):
            reasoning_steps.note_call(self._tree, self._run, self._progress, call, plan.intent.path)
        if step.is_error:
            self._emit(EventKind.TOOL_CALL_ERROR, plan)
        if _opens_answer(plan, step):
            self._tree.emit_now(EventKind.CONTENT, self._run.voice, {"text": f"{step.result}\n\n"}, plan.intent.path)

    def _emit(
        self, kind: EventKind, plan: PlannedCall, media: Sequence[Medium] = (), references: JsonObject | None = None
    ) -> None:
        data: JsonObject = {"tool": plan.call.as_json()}
        if references is not None:
            data["references"] = [references]
        if media:
            data["media"] = [medium.as_json() for medium in media]
        self._tree.emit_now(kind, self._run.run_id, data, plan.intent.path)

    # --- members ----------------------------------------------------------------------------------

    def _begin_members(self, plan: PlannedCall, delegations: Delegations) -> tuple[list[Intent], list[MemberStart]]:
        """The intents and rows to store before the members of a call begin."""
        runs = delegations.runs
        # A run with the path of the call shares the call's intent.
        intents = [self._member_intent(plan, delegated) for delegated in runs if delegated.path != plan.intent.path]
        starts = [
            member_start(self._tree, self._run, delegated.member, delegated.path, delegated.task) for delegated in runs
        ]
        self._progress.members.extend(start.run_id for start in starts)
        return intents, starts

    async def _delegate(self, plan: PlannedCall, delegations: Delegations, run: Assignment) -> ToolStep:
        if delegations.join is None:
            (delegated,) = delegations.runs
            return await self._drive(delegated, run)
        started_at, started = clock.now(), clock.monotonic()
        # A copy: other calls of the turn run at the same time, and the changes are merged after all of them.
        call_state = state.copied(run.state)
        emit = self._tree.emitter(run.run_id, plan.intent.path)
        if delegations.begin is not None:
            delegations.begin(call_state, emit)
        steps = await gather([self._drive_recorded(plan, delegated, run) for delegated in delegations.runs])
        state.merge_concurrent(call_state, [step.state_delta for step in steps])
        joined = delegations.join(steps, call_state, emit)
        step = ToolStep(
            result=joined.result,
            is_error=joined.is_error,
            started_at=started_at,
            seconds=clock.monotonic() - started,
            state=StepState.FAILED if joined.is_error else StepState.COMPLETED,
            child_run_id=steps[0].child_run_id if len(steps) == 1 else None,
            state_delta=state.delta(run.state, call_state),
            media=tuple(medium for member_step in steps for medium in member_step.media),
        )
        return within_limit(step, self._tree.settings.tool_result_stored_bytes)

    async def _delegate_in_hooks(self, plan: PlannedCall) -> ToolStep:
        async def drive(arguments: JsonObject, hook_state: JsonObject) -> ToolStep:
            try:
                # The members' steps have to store it.
                change = checked_change(state.delta(self._run.state, hook_state), self._tree.settings.state_bytes)
                state.merge(hook_state, change)
                delegations = self.planner.hooked_delegations(plan, arguments)
            except (Refused, ResultTooLarge, TypeError, ValueError) as error:
                raise ToolFailed(exception_message(error)) from error
            plan.delegations = delegations
            # The hooks have let the call through. As in call_all, intents and rows are committed before a member
            # begins.
            await self._tree.steps.intend(*self._begin_members(plan, delegations))
            checked_state = state.copied(hook_state)  # hooks may go on changing theirs
            step = await self._delegate(plan, delegations, replace(self._run, state=checked_state))
            state.merge(hook_state, step.state_delta)
            state.merge(checked_state, step.state_delta)
            change = state.delta(self._run.state, checked_state)
            return replace(step, state_delta=None if change is None else state.copied(change))

        def stop() -> None:
            for delegated in plan.delegations.runs if plan.delegations is not None else ():
                self._tree.stops.stop(clock.derived_id(self._tree.salt, delegated.path))

        return await delegate_in_hooks(self._tree, self._run, plan, drive, stop)

    def _restore_hooked_delegation(self, plan: PlannedCall, step: ToolStep) -> None:
        """Bring the plan of a stored delegation to the arguments that its hooks passed on in the first attempt."""
        if step.hook_effect != "skipped":
            with suppress(Refused):  # a deploy has removed the member
                plan.delegations = self.planner.hooked_delegations(plan, plan.arguments)
            if plan.delegations is not None:
                # Only to list the members in the run's progress; their intents and rows are stored already.
                self._begin_members(plan, plan.delegations)

    async def _drive_recorded(self, plan: PlannedCall, delegated: DelegatedRun, run: Assignment) -> ToolStep:
        """Drive one of several members that a call starts, as a step with its own intent."""
        return await self._tree.steps.tool(
            self._member_intent(plan, delegated),
            lambda: self._drive(delegated, run),
            lambda kind: self._requirement(plan, kind),
        )

    async def _drive(self, delegated: DelegatedRun, run: Assignment) -> ToolStep:
        spec, context = run.component.spec, list[str]()
        if isinstance(spec, Team) and spec.share_member_interactions and self._interactions:
            context.append(interactions_text(self._interactions))
        context.append(team_history_text(self._tree.member_history, run.component))
        member = Assignment(
            component=delegated.member,
            run_id=clock.derived_id(self._tree.salt, delegated.path),
            parent_id=run.run_id,
            path=delegated.path,
            prompt=member_prompt(self._tree, run, delegated),
            state=state.copied(run.state),
            depth=run.depth + 1,
            history=member_messages(self._tree, delegated.member, self._answered_members),
            context=context,
            inherited_dependencies=run.dependencies,
            inherited_metadata=run.metadata,
            leader_filters=declared_filters(run),
            speaks_for=self._voice,
            media=run.media,
        )
        step = await drive_member(self._tree, member, self._make_loop)
        step = within_limit(step, self._tree.settings.tool_result_stored_bytes)
        if is_in_tasks_mode(run.component):  # the task list belongs to this leader; a member has its own, or none
            return replace(step, state_delta=state.without_tasks(step.state_delta))
        return step


def _opens_answer(plan: PlannedCall, step: ToolStep) -> bool:
    """Whether the run's answer begins with this result. A result that is the whole answer does not count."""
    return plan.tool is not None and plan.tool.show_result and not step.is_error and not plan.call.stops_run


def _speaks_for_team(team: Component, plans: Sequence[PlannedCall]) -> bool:
    """Whether a member's text is emitted as the team's own while it streams.

    That is so if exactly one member is called and its answer becomes the team's answer unchanged.
    """
    plans_of_members = [plan for plan in plans if plan.delegations is not None for _ in plan.delegations.runs]
    is_streamed = not has_output_model(team) and (team.team is None or team.team.stream_member_events)
    return is_streamed and len(plans_of_members) == 1 and plans_of_members[0].call.stops_run
