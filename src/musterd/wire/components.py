"""What a server offers, as clients list it: teams, agents, models, and the server's own card.

Components are those of :mod:`musterd.declare`; how a model is called comes from whoever knows models.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, Protocol

from pydantic import Field
from typing_extensions import TypedDict

from musterd.wire.shapes import Time, without_nulls
from musterd.wire.times import iso_micros

if TYPE_CHECKING:
    from musterd.declare import Component, Tool, WorkflowComponent
    from musterd.declare.knowledge import Knowledge

DB_ID = "musterd-db"
"""The id of the one database, which clients send back with what they ask of sessions."""

SESSION_TABLE = "sessions"
KNOWLEDGE_TABLE = "contents"
PEER_VERSION = "2.5.6"
"""The version of AgentOS whose wire this is."""

_KNOWLEDGE_OPTIONS = (
    *("search_knowledge", "add_knowledge_to_context"),
    *("enable_agentic_knowledge_filters", "update_knowledge"),
)
_PERSON_FLAGS = ("requires_confirmation", "requires_user_input", "external_execution")


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


class ModelResponse(TypedDict):
    """A component's model."""

    name: Annotated[str, Field(description="The kind of model.", examples=["OpenAIChat"])]
    model: Annotated[str, Field(description="The provider's name of the model.", examples=["gpt-5-mini"])]
    provider: Annotated[str, Field(examples=["OpenAI"])]


class ComponentTools(TypedDict):
    """A component's tools."""

    tools: list[dict[str, Any]]


IsComponent = Annotated[bool, Field(description="Always false: components are declared, not edited over HTTP.")]


class ComponentShape(TypedDict):
    """The values that agents and teams share."""

    id: Annotated[str, Field(description="The id in paths.")]
    name: Annotated[str, Field(description="The name for people.")]
    db_id: Annotated[str, Field(description="The id of the database that holds its sessions.")]
    description: NotRequired[str | None]
    role: NotRequired[Annotated[str | None, Field(description="What it does, for the leader of a team.")]]
    mode: NotRequired[Annotated[str | None, Field(description="How a team's leader works with its members.")]]
    model: ModelResponse
    tools: NotRequired[ComponentTools | None]
    sessions: dict[str, Any]
    knowledge: NotRequired[
        Annotated[dict[str, Any] | None, Field(description="The knowledge base that it searches, and how.")]
    ]
    system_message: NotRequired[Annotated[dict[str, Any] | None, Field(description="Description and instructions.")]]
    introduction: NotRequired[Annotated[str | None, Field(description="The first message of a session.")]]
    input_schema: NotRequired[
        Annotated[dict[str, Any] | None, Field(description="The JSON schema that messages must have.")]
    ]


class AgentResponse(ComponentShape):
    """An agent."""

    is_component: IsComponent


class TeamResponse(ComponentShape):
    """A team."""

    streaming: dict[str, Any]
    members: "list[TeamResponse | AgentResponse]"
    is_component: IsComponent


class Model(TypedDict):
    """A model in use."""

    id: Annotated[str, Field(description="The provider's name of the model.")]
    provider: str


class AgentSummaryResponse(TypedDict):
    """An agent in short."""

    id: str
    name: str
    description: NotRequired[str | None]
    db_id: str


class TeamSummaryResponse(AgentSummaryResponse):
    """A team in short."""

    mode: NotRequired[str | None]


class WorkflowSummary(TypedDict):
    """A workflow in short."""

    id: Annotated[str, Field(description="The id in paths.")]
    name: Annotated[str, Field(description="The name for people.")]
    description: NotRequired[str | None]
    db_id: Annotated[str, Field(description="The id of the database that holds its sessions.")]
    is_component: IsComponent


class DomainDisplay(TypedDict):
    """How a kind of records is shown."""

    display_name: str | None


class DomainDatabase(TypedDict):
    """A database that holds a kind of records."""

    db_id: str
    domain_config: DomainDisplay | None
    tables: NotRequired[list[str] | None]


