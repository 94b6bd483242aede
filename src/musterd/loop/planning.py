"""From a model's tool call to one that can be made: looked up, checked, with its intent."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic_ai.messages import ToolCallPart

from musterd.core import clock, jsontext
from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepKind, ToolCall
from musterd.declare import Component, Tool, ToolArgumentsInvalid
from musterd.loop.approval_gate import apply_decision, is_undecided, may_begin, requirement_before_call
from musterd.loop.assignment import Assignment
from musterd.loop.delegation import Delegations, Refused, delegations_of, is_delegation
from musterd.loop.run_tools import NONE as NO_RUN_TOOLS
from musterd.loop.run_tree import RunTree, fingerprint
from musterd.loop.steps import Intent
from musterd.loop.task_runs import is_task_run, task_runs_of
from musterd.loop.tool_arguments import read_arguments
from musterd.loop.tool_set import tool_digests, tool_of, tools_of


@dataclass(slots=True, kw_only=True)
class Planned:
    """A tool call of the model, looked up and checked.

    Where neither tool nor delegations are there, ``refusal`` says why it is not made, in words that the model can
    act on. One that ``waits`` is not begun before a person decides.
    """

    call: ToolCall
    intent: Intent
    arguments: JsonObject
    tool: Tool | None = None
    delegations: Delegations | None = None
    refusal: str | None = None
    waits: bool = False


class Planner:
    """Plans the tool calls of one run.

    ``began_with`` is what the run was prepared with, by its first attempt; ``run_tools`` what it has beyond its
    component's tools.
    """

    def __init__(self, world: RunTree, run: Assignment) -> None:
        self._world = world
        self._run = run
        self._calls_made = 0
        self.began_with: JsonObject = {}
        self.run_tools = NO_RUN_TOOLS

    def plan(self, turn: int, number: int, part: ToolCallPart, reason: str | None = None) -> Planned:
        """The call that stands at ``number`` in the turn.

        :param reason: why it is not made, as was said when it came.
        """
        run = self._run
        path = run.at(f"t{turn}/c{number}")
        arguments, refusal = read_arguments(part)
        call = ToolCall(id=part.tool_call_id, name=part.tool_name, args=arguments, created_at=clock.now())
        starts_members = is_delegation(run.component, part.tool_name) or is_task_run(run.component, part.tool_name)
        kind = StepKind.DELEGATE if starts_members else StepKind.TOOL
        asked = fingerprint(kind, run.component.id, part.tool_name, arguments)
        plan = Planned(
            call=call,
            intent=Intent(path=path, kind=kind, name=part.tool_name, fingerprint=asked),
            arguments=arguments,
            refusal=reason or refusal or self._over_limit(),
        )
        if plan.refusal is None:
            try:
                self._look_up(plan)
            except Refused as refused:
                plan.refusal = str(refused)
        plan.intent = replace(
            plan.intent,
            is_retry_safe=self._is_retry_safe(plan),
            on_unknown=run.component.spec.on_unknown_effect,
            is_stoppable=plan.tool is None or plan.tool.is_async,
        )
        return plan

    def _look_up(self, plan: Planned) -> None:
        if plan.intent.kind is StepKind.DELEGATE:
            self._plan_delegation(plan)
        else:
            self._plan_tool(plan)

    def _over_limit(self) -> str | None:
        self._calls_made += 1
        limit = self._run.component.spec.tool_call_limit
        if limit is not None and self._calls_made > limit:
            return f"The limit of {limit} tool calls is reached. Answer with what you have."
        return None

    def _plan_tool(self, plan: Planned) -> None:
        component = self._run.component
        tool = tool_of(component, plan.call.name) or self.run_tools.get(plan.call.name)
        if tool is None:
            offered = [definition.name for definition in tools_of(component)]
            known = ", ".join([*offered, *self.run_tools.tools]) or "none"
            raise Refused(f"There is no tool '{plan.call.name}'. Tools: {known}.")
        plan.tool = tool
        plan.call.stops_run = tool.stop_after_tool_call
        try:
            plan.arguments = self._checked(plan, tool)
        except ToolArgumentsInvalid as error:
            raise Refused(error.message) from error

    def _checked(self, plan: Planned, tool: Tool) -> JsonObject:
        """The arguments as the function takes them, once nobody is to be asked any more about the call."""
        path, call = plan.intent.path, plan.call
        arguments = call.args
        if tool.requires_user_input:
            tool.validate_proposed(call.args)
        else:
            arguments = tool.validate(call.args)
        row = self._world.asked.get(path)
        asks = requirement_before_call(self._world, self._run, call, path, tool) if row is None else None
        if asks is not None:
            plan.intent = replace(plan.intent, asks=asks)
        plan.waits = is_undecided(row, asks)
        if row is None:
            return arguments
        apply_decision(call, tool, row)
        return tool.validate(call.args) if may_begin(row) else arguments

    def _plan_delegation(self, plan: Planned) -> None:
        run = self._run
        delegations = self.delegations(plan, plan.arguments)
        if run.depth + 1 > self._world.settings.max_depth:
            raise Refused(f"Delegation is limited to {self._world.settings.max_depth} levels. Do it yourself.")
        plan.delegations = delegations
        plan.call.stops_run = getattr(run.component.spec, "mode", "") == "route"

    def delegations(self, plan: Planned, arguments: JsonObject) -> Delegations:
        """The members' runs that a delegation starts with these arguments.

        :raises Refused: it cannot be made so.
        """
        name = plan.call.name
        find = task_runs_of if is_task_run(self._run.component, name) else delegations_of
        return find(self._run, name, arguments, plan.intent.path)

    def hooked_delegations(self, plan: Planned, arguments: JsonObject) -> Delegations:
        """The members' runs that a delegation starts whose hooks call it with these arguments.

        Hooks are called again when the delegation goes on in another attempt: those of the first attempt count.

        :raises Refused: it cannot be made so.
        """
        component = self._run.component
        texts = {name: jsontext.storable(value) for name, value in arguments.items() if isinstance(value, str)}
        arguments = {**arguments, **texts}
        first = self.delegations(plan, arguments)
        (schema,) = (tool.parameters_json_schema for tool in tools_of(component) if tool.name == plan.call.name)
        taken = {"arguments": {name: arguments[name] for name in schema["properties"] if name in arguments}}
        asked = fingerprint(StepKind.PREPARE, component.id, "hooks", None)
        stored = self._world.steps.prepared(f"{plan.intent.path}/hooks", asked, taken)
        return first if stored == taken else self.delegations(plan, stored["arguments"])

    def _is_retry_safe(self, plan: Planned) -> bool:
        """Whether nothing is done twice where the call has begun before, and begins again."""
        if plan.intent.kind is StepKind.DELEGATE:
            return True  # members' own steps are recorded, each once
        if plan.refusal is None and plan.tool is not None:
            return plan.tool.retry_safe
        name, began_with = plan.call.name, self.began_with
        if name in began_with.get("retry_safe", ()):
            return True
        # One that is refused now was refused then too, unless a deploy has taken the tool away or changed it.
        digests: Mapping[str, str] = tool_digests(self._run.component)
        now = digests.get(name) or self.run_tools.digests.get(name)
        return began_with.get("tools", {}).get(name) in (None, now)


def member_plan(plan: Planned, component: Component, path: str, task: str) -> Intent:
    """The intent of one member's run among several that a call starts."""
    asked = fingerprint(StepKind.DELEGATE, component.id, plan.call.name, task)
    return replace(plan.intent, path=path, fingerprint=asked, is_retry_safe=True)
