"""The operations that say what this server is and what it serves."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from musterd.http.operation import OPEN, Answer, operation
from musterd.http.server import Server
from musterd.wire import components
from musterd.wire.components import ConfigResponse, HealthResponse, HomeResponse, InfoResponse, Model

_CONFIGURATION = "system:read"


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
    return components.model_items(server.registry.agents_and_teams(), server.describe)


OPERATIONS = (get_home, get_health, get_info, get_config, list_models)
