"""What a server offers, as clients list it: teams, agents, models, and the server's own card.

Components are those of :mod:`musterd.declare`; how a model is called comes from whoever knows models.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from musterd.wire.times import iso_micros

if TYPE_CHECKING:
    from musterd.declare import Component, Tool

DB_ID = "musterd-db"
"""The id of the one database, which clients send back with what they ask of sessions."""

SESSION_TABLE = "sessions"
PEER_VERSION = "2.5.6"
"""The version of AgentOS whose wire this is."""

_PERSON_FLAGS = ("requires_confirmation", "external_execution")


class ModelWords(Protocol):
    """A model in the words of the wire: its kind, the provider's name of it, the provider."""

    @property
    def name(self) -> str:
        """The kind of model, as AgentOS names its classes."""

    @property
    def model(self) -> str:
        """The provider's name of the model."""

    @property
    def provider(self) -> str:
        """Who serves it."""


Describe = Callable[["Component"], ModelWords]
"""How a component's model is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCard:
    """What a server says about itself; nothing but names, versions and counts."""

    os_id: str
    name: str
    description: str
    version: str
    started_at: float
    auth_mode: Literal["none", "security_key", "jwt"] = "none"
    has_user_isolation: bool = False


def component_item(component: "Component", describe: Describe) -> dict[str, Any]:
    """One team or agent: an item of ``GET /teams`` and ``GET /agents``, the answer of ``GET /teams/{id}``."""
    spec = component.spec
    words = describe(component)
    item: dict[str, Any] = {
        "id": component.id,
        "name": component.name,
        "db_id": DB_ID,
        "description": spec.description,
        "role": spec.role,
        "mode": getattr(spec, "mode", None),
        "model": {"name": words.name, "model": words.model, "provider": words.provider},
        "tools": _tools(component),
        "sessions": {"session_table": SESSION_TABLE},
        "system_message": _system_message(component),
        "introduction": spec.introduction,
    }
    if component.kind == "team":
        item["streaming"] = {"stream_member_events": getattr(spec, "stream_member_events", True)}
        item["members"] = [component_item(member, describe) for member in component.members]
    item["input_schema"] = component.message_schema[1] if component.message_schema is not None else None
    item["is_component"] = False
    return {name: value for name, value in item.items() if value is not None}


def model_items(components: Iterable["Component"], describe: Describe) -> list[dict[str, str]]:
    """``GET /models``: every model in use, once, in the order of the tree."""
    found: dict[tuple[str, str], None] = {}
    waiting = list(components)
    for component in waiting:
        words = describe(component)
        found.setdefault((words.model, words.provider))
        waiting.extend(component.members)
    return [{"id": model, "provider": provider} for model, provider in found]


def config(card: ServerCard, teams: Sequence["Component"], agents: Sequence["Component"]) -> dict[str, Any]:
    """``GET /config``.

    Evals are not served, but their table is named: an AgentOS that is a gateway to this server (``RemoteTeam``,
    ``RemoteAgent``) fails to build its own ``/config`` without it. The other domains that are not served are left out.
    """
    return {
        "os_id": card.os_id,
        "name": card.name,
        "description": card.description,
        "available_models": [],
        "os_database": DB_ID,
        "databases": [DB_ID],
        "session": _domain(SESSION_TABLE),
        "metrics": _domain("daily_metrics"),
        "memory": _domain("memories"),
        "evals": _domain("evals"),
        "traces": _domain(),
        "agents": [_short(component) for component in agents],
        "teams": [_short(component) for component in teams],
        "workflows": [],
        "interfaces": [],
    }


def _domain(*tables: str) -> dict[str, Any]:
    """Where a kind of records is: traces are made from others and have no table."""
    database: dict[str, Any] = {"db_id": DB_ID, "domain_config": {"display_name": DB_ID}}
    return {"dbs": [{**database, "tables": list(tables)} if tables else database]}


def info(card: ServerCard, *, teams: int, agents: int) -> dict[str, Any]:
    """``GET /info``, as from 2.7 on: open to everybody, so names, versions and counts only."""
    return {
        "os_id": card.os_id,
        "name": card.name,
        "os_version": card.version,
        "agno_version": PEER_VERSION,
        "agent_count": agents,
        "team_count": teams,
        "workflow_count": 0,
        "mcp": {"enabled": False, "path": None, "oauth": None, "tool_run_endpoint": False},
        "auth_mode": card.auth_mode,
        "user_isolation": card.has_user_isolation,
    }


def home(card: ServerCard) -> dict[str, str]:
    """``GET /``."""
    return {"name": card.name, "id": card.os_id, "version": card.version}


def health(card: ServerCard) -> dict[str, str]:
    """``GET /health``, once runs can be accepted."""
    return {"status": "ok", "instantiated_at": iso_micros(card.started_at)}


def _short(component: "Component") -> dict[str, Any]:
    value = {
        "id": component.id,
        "name": component.name,
        "description": component.spec.description,
        "db_id": DB_ID,
        "mode": getattr(component.spec, "mode", None),
    }
    return {name: item for name, item in value.items() if item is not None}


def _tools(component: "Component") -> dict[str, Any] | None:
    tools = [_tool(tool) for tool in component.tools]
    if component.kind == "team":
        tools.append(_BROADCAST if getattr(component.spec, "mode", "") == "broadcast" else _DELEGATE)
    return {"tools": tools} if tools else None


def _tool(tool: "Tool") -> dict[str, Any]:
    value: dict[str, Any] = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    value.update((flag, True) for flag in _PERSON_FLAGS if getattr(tool, flag))
    return value


def _system_message(component: "Component") -> dict[str, Any] | None:
    spec = component.spec
    value: dict[str, Any] = {}
    if spec.description:
        value["description"] = spec.description
    if spec.instructions and not callable(spec.instructions):
        value["instructions"] = spec.instructions if isinstance(spec.instructions, str) else list(spec.instructions)
    return value or None


def _function(name: str, description: str, **arguments: str) -> dict[str, Any]:
    properties = {key: {"type": "string", "description": text} for key, text in arguments.items()}
    return {
        "name": name,
        "description": description,
        "parameters": {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
    }


_DELEGATE = _function(
    "delegate_task_to_member",
    "Delegate one task to one member of the team.",
    member_id="(str) The id of the member.",
    task="(str) The task and the output expected, clear and concise.",
)
_BROADCAST = _function(
    "delegate_task_to_members",
    "Delegate one task to all members of the team.",
    task="(str) The task and the output expected, clear and concise.",
)
