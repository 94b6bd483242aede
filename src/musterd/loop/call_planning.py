"""Planning of tool calls: looks up the tool, checks the arguments and prepares the intent to store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic_ai.messages import ToolCallPart

from musterd.core import clock, jsontext
from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepKind, ToolCall
from musterd.declare import Component, Tool, ToolArgumentsInvalid
from musterd.loop.approval_gate import apply_decision, is_undecided, may_begin, requirement_before_call
from musterd.loop.argument_limits import read_arguments
from musterd.loop.assignment import Assignment
from musterd.loop.delegation import Delegations, Refused, delegations_of, is_delegation
from musterd.loop.run_tools import NO_RUN_TOOLS
from musterd.loop.run_tree import RunTree, fingerprint
from musterd.loop.steps import Intent
from musterd.loop.task_runs import is_task_run, task_runs_of
from musterd.loop.tool_set import tool_digests, tool_of, tools_of


@dataclass(slots=True, kw_only=True)
class PlannedCall:
    """A tool call of the model, looked up and checked.

    If neither ``tool`` nor ``delegations`` is set, the call is not made and ``refusal`` tells the model why. If
    ``waits`` is set, the call must not begin before a person decides.
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

    ``run_tools`` are the tools that the run has in addition to its component's.
    """

    def __init__(self, tree: RunTree, run: Assignment) -> None:
        self._tree = tree
        self._run = run
        self._call_count = 0
        self.run_tools = NO_RUN_TOOLS
        self._first_digests: Mapping[str, str] = NO_RUN_TOOLS.digests
        self._first_retry_safe: Sequence[str] = ()

    def begin(self, prepared: JsonObject) -> None:
        """Remember the tools of the run's first attempt.

        :param prepared: the run's ``prepare`` step as that attempt recorded it.
        """
        # The whole record also holds the session's state, and thousands of runs may be waiting for their models.
        self._first_digests = prepared.get("tools", self._first_digests)
        self._first_retry_safe = prepared.get("retry_safe", ())

    def plan(self, turn: int, number: int, part: ToolCallPart, reason: str | None = None) -> PlannedCall:
        """Plan the tool call at position ``number`` of the turn.

        :param reason: why the call is refused, if its arguments were refused when the model's answer arrived.
        """
        run = self._run
        path = run.at(f"t{turn}/c{number}")
        arguments, refusal = read_arguments(part)
        call = ToolCall(id=part.tool_call_id, name=part.tool_name, args=arguments, created_at=clock.now())
        starts_members = is_delegation(run.component, part.tool_name) or is_task_run(run.component, part.tool_name)
        kind = StepKind.DELEGATE if starts_members else StepKind.TOOL
        # Of the model's own arguments: what a person or a hook changes later must not make it another step.
        step = fingerprint(kind, run.component.id, part.tool_name, arguments)
        plan = PlannedCall(
            call=call,
            intent=Intent(path=path, kind=kind, name=part.tool_name, fingerprint=step, call_id=call.id),
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

    def _look_up(self, plan: PlannedCall) -> None:
        if plan.intent.kind is StepKind.DELEGATE:
            self._plan_delegation(plan)
        else:
            self._plan_tool(plan)

    def _over_limit(self) -> str | None:
        # A replay plans the calls of all earlier turns again, so each attempt counts from zero and refuses the same
        # calls.
        self._call_count += 1
        limit = self._run.component.spec.tool_call_limit
        if limit is not None and self._call_count > limit:
            return f"The limit of {limit} tool calls is reached. Answer with what you have."
        return None

    def _plan_tool(self, plan: PlannedCall) -> None:
        component = self._run.component
        tool = tool_of(component, plan.call.name) or self.run_tools.get(plan.call.name)
        if tool is None:
            offered = [definition.name for definition in tools_of(component)]
            names = ", ".join([*offered, *self.run_tools.tools]) or "none"
            raise Refused(f"There is no tool '{plan.call.name}'. Tools: {names}.")
        plan.tool = tool
        plan.call.stops_run = tool.stop_after_tool_call
        try:
            plan.arguments = self._checked(plan, tool)
        except ToolArgumentsInvalid as error:
            raise Refused(error.message) from error

    def _checked(self, plan: PlannedCall, tool: Tool) -> JsonObject:
        """The validated arguments; if the tool requires user input, the model's own until the person has answered."""
        path, call = plan.intent.path, plan.call
        arguments = call.args
        if tool.requires_user_input:
            tool.validate_proposed(call.args)
        else:
            arguments = tool.validate(call.args)
        approval = self._tree.approvals.get(path)
        requirement = requirement_before_call(self._tree, self._run, call, path, tool) if approval is None else None
        if requirement is not None:
            plan.intent = replace(plan.intent, asks=requirement)
        plan.waits = is_undecided(approval, requirement)
        if approval is None:
            return arguments
        # An approval row is kept as long as its run exists, so every attempt makes the call with the same arguments:
        # the model's, overridden by those that the person gave.
        apply_decision(call, tool, approval)
        return tool.validate(call.args) if may_begin(approval) else arguments

    def _plan_delegation(self, plan: PlannedCall) -> None:
        run = self._run
        delegations = self.delegations(plan, plan.arguments)
        if run.depth + 1 > self._tree.settings.max_depth:
            raise Refused(f"Delegation is limited to {self._tree.settings.max_depth} levels. Do it yourself.")
        plan.delegations = delegations
        plan.call.stops_run = run.component.mode == "route"

    def delegations(self, plan: PlannedCall, arguments: JsonObject) -> Delegations:
        """The members' runs that a delegation with these arguments starts.

        :raises Refused: if the delegation is not possible with these arguments.
        """
        name, path = plan.call.name, plan.intent.path
        if is_task_run(self._run.component, name):
            return task_runs_of(self._run, name, arguments, path, self._tree.settings.state_bytes)
        return delegations_of(self._run, name, arguments, path)

    def hooked_delegations(self, plan: PlannedCall, arguments: JsonObject) -> Delegations:
        """The members' runs that a delegation starts after its hooks passed these arguments on.

        Hooks run again if another attempt continues the delegation. They may then pass other arguments on, but members'
        runs have begun with those of the first attempt. These are recorded, and they count in later attempts.

        :raises Refused: if the delegation is not possible with these arguments.
        """
        component = self._run.component
        texts = {name: jsontext.storable(value) for name, value in arguments.items() if isinstance(value, str)}
        arguments = {**arguments, **texts}
        delegations = self.delegations(plan, arguments)
        (schema,) = (tool.parameters_json_schema for tool in tools_of(component) if tool.name == plan.call.name)
        now = {"arguments": {name: arguments[name] for name in schema["properties"] if name in arguments}}
        step = fingerprint(StepKind.PREPARE, component.id, "hooks", None)
        stored = self._tree.steps.prepared(f"{plan.intent.path}/hooks", step, now)
        return delegations if stored == now else self.delegations(plan, stored["arguments"])

    def _is_retry_safe(self, plan: PlannedCall) -> bool:
        """Whether a call that was cut off may be made again without a second effect."""
        if plan.intent.kind is StepKind.DELEGATE:
            return True  # each step of a member is recorded once, so none is done again
        if plan.refusal is None and plan.tool is not None:
            return plan.tool.retry_safe
        name = plan.call.name
        if name in self._first_retry_safe:
            return True
        # A call that is refused now was refused by the first attempt too, and had no effect, unless a deploy has
        # removed or changed the tool since: then the first attempt may have made the call.
        digests: Mapping[str, str] = tool_digests(self._run.component)
        current_digest = digests.get(name) or self.run_tools.digests.get(name)
        return self._first_digests.get(name) in (None, current_digest)


def member_intent(plan: PlannedCall, component: Component, path: str, task: str) -> Intent:
    """The intent of one member's run if a call starts several."""
    step = fingerprint(StepKind.DELEGATE, component.id, plan.call.name, task)
    return replace(plan.intent, path=path, fingerprint=step, is_retry_safe=True)
