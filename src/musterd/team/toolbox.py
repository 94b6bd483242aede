"""The tools of one run: what its model is offered, and what happens when it calls.

The calls of one turn run together. Each is announced, its intent is stored, it happens, and its result is stored
with the event that tells of it; results come back in the order of the calls.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from pydantic_ai.messages import ToolCallPart

from musterd.core import clock, jsontext
from musterd.core.errors import HandedOver
from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepKind, StepState, ToolCall
from musterd.core.requirements import Requirement, RequirementKind
from musterd.specs import Component, Tool, ToolArgumentsInvalid
from musterd.team import state
from musterd.team.assignment import Assignment, Progress
from musterd.team.delegation import DELEGATE, Driven, drive_member, member_start
from musterd.team.functions import call_function
from musterd.team.offer import tool_digests, tools_of
from musterd.team.pausing import Waits
from musterd.team.prompts import describe_member
from musterd.team.steps import Intent, MemberStart, ToolStep
from musterd.team.world import World, fingerprint


@dataclass(slots=True, kw_only=True)
class Planned:
    """A tool call of the model, looked up and checked.

    :param refusal: why it is not made, in words that the model can act on.
    """

    call: ToolCall
    intent: Intent
    tool: Tool | None = None
    member: Component | None = None
    arguments: JsonObject
    refusal: str | None = None


class Toolbox:
    """The tools of one run.

    ``began_with`` is what the run was prepared with, by its first attempt.
    """

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
        self._calls_made = 0
        self.began_with: JsonObject = {}

    async def call_all(self, turn: int, parts: Sequence[ToolCallPart]) -> list[ToolCall]:
        """Make the calls of one turn, together, and return them with their results, in order."""
        planned = [self._plan(turn, number, part) for number, part in enumerate(parts)]
        for plan in planned:
            self._progress.output.tools.append(plan.call)
            self._tell(EventKind.TOOL_CALL_STARTED, plan)
        members: list[MemberStart] = [
            member_start(self._world, self._run, plan.member, plan.intent.path, plan.arguments["task"])
            for plan in planned
            if plan.member is not None and plan.refusal is None
        ]
        self._progress.members.extend(member.run_id for member in members)
        await self._world.steps.intend([plan.intent for plan in planned], members)
        steps = await _together([self._make(plan) for plan in planned])
        for step in steps:
            state.merge(self._run.state, step.state_delta)
        return [plan.call for plan in planned]

    def shown(self, result: str) -> str:
        """What of a result the model is shown."""
        limit = self._world.settings.tool_result_bytes
        if len(result) * 4 <= limit or len(data := result.encode()) <= limit:
            return result
        kept = data[:limit].decode(errors="ignore")
        return f"{kept}\n[… cut: the result has {len(data)} bytes, of which {limit} are shown]"

    # --- from what the model said to a call that can be made --------------------------------------

    def _plan(self, turn: int, number: int, part: ToolCallPart) -> Planned:
        path = self._run.at(f"t{turn}/c{number}")
        arguments, refusal = _arguments(part)
        call = ToolCall(id=part.tool_call_id, name=part.tool_name, args=arguments, created_at=clock.now())
        is_delegation = part.tool_name == DELEGATE and self._run.component.kind == "team"
        kind = StepKind.DELEGATE if is_delegation else StepKind.TOOL
        asked = fingerprint(kind, self._run.component.id, part.tool_name, arguments)
        plan = Planned(
            call=call,
            intent=Intent(path=path, kind=kind, name=part.tool_name, fingerprint=asked),
            arguments=arguments,
            refusal=refusal or self._over_limit(),
        )
        if plan.refusal is None:
            if is_delegation:
                self._plan_delegation(plan)
            else:
                self._plan_tool(plan)
        plan.intent = replace(
            plan.intent,
            is_retry_safe=self._is_retry_safe(plan),
            on_unknown=self._run.component.spec.on_unknown_effect,
            is_stoppable=plan.tool is None or plan.tool.is_async,
        )
        return plan

    def _is_retry_safe(self, plan: Planned) -> bool:
        """Whether nothing is done twice where the call has begun before, and begins again."""
        if plan.intent.kind is StepKind.DELEGATE:
            return True  # its own steps are recorded, each once
        if plan.refusal is None and plan.tool is not None:
            return plan.tool.retry_safe
        name, began_with = plan.call.name, self.began_with
        if name in began_with.get("retry_safe", ()):
            return True
        # One that is refused now was refused then too, unless a deploy has taken the tool away or changed it.
        return began_with.get("tools", {}).get(name) in (None, tool_digests(self._run.component).get(name))

    def _requirement(self, plan: Planned, kind: RequirementKind) -> Requirement:
        component = self._run.component
        return Requirement(
            id=clock.derived_id(self._world.salt, f"{plan.intent.path}/{kind.value}"),
            kind=kind,
            path=plan.intent.path,
            tool=plan.call,
            run_id=self._run.run_id,
            component_kind=component.kind,
            component_id=component.id,
            component_name=component.name,
            created_at=clock.now(),
        )

    def _over_limit(self) -> str | None:
        self._calls_made += 1
        limit = self._run.component.spec.tool_call_limit
        if limit is not None and self._calls_made > limit:
            return f"The limit of {limit} tool calls is reached. Answer with what you have."
        return None

    def _plan_tool(self, plan: Planned) -> None:
        tool = self._run.component.tool(plan.call.name)
        if tool is None:
            known = ", ".join(definition.name for definition in tools_of(self._run.component)) or "none"
            plan.refusal = f"There is no tool '{plan.call.name}'. Tools: {known}."
            return
        plan.tool = tool
        plan.call.stops_run = tool.stop_after_tool_call
        try:
            plan.arguments = tool.validate(plan.arguments)
        except ToolArgumentsInvalid as error:
            plan.refusal = error.message

    def _plan_delegation(self, plan: Planned) -> None:
        member_id, task = plan.arguments.get("member_id"), plan.arguments.get("task")
        if not isinstance(member_id, str) or not isinstance(task, str) or not task.strip():
            plan.refusal = f"{DELEGATE} takes member_id and task, both texts that are not empty."
            return
        plan.member = self._run.component.member(member_id)
        if plan.member is None:
            members = "\n".join(describe_member(member) for member in self._run.component.members) or "none"
            plan.refusal = f"There is no member '{member_id}'. Members:\n{members}"
        elif self._run.depth + 1 > self._world.settings.max_depth:
            plan.refusal = f"Delegation is limited to {self._world.settings.max_depth} levels. Do it yourself."

    # --- making it --------------------------------------------------------------------------------

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
        elif plan.member is not None:
            step = await drive_member(self._world, self._member_assignment(plan, plan.member), self._make_loop)
        elif plan.tool is not None:
            step = await call_function(
                self._world, self._run, plan.tool, plan.call.id, plan.intent.path, plan.arguments
            )
        else:
            raise AssertionError("a planned call is a tool, a delegation or a refusal")
        if not plan.intent.leaves_open(step.state):
            self._finished(plan, step)
        return step

    def _member_assignment(self, plan: Planned, member: Component) -> Assignment:
        return Assignment(
            component=member,
            run_id=clock.derived_id(self._world.salt, plan.intent.path),
            parent_id=self._run.run_id,
            path=plan.intent.path,
            prompt=plan.arguments["task"],
            state=state.copied(self._run.state),
            depth=self._run.depth + 1,
        )

    def _finished(self, plan: Planned, step: ToolStep) -> None:
        call = plan.call
        call.result, call.is_error = step.result, step.is_error
        call.started_at, call.seconds, call.child_run_id = step.started_at, step.seconds, step.child_run_id
        call.stops_run = call.stops_run and not step.is_error
        self._tell(EventKind.TOOL_CALL_COMPLETED, plan)
        if step.is_error:
            self._tell(EventKind.TOOL_CALL_ERROR, plan)

    def _tell(self, kind: EventKind, plan: Planned) -> None:
        self._world.tell(kind, self._run.run_id, {"tool": plan.call.as_json()}, plan.intent.path)


def _arguments(part: ToolCallPart) -> tuple[JsonObject, str | None]:
    """The arguments of a call, or why they cannot be read."""
    try:
        arguments = part.args_as_dict(raise_if_invalid=True)
        jsontext.dumps(arguments)  # NaN gets through a lax parser, and into nothing after it
    except (ValueError, AssertionError):
        return {}, "The arguments are not a JSON object. Send the call again with one."
    return arguments, None


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
