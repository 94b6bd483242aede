"""What a run's model is offered: its tools, and the form of the answer in the way that the model takes it best.

What depends on the component alone is made once for all its runs: it costs as much to make as to send, and a
thousand runs that wait do not hold it a thousand times.
"""

from collections.abc import Mapping, Sequence

from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.tools import ToolDefinition

from musterd.declare import Component, Team, Tool
from musterd.loop.component_cache import cached_per_component
from musterd.loop.delegation import delegation_tools
from musterd.loop.member_tools import MEMBER_INFORMATION
from musterd.loop.run_tree import digest
from musterd.loop.session_tools import session_tools
from musterd.loop.structured_answers import FINAL_TOOL, AnswerForm
from musterd.loop.task_runs import task_run_tools
from musterd.loop.task_tools import TASK_TOOLS
from musterd.models.names import LOCAL, SCRIPTED


@cached_per_component
def tools_of(component: Component) -> tuple[ToolDefinition, ...]:
    """The tools that a component's model is offered; a leader's last ones delegate."""
    declared = [
        ToolDefinition(name=tool.name, description=tool.description, parameters_json_schema=tool.offered_parameters)
        for tool in (*component.tools, *own_tools(component).values())
    ]
    runs = task_run_tools() if is_in_tasks_mode(component) else []
    return (*declared, *delegation_tools(component), *runs)


@cached_per_component
def own_tools(component: Component) -> Mapping[str, Tool]:
    """The tools of the loop itself that a component's options ask for, by name."""
    found: list[Tool] = []
    if is_in_tasks_mode(component):
        found.extend(TASK_TOOLS)
    if getattr(component.spec, "get_member_information_tool", False):
        found.append(MEMBER_INFORMATION)
    found.extend(session_tools(component))
    return {tool.name: tool for tool in found}


def tool_of(component: Component, name: str) -> Tool | None:
    """The tool that a call of ``name`` means: a declared one, or one of the loop itself."""
    return component.tool(name) or own_tools(component).get(name)


def is_in_tasks_mode(component: Component) -> bool:
    """Whether a component is a leader with a task list."""
    return isinstance(component.spec, Team) and component.spec.mode == "tasks"


def reasons_first(component: Component) -> bool:
    """Whether the request is thought through before the first turn."""
    spec = component.spec
    return spec.reasoning or spec.reasoning_model is not None or spec.reasoning_agent is not None


def compresses(component: Component) -> bool:
    """Whether tool results are shortened for later turns."""
    return component.spec.compress_tool_results or component.spec.compression_manager is not None


@cached_per_component
def tool_digests(component: Component) -> Mapping[str, str]:
    """A hash of each offered tool's schema, by name."""
    return {tool.name: digest(tool.name, repr(tool.parameters_json_schema)) for tool in tools_of(component)}


def parameters(
    component: Component, form: AnswerForm | None, model: Model, more: Sequence[ToolDefinition] = ()
) -> ModelRequestParameters:
    """What a model call of ``component`` is asked for.

    :param form: the form that the answer must have; None: free text.
    :param more: tools that the run has beyond its component's.
    """
    if form is None:
        return _with(component, more) if more else _free_text(component)
    return form_parameters(form, model, [*tools_of(component), *more], in_json_mode=component.spec.use_json_mode)


def form_parameters(
    form: AnswerForm, model: Model, tools: Sequence[ToolDefinition] = (), *, in_json_mode: bool = False
) -> ModelRequestParameters:
    """What a model call is asked for whose answer must have a form.

    :param in_json_mode: the form stands in the prompt, and a provider that can is asked for JSON; a model of this
        process keeps to the form anyway.
    """
    tools = list(tools)
    if in_json_mode and model.system not in (SCRIPTED, LOCAL):
        definition = OutputObjectDefinition(json_schema=form.schema, name=form.name)
        return ModelRequestParameters(function_tools=tools, output_mode="prompted", output_object=definition)
    if model.profile.get("supports_json_schema_output", False):
        definition = OutputObjectDefinition(json_schema=form.schema, name=form.name)
        return ModelRequestParameters(function_tools=tools, output_mode="native", output_object=definition)
    final = ToolDefinition(
        name=FINAL_TOOL,
        description="Give the final answer. Call it once, when everything else is done.",
        parameters_json_schema=form.schema,
        kind="output",
    )
    return ModelRequestParameters(
        function_tools=tools, output_mode="tool", output_tools=[final], allow_text_output=False
    )


@cached_per_component
def _free_text(component: Component) -> ModelRequestParameters:
    return ModelRequestParameters(function_tools=list(tools_of(component)))


def _with(component: Component, more: Sequence[ToolDefinition]) -> ModelRequestParameters:
    return ModelRequestParameters(function_tools=[*tools_of(component), *more])
