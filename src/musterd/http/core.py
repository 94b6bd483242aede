"""The operations that tell what this server is, what it serves and how it is."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from typing_extensions import TypedDict

from musterd.core.errors import Unavailable
from musterd.http.auth.scopes import principal_of, shows
from musterd.http.metrics import MetricsOperations
from musterd.http.operation import OPEN, Answer, operation
from musterd.http.readiness import Readiness
from musterd.http.responses import error_answer
from musterd.http.server import Server
from musterd.wire import components
from musterd.wire.components import (
    AgentResponse,
    ConfigResponse,
    HealthResponse,
    HomeResponse,
    InfoResponse,
    Model,
    TeamResponse,
    WorkflowSummary,
)
from musterd.wire.workflows import WorkflowResponse, workflow_item

_CONFIGURATION = "system:read"

Checks = Annotated[
    dict[str, str],
    Field(
        description="The checks by name, each `ok` or the problem: `accepting`, `database`, `schema`, `worker`, "
        "`beats`, `event_loop`, `served`, and `bus` if NATS is used."
    ),
]


class LiveResponse(TypedDict):
    """The process answers."""

    status: Literal["live"]


class ReadyResponse(TypedDict):
    """Every check passes."""

    status: Literal["ready"]
    checks: Checks
    not_served_count: NotRequired[
        Annotated[int, Field(description="Components with ready runs that no process serves, this one included.")]
    ]
    not_served: NotRequired[Annotated[list[str], Field(description="Their names; for administrators only.")]]


class NotReadyResponse(TypedDict):
    """A check fails."""

    detail: str
    error_code: str
    request_id: str
    checks: Checks


@operation(
    "GET",
    "/",
    "get_api_info",
    scope=OPEN,
    tag="Home",
    summary="API Information",
    other_answers={307: Answer(headers=["Location"])},
)
async def get_home(server: Server, request: Request) -> HomeResponse | Response:
    """Get the name, id and version of this server. A browser (`Accept: text/html`) is redirected to the page."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("ui/")
    return components.home(server.card)


@operation(
    "GET", "/health", "health_check", scope=OPEN, tag="Health", summary="Health Check", errors={503: "Not ready"}
)
async def get_health(server: Server) -> HealthResponse:
    """Check that runs can be accepted."""
    server.require_ready()
    return components.health(server.card)


@operation("GET", "/info", "get_info", scope=OPEN, tag="Core", summary="Get OS Info")
async def get_info(server: Server) -> InfoResponse:
    """Get names, versions and counts. Answered without a key."""
    registry = server.registry
    counts = {"teams": len(registry.teams), "agents": len(registry.agents), "workflows": len(registry.workflows)}
    return components.info(server.card, **counts)


@operation("GET", "/config", "get_config", scope=_CONFIGURATION, tag="Core", summary="Get OS Configuration")
async def get_config(server: Server) -> ConfigResponse:
    """Get what is served: teams, agents, workflows, knowledge bases, the database."""
    registry = server.registry
    return components.config(
        server.card,
        [*registry.teams.values()],
        [*registry.agents.values()],
        [*registry.workflows.values()],
        [*registry.knowledge.values()],
    )


@operation("GET", "/models", "get_models", scope=_CONFIGURATION, tag="Core", summary="Get Available Models")
async def list_models(server: Server) -> list[Model]:
    """List every model in use, each once."""
    return components.model_items(server.components(), server.describe)


@operation("GET", "/-/live", "get_liveness", scope=OPEN, tag="Health", summary="Liveness")
async def get_liveness() -> LiveResponse:
    """Liveness probe: 200 while the process answers."""
    return {"status": "live"}


