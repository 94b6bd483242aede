"""The operations that say what this server is and how it is."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from musterd.core.errors import Unavailable
from musterd.core.records import ComponentKind
from musterd.http.answers import error_answer, json_answer
from musterd.http.auth.scopes import shows
from musterd.http.paths import path_identifier
from musterd.http.readiness import Readiness
from musterd.http.server import Server
from musterd.wire import components


class CoreOperations:
    """Home, health, configuration, components, models."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._readiness = Readiness(server)

    async def home(self, request: Request) -> Response:
        """What this server is; a browser is sent to the docs."""
        if "text/html" in request.headers.get("accept", "") and self._server.settings.docs_enabled:
            return RedirectResponse("docs")
        return json_answer(components.home(self._server.card))

    async def health(self, request: Request) -> Response:
        """200 once runs can be accepted."""
        self._server.require_ready()
        return json_answer(components.health(self._server.card))

    async def live(self, request: Request) -> Response:
        """200 while the process answers."""
        return json_answer({"status": "live"})

    async def ready(self, request: Request) -> Response:
        """200 while every check passes; else 503, with what is the matter under each one's name."""
        found = await self._readiness.look()
        checks = {check.name: check.problem or "ok" for check in found.checks}
        if problems := [check.problem for check in found.checks if check.problem is not None]:
            return error_answer(Unavailable(" ".join(problems)), request.state.request_id, {"checks": checks})
        more = {"not_served": found.not_served} if found.not_served else {}
        return json_answer({"status": "ready", "checks": checks, **more})

    async def config(self, request: Request) -> Response:
        """What is served, as clients' settings pages read it."""
        registry = self._server.registry
        return json_answer(
            components.config(self._server.card, list(registry.teams.values()), list(registry.agents.values()))
        )

    async def info(self, request: Request) -> Response:
        """Names, versions and counts; open to everybody."""
        registry = self._server.registry
        return json_answer(components.info(self._server.card, teams=len(registry.teams), agents=len(registry.agents)))

    async def models(self, request: Request) -> Response:
        """Every model in use, once."""
        registry = self._server.registry
        tops = [*registry.teams.values(), *registry.agents.values()]
        return json_answer(components.model_items(tops, self._server.describe))

    async def teams(self, request: Request) -> Response:
        """The teams that whoever asks may look at or run."""
        teams = self._server.registry.teams.values()
        found = [team for team in teams if shows(request, "teams", team.id)]
        return json_answer([components.component_item(team, self._server.describe) for team in found])

    async def team(self, request: Request) -> Response:
        """One team."""
        return self._component(request, "team")

    async def agents(self, request: Request) -> Response:
        """The agents that whoever asks may look at or run."""
        agents = self._server.registry.agents.values()
        found = [agent for agent in agents if shows(request, "agents", agent.id)]
        return json_answer([components.component_item(agent, self._server.describe) for agent in found])

    async def agent(self, request: Request) -> Response:
        """One agent."""
        return self._component(request, "agent")

    def _component(self, request: Request, kind: ComponentKind) -> Response:
        found = self._server.component(kind, path_identifier(request, f"{kind}_id"))
        return json_answer(components.component_item(found, self._server.describe))
