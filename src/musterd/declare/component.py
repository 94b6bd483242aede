"""Components: declarations resolved with their model, tools, members and definition hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from musterd.core import jsontext
from musterd.core.records import ComponentKind
from musterd.declare.agent import Agent
from musterd.declare.approval_flags import PERSON_FLAGS
from musterd.declare.options import options_of
from musterd.declare.source_location import declaration_error
from musterd.declare.team import Team
from musterd.declare.tools import Tool

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from musterd.declare.workflow.workflow import Workflow


@dataclass(frozen=True, kw_only=True, eq=False)
class BaseComponent:
    """What agents, teams and workflows have in common.

    :param spec: the declaration. If it is used at several positions, each is a component of its own.
    :param members: the components below it: members of a team, or what the steps of a workflow run.
    :param depth: the number of components above it; 0 at the top.
    :param definition_hash: changes if anything changes that affects the model or its tools, members included.
    :param message_schema: the name and JSON schema of messages; None for free text.
    """

    kind: ComponentKind
    spec: Agent | Team | Workflow
    id: str
    name: str
    members: tuple[BaseComponent, ...] = field(repr=False)
    depth: int
    definition_hash: str = field(repr=False)
    message_schema: tuple[str, dict[str, Any]] | None = field(repr=False)

    @property
    def on_busy(self) -> str:
        """What a new run does while another run of its session is active."""
        return "enqueue" if isinstance(self.spec, Agent) else self.spec.on_busy

    @property
    def hold_paused(self) -> bool:
        """Whether later runs of a session wait while one is paused."""
        return not isinstance(self.spec, Agent) and self.spec.hold_paused

    @property
    def streams_members(self) -> bool:
        """Whether the events of member runs are part of its stream."""
        if isinstance(self.spec, Team):
            return self.spec.stream_member_events
        return isinstance(self.spec, Agent) or self.spec.stream_executor_events

    @property
    def stores_members(self) -> bool:
        """Whether the runs of members are part of its run output."""
        if isinstance(self.spec, Team):
            return self.spec.store_member_responses
        return not isinstance(self.spec, Agent) and self.spec.store_executor_outputs

    @property
    def tool_hooks(self) -> Sequence[Callable[..., Any]]:
        """The functions that wrap the tool calls of its runs."""
        return () if not isinstance(self.spec, Agent | Team) else tuple(self.spec.tool_hooks or ())

    def tree(self) -> Iterator[BaseComponent]:
        """The component and all components below it, leaders first."""
        yield self
        for member in self.members:
            yield from member.tree()

    def agents_and_teams(self) -> Iterator[Component]:
        """The agents and teams of the tree."""
        return (component for component in self.tree() if isinstance(component, Component))


@dataclass(frozen=True, kw_only=True, eq=False)
class Component(BaseComponent):
    """An agent or a team at one position in a tree of components.

    :param model: its own model, or its leader's.
    """

    kind: Literal["team", "agent"]
    spec: Agent | Team
    model: str | Model
    tools: tuple[Tool, ...] = field(repr=False)
    members: tuple[Component, ...] = field(repr=False)
    answer_schema: tuple[str, dict[str, Any]] | None = field(repr=False)

    @property
    def team(self) -> Team | None:
        """The declaration with the options that only teams have; None for an agent."""
        return self.spec if isinstance(self.spec, Team) else None

    @property
    def mode(self) -> str | None:
        """How a team's leader works; None for an agent."""
        return None if self.team is None else self.team.mode

    def member(self, member_id: str) -> Component | None:
        """The member with this id, if it has one."""
        return next((member for member in self.members if member.id == member_id), None)

    def tree(self) -> Iterator[Component]:
        """The component and all components below it, leaders first."""
        return cast("Iterator[Component]", super().tree())

    def tool(self, name: str) -> Tool | None:
        """The tool with this name, if it has one."""
        return next((tool for tool in self.tools if tool.name == name), None)

    def json_output_schema(self) -> tuple[str, dict[str, Any]] | None:
        """The name and JSON schema of its answer; None for free text."""
        return self.answer_schema


def models_of(component: Component) -> list[str | Model]:
    """The models that a run of ``component`` itself may call, its main model first. Those of members are excluded."""
    spec = component.spec
    models = [component.model, spec.parser_model, spec.output_model, spec.reasoning_model]
    holders = (spec.reasoning_agent, spec.compression_manager, spec.memory_manager)
    models += [getattr(holder, "model", None) for holder in holders]
    return [model for model in models if model is not None]


