"""The tools of one run: what happens when its model calls them.

The calls of one turn run together. Each is announced, its intent is stored, it happens, and its result is stored
with the event that tells of it; results come back in the order of the calls.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from pydantic_ai.messages import ToolCallPart, UserContent

from musterd.core import clock
from musterd.core.error_logging import words_of
from musterd.core.errors import HandedOver
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
from musterd.loop.delegation import DelegatedRun, Delegations, Refused
from musterd.loop.functions import call_function
from musterd.loop.history import member_history, team_history_text
from musterd.loop.hooked_delegation import delegate_in_hooks, has_delegation_hooks
from musterd.loop.media import member_prompt
from musterd.loop.members import Drivable, drive_member, member_start
from musterd.loop.pausing import Waits
from musterd.loop.planning import Planned, Planner, member_plan
from musterd.loop.produced_media import shown as shown_with_media
from musterd.loop.prompts import interactions_text
from musterd.loop.run_tree import RunTree
from musterd.loop.steps import Intent, MemberStart, ToolStep
from musterd.loop.structured_answers import AnswerForm, wanted_form
from musterd.loop.tool_results import ResultTooLarge, check_state_change, within_limit
from musterd.loop.tool_set import is_in_tasks_mode


class Toolbox:
    """The tools of one run."""

    def __init__(
        self,
        world: RunTree,
        run: Assignment,
        progress: Progress,
        make_loop: Callable[[RunTree, Assignment], Drivable],
    ) -> None:
        self._world = world
        self._run = run
        self._progress = progress
        self._make_loop = make_loop
        self._interactions: list[tuple[str, str, str]] = []
        self._done: list[tuple[Component, str, str]] = []
        self._media: dict[str, tuple[Medium, ...]] = {}
        self._members: dict[str, Component] = {}
        self._voice: str | None = None
        self.planner = Planner(world, run)

    async def call_all(self, turn: int, parts: Sequence[ToolCallPart], refused: Mapping[str, str]) -> list[ToolCall]:
        """Make the calls of one turn, together, and return them with their results, in order.

        :param refused: why some of them are not made, by tool call id.
        """
        planned = [
            self.planner.plan(turn, number, part, refused.get(part.tool_call_id)) for number, part in enumerate(parts)
        ]
        for plan in planned:
            self._progress.output.tools.append(plan.call)
            if not plan.waits:
                self._tell(EventKind.TOOL_CALL_STARTED, plan)
        self._voice = self._run.voice if _is_heard(self._run.component, planned) else None
        intents, members = [plan.intent for plan in planned], list[MemberStart]()
        for plan in planned:
            if plan.delegations is not None and not has_delegation_hooks(self._run):
                of_members, starts = self._beginning(plan, plan.delegations)
                intents += of_members
                members += starts
        await self._world.steps.intend(intents, members)
        steps = await _together([self._make(plan) for plan in planned])
        for plan, step in zip(planned, steps, strict=True):
            state.merge(self._run.state, step.state_delta)
            if step.hook_effect == "skipped":
                plan.delegations, self._voice = None, None
            if step.media:
                self._progress.add_media(step.media)  # members' too
                self._media[plan.call.id] = step.media if plan.delegations is None else ()
            if _is_shown(plan, step):
                self._progress.shown_results.append(step.result)
            if plan.delegations is not None:
                self._note_delegation(plan, plan.delegations, step)
        return [plan.call for plan in planned]

    def _note_delegation(self, plan: Planned, delegations: Delegations, step: ToolStep) -> None:
        """Remember a delegation for those that follow it, and void what its member said in vain."""
        first = delegations.runs[0]
        names = ", ".join(one.member.name for one in delegations.runs)
        self._interactions.append((names, first.task, step.result))
        self._members[plan.call.id] = first.member
        if delegations.join is None and not step.is_error:  # the result is the member's own words
            self._done.append((first.member, first.task, step.result))
        if self.has_spoken and (step.is_error or step.hook_effect == "changed"):
            self._void(plan, "member_failed" if step.is_error else "hook_changed")

    @property
    def has_spoken(self) -> bool:
        """Whether the member that answered last was heard in this run's own voice."""
        return self._voice is not None

    def form_of(self, call: ToolCall) -> AnswerForm | None:
        """The form of the answer of the member that a delegation went to."""
        member = self._members.get(call.id)
        return wanted_form(member, None) if member is not None else None

    def returned(self, call: ToolCall) -> str | list[UserContent]:
        """What the model reads of a call's result: its text, and its media where they are sent to models."""
        text, media = self.shown(change_note(call) + (call.result or "")), self._media.get(call.id, ())
        if not media or not self._run.component.spec.send_media_to_model:
            return text
        return shown_with_media(text, media, self._world.models.of(self._run.component))

    def shown(self, result: str) -> str:
        """What of a result the model is shown."""
        limit = self._world.settings.tool_result_bytes
        if len(result) * 4 <= limit or len(data := result.encode()) <= limit:
            return result
        kept = data[:limit].decode(errors="ignore")
        return f"{kept}\n[… cut: the result has {len(data)} bytes, of which {limit} are shown]"

    def _intent_of(self, plan: Planned, one: DelegatedRun) -> Intent:
        return member_plan(plan, one.member, one.path, one.task)

    def _requirement(self, plan: Planned, kind: RequirementKind) -> Requirement:
        return make_requirement(self._world, self._run, plan.call, plan.intent.path, kind)

    # --- making a call ----------------------------------------------------------------------------

    async def _make(self, plan: Planned) -> ToolStep:
        step = await self._world.steps.tool(
            plan.intent, lambda: self._perform(plan), lambda kind: self._requirement(plan, kind)
        )
        if plan.call.is_error is None:  # an earlier attempt made it, or somebody had to say what came of it
            if plan.delegations is not None and has_delegation_hooks(self._run):
                self._take_hooked(plan, step)
            self._finished(plan, step)
        return step

    async def _perform(self, plan: Planned) -> ToolStep:
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
            step = await call_function(
                self._world, self._run, plan.tool, plan.call.id, plan.intent.path, plan.arguments
            )
        else:
            raise AssertionError("a planned call is a tool, a delegation or a refusal")
        if not plan.intent.leaves_open(step.state):
            self._finished(plan, step)
        return step

    def _finished(self, plan: Planned, step: ToolStep) -> None:
        call = plan.call
        call.result, call.is_error = step.result, step.is_error
        call.started_at, call.seconds, call.child_run_id = step.started_at, step.seconds, step.child_run_id
        call.stops_run = call.stops_run and not step.is_error
        self._tell(EventKind.TOOL_CALL_COMPLETED, plan, step.media)
        if plan.tool is not None and plan.tool.is_own and call.name in (reasoning_steps.THINK, reasoning_steps.ANALYZE):
            reasoning_steps.note_call(self._world, self._run, self._progress, call, plan.intent.path)
        if step.is_error:
            self._tell(EventKind.TOOL_CALL_ERROR, plan)
        if _is_shown(plan, step):
            self._world.tell(EventKind.CONTENT, self._run.voice, {"text": f"{step.result}\n\n"}, plan.intent.path)

    def _tell(self, kind: EventKind, plan: Planned, media: Sequence[Medium] = ()) -> None:
        data: JsonObject = {"tool": plan.call.as_json()}
        if media:
            data["media"] = [medium.as_json() for medium in media]
        self._world.tell(kind, self._run.run_id, data, plan.intent.path)

    def _void(self, plan: Planned, reason: str) -> None:
        """What a member has said in this run's voice does not count."""
        self._voice = None
        superseded = [{"run_id": self._run.voice, "path": plan.intent.path}]
        data: JsonObject = {"reason": reason, "superseded": superseded}
        self._world.tell(EventKind.RUN_CONTINUED, self._run.run_id, data, f"{plan.intent.path}/failed")

    # --- members ----------------------------------------------------------------------------------

    def _beginning(self, plan: Planned, delegations: Delegations) -> tuple[list[Intent], list[MemberStart]]:
        """What is stored before the members of a call begin."""
        intents = [self._intent_of(plan, one) for one in delegations.runs if one.path != plan.intent.path]
        starts = [member_start(self._world, self._run, one.member, one.path, one.task) for one in delegations.runs]
        self._progress.members.extend(start.run_id for start in starts)
        return intents, starts

    async def _delegate(self, plan: Planned, delegations: Delegations, run: Assignment) -> ToolStep:
        if delegations.join is None:
            (one,) = delegations.runs
            return await self._drive(one, run)
        started_at, started = clock.now(), clock.monotonic()
        own = state.copied(run.state)
        tell = self._world.teller(run.run_id, plan.intent.path)
        if delegations.begin is not None:
            delegations.begin(own, tell)
        steps = await _together([self._drive_recorded(plan, one, run) for one in delegations.runs])
        for step in steps:
            state.merge(own, step.state_delta)
        joined = delegations.join(steps, own, tell)
        step = ToolStep(
            result=joined.result,
            is_error=joined.is_error,
            started_at=started_at,
            seconds=clock.monotonic() - started,
            state=StepState.FAILED if joined.is_error else StepState.COMPLETED,
            child_run_id=steps[0].child_run_id if len(steps) == 1 else None,
            state_delta=state.delta(run.state, own),
            media=tuple(medium for one in steps for medium in one.media),
        )
        return within_limit(step, self._world.settings.tool_result_stored_bytes)

    async def _delegate_in_hooks(self, plan: Planned) -> ToolStep:
        async def drive(arguments: JsonObject, state_of_hooks: JsonObject) -> ToolStep:
            try:
                change = state.delta(self._run.state, state_of_hooks)
                check_state_change(change, self._world.settings.state_bytes)  # members' own steps are to store it
                delegations = self.planner.hooked_delegations(plan, arguments)
            except (Refused, ResultTooLarge, TypeError, ValueError) as error:
                raise ToolFailed(words_of(error)) from error
            plan.delegations = delegations
            await self._world.steps.intend(*self._beginning(plan, delegations))
            step = await self._delegate(plan, delegations, replace(self._run, state=state_of_hooks))
            state.merge(state_of_hooks, step.state_delta)
            return step

        def stop() -> None:
            for one in plan.delegations.runs if plan.delegations is not None else ():
                self._world.stops.stop(clock.derived_id(self._world.salt, one.path))

        return await delegate_in_hooks(self._world, self._run, plan, drive, stop)

    def _take_hooked(self, plan: Planned, step: ToolStep) -> None:
        """Bring the plan of a delegation that is stored to what its hooks made of it."""
        if step.hook_effect != "skipped":
            with suppress(Refused):  # a deploy has taken the member away
                plan.delegations = self.planner.hooked_delegations(plan, plan.arguments)
            if plan.delegations is not None:
                self._beginning(plan, plan.delegations)

    async def _drive_recorded(self, plan: Planned, one: DelegatedRun, run: Assignment) -> ToolStep:
        """Drive one of several members that a call starts: a step of its own."""
        return await self._world.steps.tool(
            self._intent_of(plan, one),
            lambda: self._drive(one, run),
            lambda kind: self._requirement(plan, kind),
        )

    async def _drive(self, one: DelegatedRun, run: Assignment) -> ToolStep:
        spec, context = run.component.spec, list[str]()
        if isinstance(spec, Team) and spec.share_member_interactions and self._interactions:
            context.append(interactions_text(self._interactions))
        context.append(team_history_text(self._world.shown, run.component))
        member = Assignment(
            component=one.member,
            run_id=clock.derived_id(self._world.salt, one.path),
            parent_id=run.run_id,
            path=one.path,
            prompt=member_prompt(self._world, run, one),
            state=state.copied(run.state),
            depth=run.depth + 1,
            history=member_history(self._world.shown, one.member, self._done),
            context=context,
            inherited_dependencies=run.dependencies,
            inherited_metadata=run.metadata,
            speaks_for=self._voice,
            media=run.media,
        )
        step = await drive_member(self._world, member, self._make_loop)
        step = within_limit(step, self._world.settings.tool_result_stored_bytes)
        if is_in_tasks_mode(run.component):  # its list is this leader's alone: members have their own, or none
            return replace(step, state_delta=state.without_tasks(step.state_delta))
        return step


