"""The pydantic model of ``teams.yaml`` and its JSON Schema, derived from the options of agents and teams."""

import functools
from types import GenericAlias
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, create_model

from musterd.declare.agent import Agent
from musterd.declare.budget import Budget
from musterd.declare.mcp_server import MCPServer
from musterd.declare.options import options_of
from musterd.declare.schedule import Schedule
from musterd.declare.signature import schema_writer
from musterd.declare.team import Team

PATH, SERVER = "(path)", "(server)"
"""The discriminator tags of entries of ``tools:``. pydantic adds them to error locations."""
SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"


class Entry(BaseModel):
    """The base of all mappings in the file: only known keys, and values of exactly their type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def entry_of(cls: type, **overrides: Any) -> type[Entry]:
    """The model of the mapping that declares a ``cls``, with the options that YAML supports, all optional."""
    fields: dict[str, Any] = {}
    for name, option in options_of(cls).items():
        if (kind := overrides.get(name, option.metadata["yaml"])) is not None:
            doc = option.metadata["doc"] + (" Not supported by runs yet." if option.metadata["later"] else "")
            fields[name] = (kind | None, Field(None, description=doc))
    return create_model(cls.__name__, __base__=Entry, __doc__=f"One {cls.__name__.lower()}.", **fields)


@functools.cache
def file_form() -> type[Entry]:
    """The model of the whole file."""
    budget = entry_of(Budget)
    tools = _tools()
    agents: Any = GenericAlias(list, (entry_of(Agent, budget=budget, tools=tools),))
    teams: Any = GenericAlias(list, (entry_of(Team, budget=budget, tools=tools),))
    schedules: Any = GenericAlias(list, (entry_of(Schedule, budget=budget),))
    form: type[Entry] = create_model(
        "TeamsFile",
        __base__=Entry,
        __doc__="Agents and teams that musterd serves, and schedules that run them.",
        version=(Literal[1], Field(1, description="The version of this format.")),
        agents=(agents | None, Field(None, description="Agents, served and usable as members.")),
        teams=(teams | None, Field(None, description="Teams; members are named by id.")),
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


def _tag(value: Any) -> str:
    return PATH if isinstance(value, str) else SERVER


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of ``teams.yaml``."""
    return {"$schema": SCHEMA_ID, **file_form().model_json_schema(schema_generator=schema_writer())}