def build(spec: Agent | Team, model: str | Model, members: tuple[Component, ...], depth: int) -> Component:
    """Build the component of ``spec`` at one position."""
    tools = spec.listed_tools
    schema = read_schema(spec, "output_schema", spec.output_schema)
    message_schema = read_schema(spec, "input_schema", spec.input_schema)
    return Component(
        kind="team" if isinstance(spec, Team) else "agent",
        spec=spec,
        id=spec.id,
        name=spec.name or spec.id,
        model=model,
        tools=tools,
        members=members,
        depth=depth,
        definition_hash=_hash(spec, model, members, schema),
        answer_schema=schema,
        message_schema=message_schema,
    )


def read_schema(spec: Agent | Team | Workflow, option: str, schema: Any) -> tuple[str, dict[str, Any]] | None:
    """The name and JSON schema of an option that is a pydantic class or a JSON schema.

    :raises DeclarationError: the class has no JSON schema.
    """
    if schema is None:
        return None
    if isinstance(schema, Mapping):
        return named_schema(schema)
    from pydantic import PydanticUserError

    try:
        return _schema_name(schema.__name__), schema.model_json_schema()
    except PydanticUserError as error:
        problem = f"{spec.label}: {option} {schema.__name__} has no JSON schema"
        raise declaration_error(spec.declared_at, problem, str(error).splitlines()[0]) from error


def named_schema(definition: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name and schema in a JSON schema, which may be wrapped as in OpenAI's ``response_format``."""
    name, schema = "", dict(definition)
    if isinstance(wrapped := schema.get("json_schema"), Mapping):
        name, schema = str(wrapped.get("name", "")), dict(wrapped.get("schema") or {})
    return _schema_name(name or str(schema.get("title", ""))), schema


def _schema_name(name: str) -> str:
    return re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")[:64] or "answer"


def _model_name(model: str | Model) -> str:
    return model if isinstance(model, str) else f"{model.system}:{model.model_name}"


def hashable(value: Any) -> Any:
    """The value of an option for the definition hash: functions by name, messages by their content."""
    if value is None or isinstance(value, str | int | float):
        return value
    if hasattr(value, "as_json"):
        return value.as_json()
    if isinstance(value, list | tuple):
        return [hashable(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    if callable(value):
        return f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', type(value).__qualname__)}"
    return [str(getattr(part, "content", "")) for part in getattr(value, "parts", ())]


def _side_model_options(spec: Agent | Team) -> list[Any]:
    """The options that shape the answer in addition to the main model."""
    models = (spec.parser_model, spec.output_model, spec.reasoning_model)
    reasoner = spec.reasoning_agent
    return [
        [None if model is None else _model_name(model) for model in models],
        [spec.parser_model_prompt, spec.output_model_prompt, spec.use_json_mode, spec.send_media_to_model],
        [
            spec.reasoning,
            spec.reasoning_min_steps,
            spec.reasoning_max_steps,
            reasoner.id if reasoner is not None else None,
        ],
        spec.compress_tool_results or spec.compression_manager is not None,
    ]


def _hash(
    spec: Agent | Team,
    model: str | Model,
    members: tuple[Component, ...],
    schema: tuple[str, dict[str, Any]] | None,
) -> str:
    tools = [
        [
            tool.name,
            tool.description,
            tool.parameters,
            [*(getattr(tool, flag) for flag in PERSON_FLAGS), *tool.user_input_fields],
            tool.retry_safe,
        ]
        for tool in spec.listed_tools
    ]
    definition = {
        "kind": spec.kind,
        "id": spec.id,
        "name": spec.name,
        "role": spec.role,
        "description": spec.description,
        "instructions": hashable(spec.instructions),
        "prompt": [
            hashable(getattr(spec, name))
            for name, option in options_of(type(spec)).items()
            if option.metadata["in_prompt"]
        ],
        "model": _model_name(model),
        "tools": tools,
        "output_schema": schema,
        "history": [
            *[spec.add_history_to_context, spec.num_history_runs],
            *[spec.num_history_messages, spec.max_tool_calls_from_history],
        ],
        "added_tools": sorted(spec.added_tool_names),
        "beside": _side_model_options(spec),
        "knowledge": None if (base := spec.knowledge) is None else [base.id, base.title, base.description],
        "mode": spec.mode if isinstance(spec, Team) else None,
        "members": [member.definition_hash for member in members],
    }
    if spec.tool_sources or spec.tool_instructions:
        sources = [getattr(source, "known_as", "tools=") for source in spec.tool_sources]
        definition["tool_sources"] = [sources, list(spec.tool_instructions)]
    return hashlib.sha256(jsontext.canonical(definition).encode("utf-8", "surrogatepass")).hexdigest()
