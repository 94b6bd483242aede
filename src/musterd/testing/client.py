"""The test clients: the engine of a server, its API and its client in this process, with scripted models."""

import contextlib
import tempfile
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any, Self, Unpack

import httpx2
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.applications import Starlette

from musterd.app import FEATURES, application, configure_log
from musterd.client import AsyncClient, Client, Decision, StartOptions
from musterd.client.run_calls import RunRef
from musterd.client.runs import ComponentKind
from musterd.core.suggestions import closest_match
from musterd.declare import Agent, BaseComponent, Component, Registry, Team, Workflow, WorkflowComponent
from musterd.http.server import Server
from musterd.loop.run_tree import Models
from musterd.models.call import ModelCaller
from musterd.models.names import NO_MODEL, describe
from musterd.testing.declarations import Declared, registry_of
from musterd.testing.runs import TestRun
from musterd.testing.script import Request, Script
from musterd.testing.settings import IsolatedSettings

BASE_URL = "http://localhost"
DEFAULTS: Mapping[str, Any] = {"model_retry_seconds": 0, "drain_seconds": 0, "log_level": "error", "otel": False}
"""Settings of test clients that differ from those of servers."""


class _TestServer:
    """What a test client serves: declarations with scripted models, on a database of their own."""

    def __init__(
        self,
        declared: tuple[Declared, ...],
        script: Mapping[str, object] | Script | None,
        settings: Mapping[str, Any] | None,
        db: str | None,
    ) -> None:
        self.script = script if isinstance(script, Script) else Script(script)
        self.registry = registry_of(declared)
        _require_known(self.script.component_ids, self.registry)
        self._settings, self._db = settings or {}, db

    def open(self, stack: contextlib.ExitStack | contextlib.AsyncExitStack) -> Starlette:
        """Create the database and the application.

        :param stack: removes the database.
        """
        db = self._db
        if db is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="musterd-test-"))
            db = f"sqlite:///{folder}/test.db"
        settings = IsolatedSettings(**{**DEFAULTS, "db": db, **self._settings})
        configure_log(settings)
        models = Models(
            caller=ModelCaller(settings),
            load=_nothing_to_load,
            of=self.script.model,
            describe=lambda part: describe(part.model) if isinstance(part, Component) else NO_MODEL,
            aside=self.script.aside,
        )
        server = Server(self.registry, settings, FEATURES, models=models)
        server.prepare()
        return application(server)

    def id_and_kind_of(self, component: str | Agent | Team | Workflow) -> tuple[str, ComponentKind]:
        """The id and the kind of what is to be run.

        :raises LookupError: it is not served.
        """
        component_id = component if isinstance(component, str) else component.id
        served: dict[str, ComponentKind] = {part.id: part.kind for part in self.registry.top_level()}
        if component_id not in served:
            raise LookupError(f"{component_id} is not served; this client serves {', '.join(served) or 'nothing'}")
        return component_id, served[component_id]

    def run_of(self, export: bytes) -> TestRun:
        """The run in an export.

        :raises ScriptEnded: it asked for more than the script has.
        """
        self.script.require_enough()
        return TestRun.from_export(export)


def _require_known(component_ids: Collection[str], registry: Registry) -> None:
    """Check that a script is one for these declarations: with a misspelt id, its turns would never be taken.

    :raises LookupError: it names an id that is not declared.
    """
    components = [part for top in registry.top_level() for part in top.tree()]
    if any(_has_unknown_members(part) for part in components):
        return
    known = {part.id for part in components if isinstance(part, Component)}
    for component_id in component_ids:
        if component_id not in known:
            meant = closest_match(component_id, known)
            hint = f' Did you mean "{meant}"?' if meant else ""
            raise LookupError(f'The script names "{component_id}", but no agent or team has this id.{hint}')


def _has_unknown_members(component: BaseComponent) -> bool:
    """Whether a function decides in a run which agents there are."""
    if isinstance(component, WorkflowComponent):
        return component.function is not None
    return isinstance(component.spec, Team) and component.spec.member_function is not None


async def _nothing_to_load(component: BaseComponent) -> None:
    """Scripted models need no SDK."""