@operation(
    "GET",
    "/-/ready",
    "get_readiness",
    scope=OPEN,
    tag="Health",
    summary="Readiness",
    other_answers={503: Answer(NotReadyResponse, headers=["Retry-After"])},
)
async def get_readiness(readiness: Readiness, request: Request) -> ReadyResponse | Response:
    """Readiness probe: 200 while every check passes.

    This process accepts runs; the database can be written and has a schema that this version knows; the worker claims
    and its heartbeat advances; the event loop keeps up; NATS, if it is used, can be reached; and no run waits for a
    component that is served here and that no process drives. Names of components are given to administrators only.
    """
    look, is_admin = await readiness.look(), principal_of(request).scopes.is_admin
    problems = look.problems(with_names=is_admin)
    checks = {check.name: problems.get(check.name, "ok") for check in look.checks}
    if problems:
        return error_answer(Unavailable(" ".join(problems.values())), request.state.request_id, {"checks": checks})
    answer: ReadyResponse = {"status": "ready", "checks": checks}
    if look.not_served:
        answer["not_served_count"] = len(look.not_served)
        if is_admin:
            answer["not_served"] = look.not_served
    return answer


@operation(
    "GET",
    "/-/metrics",
    "get_prometheus_metrics",
    scope="system:metrics",
    tag="Health",
    summary="Metrics",
    other_answers={200: Answer(str, media_type="text/plain")},
)
async def get_metrics(metrics: MetricsOperations, request: Request) -> Response:
    """Get the counters of this process, and the number of runs in each state, in Prometheus' text format."""
    return await metrics.get(request)


@operation("GET", "/agents", "get_agents", scope="agents:read", tag="Agents", summary="List All Agents", lists=True)
async def list_agents(server: Server, request: Request) -> list[AgentResponse]:
    """List the agents that the caller may see. Members of teams are listed with their teams."""
    agents = [agent for agent in server.registry.agents.values() if shows(request, "agents", agent.id)]
    return [components.agent_item(agent, server.describe) for agent in agents]


@operation(
    "GET",
    "/agents/{agent_id}",
    "get_agent",
    scope="agents:read",
    tag="Agents",
    summary="Get Agent Details",
    errors={404: "Agent not found"},
)
async def get_agent(server: Server, agent_id: str) -> AgentResponse:
    """Get one agent."""
    return components.agent_item(server.served_component(server.registry.agents, "agent", agent_id), server.describe)


@operation("GET", "/teams", "get_teams", scope="teams:read", tag="Teams", summary="List All Teams", lists=True)
async def list_teams(server: Server, request: Request) -> list[TeamResponse]:
    """List the teams that the caller may see, each with its members."""
    teams = [team for team in server.registry.teams.values() if shows(request, "teams", team.id)]
    return [components.team_item(team, server.describe) for team in teams]


@operation(
    "GET",
    "/teams/{team_id}",
    "get_team",
    scope="teams:read",
    tag="Teams",
    summary="Get Team Details",
    errors={404: "Team not found"},
)
async def get_team(server: Server, team_id: str) -> TeamResponse:
    """Get one team with its members."""
    return components.team_item(server.served_component(server.registry.teams, "team", team_id), server.describe)


@operation(
    "GET",
    "/workflows",
    "get_workflows",
    scope="workflows:read",
    tag="Workflows",
    summary="List All Workflows",
    lists=True,
)
async def list_workflows(server: Server, request: Request) -> list[WorkflowSummary]:
    """List the workflows that the caller may see."""
    workflows = server.registry.workflows.values()
    return [components.workflow_summary(item) for item in workflows if shows(request, "workflows", item.id)]


@operation(
    "GET",
    "/workflows/{workflow_id}",
    "get_workflow",
    scope="workflows:read",
    tag="Workflows",
    summary="Get Workflow Details",
    errors={404: "Workflow not found"},
)
async def get_workflow(server: Server, workflow_id: str) -> WorkflowResponse:
    """Get one workflow with its declared steps."""
    workflow = server.served_component(server.registry.workflows, "workflow", workflow_id)
    return workflow_item(workflow, server.describe)


OPERATIONS = [
    get_home,
    get_health,
    get_info,
    get_config,
    list_models,
    get_liveness,
    get_readiness,
    get_metrics,
    list_agents,
    get_agent,
    list_teams,
    get_team,
    list_workflows,
    get_workflow,
]
