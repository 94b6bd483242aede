"""The operations that say what this server is and how it is."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from musterd.core.errors import Unavailable
from musterd.core.records import ComponentKind
from musterd.http.auth.scopes import principal_of, shows
from musterd.http.paths import path_identifier
from musterd.http.readiness import Readiness
from musterd.http.responses import error_answer, json_answer
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
        """200 while every check passes; else 503, with what is the matter under each one's name.

        What is served, and what is not, is named to administrators alone: everybody may ask.
        """
        found, is_admin = await self._readiness.look(), principal_of(request).scopes.is_admin
        problems = found.problems(with_names=is_admin)
        checks = {check.name: problems.get(check.name, "ok") for check in found.checks}
        if problems:
            words = " ".join(problems.values())
            return error_answer(Unavailable(words), request.state.request_id, {"checks": checks})
        answered: dict[str, Any] = {"status": "ready", "checks": checks}
        if found.not_served:
            answered["not_served_count"] = len(found.not_served)
            if is_admin:
                answered["not_served"] = found.not_served
        return json_answer(answered)

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
