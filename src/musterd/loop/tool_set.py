"""The request parameters of a run's model calls: the tools, and the answer's schema in the way the model supports best.

Values that depend only on the component are computed once and shared by all its runs. They are expensive to build, and
a thousand waiting runs do not hold a thousand copies.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.profiles.google import GoogleModelProfile
from pydantic_ai.tools import ToolDefinition

from musterd.declare import Component, Team, Tool
from musterd.loop.builtin_tools import ToolCallContext, builtin_tool
from musterd.loop.component_cache import cached_per_component
from musterd.loop.delegation import delegation_tools
from musterd.loop.knowledge_tools import knowledge_tools
from musterd.loop.prompts import describe_member
from musterd.loop.run_tree import digest
from musterd.loop.session_tools import session_tools
from musterd.loop.structured_answers import FINAL_TOOL, AnswerForm
from musterd.loop.task_runs import task_run_tools
from musterd.loop.task_tools import TASK_TOOLS
from musterd.models.names import LOCAL, SCRIPTED


async def get_member_information(act: ToolCallContext) -> str:
    """Describe the members of the team: their ids, roles and tools."""
    return "\n".join(describe_member(member, in_full=True) for member in act.run.component.members)


MEMBER_INFORMATION = builtin_tool(get_member_information)
"""The tool with which a leader looks up its members."""


@cached_per_component
def tools_of(component: Component) -> tuple[ToolDefinition, ...]:
    """The tools that a component's model is offered. A leader's delegation tools come last."""
    declared = [
        ToolDefinition(name=tool.name, description=tool.description, parameters_json_schema=tool.offered_parameters)
        for tool in (*component.tools, *builtin_tools(component).values())
    ]
    task_runs = task_run_tools() if is_in_tasks_mode(component) else []
    return (*declared, *delegation_tools(component), *task_runs)


@cached_per_component
def builtin_tools(component: Component) -> Mapping[str, Tool]:
    """The built-in tools of the loop that a component's options enable, by name."""
    tools: list[Tool] = []
    if is_in_tasks_mode(component):
        tools.extend(TASK_TOOLS)
    if component.team is not None and component.team.get_member_information_tool:
        tools.append(MEMBER_INFORMATION)
    tools.extend(session_tools(component))
    tools.extend(knowledge_tools(component))
    return {tool.name: tool for tool in tools}


def tool_of(component: Component, name: str) -> Tool | None:
    """The component's tool with this name: a declared one, or a built-in tool of the loop."""
    return component.tool(name) or builtin_tools(component).get(name)


def is_in_tasks_mode(component: Component) -> bool:
    """Whether a component is a team in mode ``tasks``."""
    return isinstance(component.spec, Team) and component.spec.mode == "tasks"


def reasons_first(component: Component) -> bool:
    """Whether a model reasons about the request before the first turn."""
    spec = component.spec
    return spec.reasoning or spec.reasoning_model is not None or spec.reasoning_agent is not None


def compresses(component: Component) -> bool:
    """Whether tool results are shortened for later turns."""
    return component.spec.compress_tool_results or component.spec.compression_manager is not None


@cached_per_component
def tool_digests(component: Component) -> Mapping[str, str]:
    """A hash of the schema of each tool that the model is offered, by name."""
    return {tool.name: digest(tool.name, repr(tool.parameters_json_schema)) for tool in tools_of(component)}


def parameters(
    component: Component, form: AnswerForm | None, model: Model, more: Sequence[ToolDefinition] = ()
) -> ModelRequestParameters:
    """The request parameters of a model call of ``component``.

    :param form: the schema that the answer must match; None for free text.
    :param more: the run's tools in addition to its component's.
    """
    if form is None:
        return _free_text_with_tools(component, more) if more else _free_text(component)
    return form_parameters(form, model, [*tools_of(component), *more], in_json_mode=component.spec.use_json_mode)


def form_parameters(
    form: AnswerForm, model: Model, tools: Sequence[ToolDefinition] = (), *, in_json_mode: bool = False
) -> ModelRequestParameters:
    """The request parameters of a model call whose answer must match a schema.

    :param in_json_mode: put the schema into the prompt, and ask a provider that supports it for JSON. It has no effect
        on models that run in this process, because they always follow the schema.
    """
    tools = list(tools)
    if in_json_mode and model.system not in (SCRIPTED, LOCAL):
        definition = OutputObjectDefinition(json_schema=form.schema, name=form.name)
        return ModelRequestParameters(function_tools=tools, output_mode="prompted", output_object=definition)
    if _has_native_form(model, tools):
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


def _has_native_form(model: Model, tools: Sequence[ToolDefinition]) -> bool:
    """Whether the model's provider can make it follow a schema while it is offered ``tools``."""
    if not model.profile.get("supports_json_schema_output", False):
        return False
    # Gemini models before 3 reject tools together with a schema. Profiles of other providers do not have the key.
    profile = cast(GoogleModelProfile, model.profile)
    return not tools or profile.get("google_supports_tool_combination", True)


@cached_per_component
def _free_text(component: Component) -> ModelRequestParameters:
    # One object for all calls of the component: models find the prepared schemas of its tools by their identity
    # (models/openai_http_model.py).
    return ModelRequestParameters(function_tools=list(tools_of(component)))


def _free_text_with_tools(component: Component, more: Sequence[ToolDefinition]) -> ModelRequestParameters:
    return ModelRequestParameters(function_tools=[*tools_of(component), *more])
