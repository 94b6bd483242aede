"""The pydantic model of ``teams.yaml`` and its JSON Schema, derived from the options of declarations."""

import functools
from types import GenericAlias
from typing import Annotated, Any, ForwardRef, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, create_model
from typing_extensions import TypeAliasType

from musterd.declare.agent import Agent
from musterd.declare.budget import Budget
from musterd.declare.knowledge import Knowledge
from musterd.declare.mcp_server import MCPServer
from musterd.declare.memory_manager import MemoryManager
from musterd.declare.options import options_of
from musterd.declare.schedule import Schedule
from musterd.declare.signature import schema_writer
from musterd.declare.team import Team
from musterd.declare.workflow.steps import Condition, Loop, Parallel, Router, Step, StepOptions, Steps
from musterd.declare.workflow.workflow import Workflow
from musterd.declare.workflow.workflow_agent import WorkflowAgent

PATH, SERVER = "(path)", "(server)"
"""The discriminator tags of entries of ``tools:``. pydantic adds them to error locations."""
COMPONENT, STEP = "(component)", "(step)"
CONTAINERS: dict[str, type[StepOptions]] = {cls.kind: cls for cls in (Steps, Parallel, Condition, Loop, Router)}
"""The containers by the key that declares one in a list of steps."""
STEP_LISTS = ("steps", "else_steps", "choices")
"""The options that are lists of steps."""
TAGS = frozenset({PATH, SERVER, COMPONENT, STEP, *(f"({kind})" for kind in CONTAINERS)})
SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"


class Entry(BaseModel):
    """The base of all mappings in the file: only known keys, and values of exactly their type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ContainerItem(Entry):
    """A container in a list of steps: a mapping with its kind as the only key."""

    def content(self) -> tuple[str, Any]:
        """The kind and the mapping below it."""
        (kind,) = self.model_fields_set
        return kind, getattr(self, kind)


def entry_of(cls: type, **overrides: Any) -> type[Entry]:
    """The model of the mapping that declares a ``cls``, with the options that YAML supports, all optional."""
    fields: dict[str, Any] = {}
    for name, option in options_of(cls).items():
        if (kind := overrides.get(name, option.metadata["yaml"])) is not None:
            fields[name] = (kind | None, Field(None, description=option.metadata["doc"]))
    return create_model(cls.__name__, __base__=Entry, __doc__=f"One {cls.__name__.lower()}.", **fields)


@functools.cache
def file_form() -> type[Entry]:
    """The model of the whole file."""
    budget = entry_of(Budget)
    tools = _tools()
    manager = entry_of(MemoryManager)
    agents: Any = GenericAlias(list, (entry_of(Agent, budget=budget, tools=tools, memory_manager=manager),))
    teams: Any = GenericAlias(list, (entry_of(Team, budget=budget, tools=tools, memory_manager=manager),))
    workflows: Any = GenericAlias(list, (_workflow(budget),))
    schedules: Any = GenericAlias(list, (entry_of(Schedule, budget=budget),))
    knowledge: Any = GenericAlias(list, (entry_of(Knowledge),))
    form: type[Entry] = create_model(
        "TeamsFile",
        __base__=Entry,
        __doc__="Agents, teams and workflows that musterd serves, their knowledge bases, and schedules that run them.",
        version=(Literal[1], Field(1, description="The version of this format.")),
        agents=(agents | None, Field(None, description="Agents, served and usable as members.")),
        teams=(teams | None, Field(None, description="Teams; members are named by id.")),
        workflows=(
            workflows | None,
            Field(None, description="Workflows; agents, teams and workflows are named by id."),
        ),
        knowledge=(knowledge | None, Field(None, description="Knowledge bases; agents and teams name them by id.")),
        schedules=(schedules | None, Field(None, description="Schedules; what they run is named by id.")),
    )
    return form


def _tools() -> Any:
    """The type of ``tools:``: a list of import paths and MCP servers."""
    entry = create_model(
        "MCP",
        __base__=Entry,
        __doc__="An MCP server among the tools.",
        mcp=(entry_of(MCPServer), Field(description="The server.")),
    )
    tool = Annotated[Annotated[str, Tag(PATH)] | Annotated[entry, Tag(SERVER)], Discriminator(_tag)]  # type: ignore[valid-type]
    return GenericAlias(list, (tool,))


def _workflow(budget: type[Entry]) -> type[Entry]:
    """The model of a workflow. Its steps may contain steps."""
    item = ForwardRef("StepItem")
    steps: Any = GenericAlias(list, (item,))
    lists = dict.fromkeys(STEP_LISTS, steps)
    models = [entry_of(Step), entry_of(Workflow, budget=budget, steps=steps, agent=entry_of(WorkflowAgent))]
    choices: Any = Annotated[str, Tag(COMPONENT)] | Annotated[models[0], Tag(STEP)]
    for kind, cls in CONTAINERS.items():
        container = entry_of(cls, **{name: lists[name] for name in STEP_LISTS if name in options_of(cls)})
        fields: dict[str, Any] = {kind: (container, Field())}
        wrapper: Any = create_model(f"{cls.__name__}Item", __base__=ContainerItem, __doc__=f"One {kind}.", **fields)
        models += [container, wrapper]
        choices |= Annotated[wrapper, Tag(f"({kind})")]
    names = {"StepItem": TypeAliasType("StepItem", Annotated[choices, Discriminator(_step_tag)])}
    for model in models:
        model.model_rebuild(_types_namespace=names)
    return models[1]


def _step_tag(value: Any) -> str:
    if isinstance(value, str):
        return COMPONENT
    keys = list(value.model_fields_set if isinstance(value, BaseModel) else value if isinstance(value, dict) else ())
    return f"({keys[0]})" if len(keys) == 1 and keys[0] in CONTAINERS else STEP


def _tag(value: Any) -> str:
    return PATH if isinstance(value, str) else SERVER


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of ``teams.yaml``."""
    return {"$schema": SCHEMA_ID, **file_form().model_json_schema(schema_generator=schema_writer())}
