"""The tools of one run: what happens when its model calls them.

The calls of one turn run together. Each is announced, its intent is stored, it happens, and its result is stored
with the event that tells of it; results come back in the order of the calls.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from pydantic_ai.messages import ToolCallPart, UserContent

from musterd.core import clock
from musterd.core.errors import HandedOver
from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.media import Medium
from musterd.core.records import StepState, ToolCall
from musterd.core.requirements import Requirement, RequirementKind
from musterd.specs import Component, Team
from musterd.team import state, thoughts
from musterd.team.answers import AnswerForm, wanted_form
from musterd.team.assignment import Assignment, Progress
from musterd.team.consent import change_note, requirement_about
from musterd.team.delegation import Delegated, Delegations
from musterd.team.finishing import has_output_model
from musterd.team.functions import call_function
from musterd.team.media import member_prompt
from musterd.team.members import Driven, drive_member, member_start
from musterd.team.offer import is_in_tasks_mode
from musterd.team.past import member_history, team_history_text
from musterd.team.pausing import Waits
from musterd.team.planning import Planned, Planner, member_plan
from musterd.team.produced import shown as shown_with_media
from musterd.team.prompts import interactions_text
from musterd.team.steps import Intent, MemberStart, ToolStep
from musterd.team.world import World


class Toolbox:
    """The tools of one run."""

    def __init__(
        self,
        world: World,
        run: Assignment,
        progress: Progress,
        make_loop: Callable[[World, Assignment], Driven],
    ) -> None:
        self._world = world
        self._run = run
        self._progress = progress
        self._make_loop = make_loop
        self._interactions: list[tuple[str, str, str]] = []
        self._done: list[tuple[Component, str, str]] = []
        self._media: dict[str, tuple[Medium, ...]] = {}
        self._voice: str | None = None
        self.planner = Planner(world, run)

    async def call_all(self, turn: int, parts: Sequence[ToolCallPart]) -> list[ToolCall]:
        """Make the calls of one turn, together, and return them with their results, in order."""
        planned = [self.planner.plan(turn, number, part) for number, part in enumerate(parts)]
        for plan in planned:
            self._progress.output.tools.append(plan.call)
            if not plan.waits:
                self._tell(EventKind.TOOL_CALL_STARTED, plan)
        starting = [(plan, one) for plan in planned if plan.delegations is not None for one in plan.delegations.runs]
        is_heard = len(starting) == 1 and starting[0][0].call.stops_run and _lets_members_be_heard(self._run.component)
        self._voice = self._run.voice if is_heard else None
        intents = [plan.intent for plan in planned]
        intents += [self._intent_of(plan, one) for plan, one in starting if one.path != plan.intent.path]
        members: list[MemberStart] = [
            member_start(self._world, self._run, one.member, one.path, one.task) for _, one in starting
        ]
        self._progress.members.extend(member.run_id for member in members)
        await self._world.steps.intend(intents, members)
        steps = await _together([self._make(plan) for plan in planned])
        for plan, step in zip(planned, steps, strict=True):
            state.merge(self._run.state, step.state_delta)
            if step.media:
                self._progress.add_media(step.media)  # members' too
                self._media[plan.call.id] = step.media if plan.delegations is None else ()
            if _is_shown(plan, step):
                self._progress.shown.append(step.result)
            if plan.delegations is not None:
                names = ", ".join(one.member.name for one in plan.delegations.runs)
                self._interactions.append((names, plan.delegations.runs[0].task, step.result))
                if plan.delegations.join is None and not step.is_error:  # the result is the member's own words
                    self._done.append((plan.delegations.runs[0].member, plan.delegations.runs[0].task, step.result))
                if step.is_error and self.has_spoken:
                    self._void(plan)
        return [plan.call for plan in planned]

    @property
    def has_spoken(self) -> bool:
        """Whether the member that answered last was heard in this run's own voice."""
        return self._voice is not None

    def form_of(self, call: ToolCall) -> AnswerForm | None:
        """The form of the answer of the member that a delegation went to."""
        member_id = call.args.get("member_id")
        found = [member for member in self._run.component.members if member.id == member_id]
        return wanted_form(found[0], None) if found else None

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

    def _intent_of(self, plan: Planned, one: Delegated) -> Intent:
        return member_plan(plan, one.member, one.path, one.task)

    def _requirement(self, plan: Planned, kind: RequirementKind) -> Requirement:
        return requirement_about(self._world, self._run, plan.call, plan.intent.path, kind)

    # --- making a call ----------------------------------------------------------------------------

    async def _make(self, plan: Planned) -> ToolStep:
        step = await self._world.steps.tool(
            plan.intent, lambda: self._perform(plan), lambda kind: self._requirement(plan, kind)
        )
        if plan.call.is_error is None:  # an earlier attempt made it, or somebody had to say what came of it
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
        elif plan.delegations is not None:
            step = await self._delegate(plan, plan.delegations)
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
        if plan.tool is not None and plan.tool.is_own and call.name in (thoughts.THINK, thoughts.ANALYZE):
            thoughts.note_call(self._world, self._run, self._progress, call, plan.intent.path)
        if step.is_error:
            self._tell(EventKind.TOOL_CALL_ERROR, plan)
        if _is_shown(plan, step):
            self._world.tell(EventKind.CONTENT, self._run.voice, {"text": f"{step.result}\n\n"}, plan.intent.path)

    def _tell(self, kind: EventKind, plan: Planned, media: Sequence[Medium] = ()) -> None:
        data: JsonObject = {"tool": plan.call.as_json()}
        if media:
            data["media"] = [medium.as_json() for medium in media]
        self._world.tell(kind, self._run.run_id, data, plan.intent.path)

    def _void(self, plan: Planned) -> None:
        """What a member has said in this run's voice does not count: it failed."""
        superseded = [{"run_id": self._run.voice, "path": plan.intent.path}]
        data: JsonObject = {"reason": "member_failed", "superseded": superseded}
        self._world.tell(EventKind.RUN_CONTINUED, self._run.run_id, data, f"{plan.intent.path}/failed")

    # --- members ----------------------------------------------------------------------------------

    async def _delegate(self, plan: Planned, delegations: Delegations) -> ToolStep:
        if delegations.join is None:
            (one,) = delegations.runs
            return await self._drive(one, self._run)
        started_at, started = clock.now(), clock.monotonic()
        run, own = self._run, state.copied(self._run.state)
        tell = self._world.teller(run.run_id, plan.intent.path)
        if delegations.begin is not None:
            delegations.begin(own, tell)
        steps = await _together([self._drive_recorded(plan, one) for one in delegations.runs])
        for step in steps:
            state.merge(own, step.state_delta)
        joined = delegations.join(steps, own, tell)
        return ToolStep(
            result=joined.result,
            is_error=joined.is_error,
            started_at=started_at,
            seconds=clock.monotonic() - started,
            state=StepState.FAILED if joined.is_error else StepState.COMPLETED,
            child_run_id=steps[0].child_run_id if len(steps) == 1 else None,
            state_delta=state.delta(run.state, own),
            media=tuple(medium for step in steps for medium in step.media),
        )

    async def _drive_recorded(self, plan: Planned, one: Delegated) -> ToolStep:
        """Drive one of several members that a call starts: a step of its own."""
        return await self._world.steps.tool(
            self._intent_of(plan, one),
            lambda: self._drive(one, self._run),
            lambda kind: self._requirement(plan, kind),
        )

    async def _drive(self, one: Delegated, run: Assignment) -> ToolStep:
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
        if is_in_tasks_mode(run.component):  # its list is this leader's alone: members have their own, or none
            return replace(step, state_delta=state.without_tasks(step.state_delta))
        return step


def _is_shown(plan: Planned, step: ToolStep) -> bool:
    """Whether a result is part of the run's answer; one that is the answer is shown as that."""
    return plan.tool is not None and plan.tool.show_result and not step.is_error and not plan.call.stops_run


def _lets_members_be_heard(team: Component) -> bool:
    """Whether a member's text may be told as the team's own while it comes: what makes it void is a member's event."""
    return not has_output_model(team) and bool(getattr(team.spec, "stream_member_events", True))


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