class DomainConfig(TypedDict):
    """Where a kind of records is."""

    dbs: list[DomainDatabase] | None
    display_name: NotRequired[str | None]


class KnowledgeInstance(TypedDict):
    """A knowledge base."""

    id: str
    name: str
    description: str | None
    db_id: str
    table: str


class KnowledgeConfig(DomainConfig):
    """Where knowledge bases are, and which there are."""

    knowledge_instances: list[KnowledgeInstance]


class ConfigResponse(TypedDict):
    """What is served."""

    os_id: str
    name: str | None
    description: str | None
    available_models: list[str] | None
    os_database: str | None
    databases: list[str]
    session: DomainConfig
    metrics: DomainConfig
    memory: DomainConfig
    knowledge: NotRequired[KnowledgeConfig]
    evals: DomainConfig
    traces: DomainConfig
    agents: list[AgentSummaryResponse]
    teams: list[TeamSummaryResponse]
    workflows: list[WorkflowSummary]
    interfaces: list[dict[str, Any]]


class McpOAuthInfo(TypedDict):
    """How clients of an MCP endpoint authenticate. There is none."""

    resource: NotRequired[str | None]
    authorization_servers: NotRequired[list[str] | None]


class McpInfo(TypedDict):
    """The MCP endpoint of the server. There is none."""

    enabled: bool
    path: str | None
    oauth: McpOAuthInfo | None
    tool_run_endpoint: bool


class InfoResponse(TypedDict):
    """Names, versions and counts."""

    os_id: str
    name: str | None
    os_version: Annotated[str, Field(description="The version of this server.")]
    agno_version: Annotated[str, Field(description="The version of AgentOS whose API this is.")]
    agent_count: int
    team_count: int
    workflow_count: int
    mcp: McpInfo
    auth_mode: Literal["none", "security_key", "jwt"]
    user_isolation: bool


class HomeResponse(TypedDict):
    """The server in three words."""

    name: str
    id: str
    version: str


class HealthResponse(TypedDict):
    """The server accepts runs."""

    status: Annotated[str, Field(examples=["ok"])]
    instantiated_at: Annotated[Time, Field(description="When the server started.")]


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


def component_item(component: "Component", describe: Describe) -> TeamResponse | AgentResponse:
    """One team or agent, as a member of a team."""
    return team_item(component, describe) if component.kind == "team" else agent_item(component, describe)


def agent_item(agent: "Component", describe: Describe) -> AgentResponse:
    """One agent: an item of ``GET /agents``, the answer of ``GET /agents/{id}``."""
    return AgentResponse({**_component(agent, describe), "is_component": False})


def team_item(team: "Component", describe: Describe) -> TeamResponse:
    """One team with its members: an item of ``GET /teams``, the answer of ``GET /teams/{id}``."""
    streaming = {"stream_member_events": team.team is None or team.team.stream_member_events}
    members = [component_item(member, describe) for member in team.members]
    return TeamResponse(
        {**_component(team, describe), "streaming": streaming, "members": members, "is_component": False}
    )


def _component(component: "Component", describe: Describe) -> ComponentShape:
    spec = component.spec
    words = describe(component)
    shape: ComponentShape = {
        "id": component.id,
        "name": component.name,
        "db_id": DB_ID,
        "description": spec.description,
        "role": spec.role,
        "mode": component.mode,
        "model": {"name": words.name, "model": words.model, "provider": words.provider},
        "tools": _tools(component),
        "sessions": {"session_table": SESSION_TABLE},
        "knowledge": _knowledge(component),
        "system_message": _system_message(component),
        "introduction": spec.introduction,
        "input_schema": component.message_schema[1] if component.message_schema is not None else None,
    }
    return without_nulls(shape)


def _knowledge(component: "Component") -> dict[str, Any] | None:
    """The knowledge base of an agent or a team, without its filters, which may tell what users may see."""
    spec = component.spec
    if spec.knowledge is None:
        return None
    return {
        "db_id": DB_ID,
        "knowledge_id": spec.knowledge.id,
        "name": spec.knowledge.title,
        **{name: getattr(spec, name) for name in _KNOWLEDGE_OPTIONS},
    }


