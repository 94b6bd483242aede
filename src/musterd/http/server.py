"""The server's parts, put together and taken down in order."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import musterd
from musterd.core import clock
from musterd.core.errors import NotFound, StartError, Unavailable
from musterd.core.records import ComponentKind
from musterd.core.settings import Settings
from musterd.engine.embedded import EmbeddedEngine
from musterd.engine.hub import Hub
from musterd.engine.resources import Resources
from musterd.engine.threads import DaemonThreads
from musterd.models import resolve
from musterd.models.call import ModelCaller
from musterd.models.names import ModelInfo, describe
from musterd.service.runs import RunService
from musterd.service.sessions import SessionService
from musterd.specs import Component, Registry
from musterd.store.locks import WorkerLocks
from musterd.store.sqlite import SqliteDatabase
from musterd.team.world import Models
from musterd.wire.components import ServerCard


class Server:
    """What answers requests: the components, the use cases, and what they stand on.

    :raises DeclarationError: a component's model cannot be used, in words.
    :raises StartError: the settings cannot be served, in words.
    """

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self.registry = registry
        self.settings = settings
        self.card = ServerCard(
            os_id=settings.os_id,
            name=settings.os_name,
            description=settings.os_description,
            version=musterd.__version__,
            started_at=clock.now(),
            auth_mode="security_key" if settings.security_key else "none",
        )
        path = sqlite_path(settings.db)
        self.database = SqliteDatabase(path)
        self._threads = DaemonThreads(settings.tool_threads, "musterd-tool")
        self.hub = Hub(settings.stream_buffer_bytes)
        self._described: dict[Component, ModelInfo] = {}
        resources = Resources(
            database=self.database,
            hub=self.hub,
            registry=registry,
            models=Models(
                caller=ModelCaller(settings),
                of=lambda component: resolve.resolve(component.model, settings),
                describe=self.describe,
            ),
            settings=settings,
            threads=self._threads,
        )
        for component in self.components():
            resolve.resolve(component.model, settings)
        self.engine = EmbeddedEngine(resources, WorkerLocks(path), musterd.__version__)
        self.runs = RunService(resources, self.engine)
        self.sessions = SessionService(resources, self.engine, self.runs)
        self.is_stopping = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve inside this context: the database is open, the engine drives runs."""
        await self.database.open()
        try:
            await self.engine.start()
            resolve.warm((component.model for component in self.components()), self.settings)
            yield
        finally:
            self.begin_stop()
            await self.engine.stop()
            await self.database.close()
            await resolve.close(self.settings)
            self._threads.shutdown()

    def begin_stop(self) -> None:
        """Take leave of those who wait: streams end without an end event, waiting requests are answered."""
        self.is_stopping = True
        self.runs.presence.stop()
        self.hub.close()

    def components(self) -> list[Component]:
        """Every component, members too, each once, leaders before their members."""
        found: dict[Component, None] = {}
        stack = [*self.registry.agents.values(), *self.registry.teams.values()]
        while stack:
            component = stack.pop()
            if component not in found:
                found[component] = None
                stack.extend(reversed(component.members))
        return list(found)

    def component(self, kind: ComponentKind, component_id: str) -> Component:
        """The served team or agent.

        :raises NotFound: there is none with this id.
        """
        component = self.registry.component(kind, component_id)
        if component is None:
            raise NotFound(f"{kind.capitalize()} not found")
        return component

    def describe(self, component: Component) -> ModelInfo:
        """What the component's model is called on the wire."""
        info = self._described.get(component)
        if info is None:
            info = self._described[component] = describe(component.model)
        return info

    def require_ready(self) -> None:
        """Raise Unavailable unless runs can be accepted."""
        if not self.engine.is_ready or self.is_stopping:
            raise Unavailable("The server is not ready; try again.")


def sqlite_path(db: str) -> Path:
    """The file that a database URL names.

    :raises StartError: it is not a URL of a database that this version can use.
    """
    scheme, separator, rest = db.partition("://")
    if scheme in ("postgresql", "postgres"):
        raise StartError(f"--db {scheme}://…: Postgres is not supported by this version — use sqlite:///FILE")
    if scheme != "sqlite" or not separator or not rest.startswith("/") or len(rest) < 2:
        raise StartError(
            f"--db {db}: not a database that musterd knows — use sqlite:///relative.db or sqlite:////absolute/path.db"
        )
    return Path(rest[1:]).absolute()