class _AnyTestClient:
    """What :class:`TestClient` and :class:`AsyncTestClient` share: the application, and what its models were asked."""

    __test__ = False

    def __init__(
        self,
        *declared: Declared,
        script: Mapping[str, object] | Script | None = None,
        settings: Mapping[str, Any] | None = None,
        db: str | None = None,
    ) -> None:
        self._server = _TestServer(declared, script, settings, db)

    @property
    def requests(self) -> list[Request]:
        """The requests to the models, in order."""
        return self._server.script.requests


class TestClient(_AnyTestClient):
    """Runs teams, agents and workflows in a test. Its calls block.

    ``with TestClient(desk, script={"desk": ["Hello."]}) as client``: runs are driven as a server drives them, on a
    database of their own, and their models answer what the script says. ``api`` is a :class:`musterd.Client` with all
    its calls; its streams deliver their events when the run has finished or paused. ``http`` sends any other request.

    :param declared: the teams, agents and workflows, or what ``musterd.load`` returned.
    :param script: the turns of each agent and team by its id; those without any follow the model ``scripted``.
    :param settings: settings that differ, by their names. The environment is not read.
    :param db: the URL of a database, if it is not to be a temporary SQLite file.
    """

    _stack: contextlib.ExitStack

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            app = self._server.open(stack)
            portal = stack.enter_context(start_blocking_portal("asyncio"))
            stack.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
            transport = _PortalTransport(app, portal)
            self.http = stack.enter_context(httpx2.Client(transport=transport, base_url=BASE_URL, timeout=None))
            self.api = Client(http=self.http, retry_seconds=0)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(
        self,
        component: str | Agent | Team | Workflow,
        message: str | Mapping[str, Any],
        **options: Unpack[StartOptions],
    ) -> TestRun:
        """Run a team, agent or workflow until it has finished or waits for a person.

        :raises ScriptEnded: a model was asked for more turns than its script has.
        """
        component_id, kind = self._server.id_and_kind_of(component)
        return self.wait(self.api.start(component_id, message, kind=kind, **options))

    def decide(self, run: RunRef, *decisions: Decision) -> TestRun:
        """Decide about what a run waits for, and wait until it has finished or waits again."""
        return self.wait(self.api.decide(run, *decisions))

    def wait(self, run: RunRef) -> TestRun:
        """Wait until a run has finished or waits for a person."""
        return self._server.run_of(self.api.runs.export(self.api.wait(run)))


class AsyncTestClient(_AnyTestClient):
    """A :class:`TestClient` whose calls are awaited: ``async with AsyncTestClient(desk) as client``."""

    _stack: contextlib.AsyncExitStack

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            app = self._server.open(stack)
            await stack.enter_async_context(app.router.lifespan_context(app))
            http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=BASE_URL, timeout=None)
            self.http = await stack.enter_async_context(http)
            self.api = AsyncClient(http=self.http, retry_seconds=0)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def run(
        self,
        component: str | Agent | Team | Workflow,
        message: str | Mapping[str, Any],
        **options: Unpack[StartOptions],
    ) -> TestRun:
        """Run a team, agent or workflow until it has finished or waits for a person.

        :raises ScriptEnded: a model was asked for more turns than its script has.
        """
        component_id, kind = self._server.id_and_kind_of(component)
        return await self.wait(await self.api.start(component_id, message, kind=kind, **options))

    async def decide(self, run: RunRef, *decisions: Decision) -> TestRun:
        """Decide about what a run waits for, and wait until it has finished or waits again."""
        return await self.wait(await self.api.decide(run, *decisions))

    async def wait(self, run: RunRef) -> TestRun:
        """Wait until a run has finished or waits for a person."""
        return self._server.run_of(await self.api.runs.export(await self.api.wait(run)))


class _PortalTransport(httpx2.BaseTransport):
    """Sends the requests of a blocking client to an application on the event loop of another thread."""

    def __init__(self, app: Starlette, portal: BlockingPortal) -> None:
        self._transport = httpx2.ASGITransport(app)
        self._portal = portal

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and return the answer when it is complete."""
        return self._portal.call(self._send, request)

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        content = request.read()
        copy = httpx2.Request(request.method, request.url, headers=request.headers, content=content)
        answer = await self._transport.handle_async_request(copy)
        body = b"".join([chunk async for chunk in answer.aiter_raw()])
        return httpx2.Response(answer.status_code, headers=answer.headers, content=body)