def _is_shown(plan: Planned, step: ToolStep) -> bool:
    """Whether a result is part of the run's answer; one that is the answer is shown as that."""
    return plan.tool is not None and plan.tool.show_result and not step.is_error and not plan.call.stops_run


def _is_heard(team: Component, planned: Sequence[Planned]) -> bool:
    """Whether a member's text is told as the team's own while it comes: it alone answers, and its end is told too."""
    delegated = [plan for plan in planned if plan.delegations is not None for _ in plan.delegations.runs]
    may_be = not has_output_model(team) and bool(getattr(team.spec, "stream_member_events", True))
    return may_be and len(delegated) == 1 and delegated[0].call.stops_run


async def _together(calls: Sequence[Awaitable[ToolStep]]) -> list[ToolStep]:
    """Await all; when one raises, end the others before it goes on."""
    if len(calls) == 1:
        return [await calls[0]]
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        await _until_none_goes_on(tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    errors = [error for task in tasks if (error := task.exception()) is not None]
    if handed_over := [error for error in errors if isinstance(error, HandedOver)]:
        raise handed_over[0]
    if waits := [error for error in errors if isinstance(error, Waits)]:
        raise Waits([requirement for error in waits for requirement in error.requirements])
    return [task.result() for task in tasks]


async def _until_none_goes_on(tasks: Sequence["asyncio.Future[ToolStep]"]) -> None:
    """Await all; raise the first error that is more than a branch that waits, or goes on in another attempt."""
    pending = set(tasks)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            error = task.exception()
            if error is not None and not isinstance(error, Waits | HandedOver):
                raise error