def workflow_summary(workflow: "WorkflowComponent") -> WorkflowSummary:
    """One workflow in short: an item of ``GET /workflows`` and of ``GET /config``."""
    summary: WorkflowSummary = {
        "id": workflow.id,
        "name": workflow.name,
        "description": workflow.spec.description,
        "db_id": DB_ID,
        "is_component": False,
    }
    return without_nulls(summary)


def model_items(components: Iterable["Component"], describe: Describe) -> list[Model]:
    """``GET /models``: every model in use, once, in the order of the tree."""
    models: dict[tuple[str, str], None] = {}
    pending = list(components)
    for component in pending:
        words = describe(component)
        models.setdefault((words.model, words.provider))
        pending.extend(component.members)
    return [{"id": model, "provider": provider} for model, provider in models]


def config(
    card: ServerCard,
    teams: Sequence["Component"],
    agents: Sequence["Component"],
    workflows: Sequence["WorkflowComponent"],
    knowledge: Sequence["Knowledge"] = (),
) -> ConfigResponse:
    """``GET /config``.

    Evals are not served, but their table is named: an AgentOS that is a gateway to this server (``RemoteTeam``,
    ``RemoteAgent``) fails to build its own ``/config`` without it. The other domains that are not served are left out.
    """
    value: ConfigResponse = {
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
        "agents": [*map(_short, agents)],
        "teams": [_short(component) for component in teams],
        "workflows": [*map(workflow_summary, workflows)],
        "interfaces": [],
    }
    if knowledge:
        value["knowledge"] = _knowledge_config(knowledge)
    return value


def _domain(*tables: str) -> DomainConfig:
    """Where a kind of records is. Traces are made from other records and have no table."""
    database: DomainDatabase = {"db_id": DB_ID, "domain_config": {"display_name": DB_ID}}
    if tables:
        database["tables"] = list(tables)
    return {"dbs": [database]}


def _knowledge_config(knowledge: Sequence["Knowledge"]) -> KnowledgeConfig:
    instances: list[KnowledgeInstance] = [
        {
            "id": base.id,
            "name": base.title,
            "description": base.description,
            "db_id": DB_ID,
            "table": KNOWLEDGE_TABLE,
        }
        for base in knowledge
    ]
    return {"dbs": _domain(KNOWLEDGE_TABLE)["dbs"], "knowledge_instances": instances}


def info(card: ServerCard, *, teams: int, agents: int, workflows: int) -> InfoResponse:
    """``GET /info``, as from 2.7 on: open to everybody, so names, versions and counts only."""
    return {
        "os_id": card.os_id,
        "name": card.name,
        "os_version": card.version,
        "agno_version": PEER_VERSION,
        "agent_count": agents,
        "team_count": teams,
        "workflow_count": workflows,
        "mcp": {"enabled": False, "path": None, "oauth": None, "tool_run_endpoint": False},
        "auth_mode": card.auth_mode,
        "user_isolation": card.has_user_isolation,
    }


def home(card: ServerCard) -> HomeResponse:
    """``GET /``."""
    return {"name": card.name, "id": card.os_id, "version": card.version}


def health(card: ServerCard) -> HealthResponse:
    """``GET /health``, once runs can be accepted."""
    return {"status": "ok", "instantiated_at": iso_micros(card.started_at)}


def _short(component: "Component") -> TeamSummaryResponse:
    value: TeamSummaryResponse = {
        "id": component.id,
        "name": component.name,
        "description": component.spec.description,
        "db_id": DB_ID,
        "mode": component.mode,
    }
    return without_nulls(value)


def _tools(component: "Component") -> ComponentTools | None:
    tools = [_tool(tool) for tool in component.tools]
    if component.kind == "team":
        tools.append(_BROADCAST if component.mode == "broadcast" else _DELEGATE)
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
