"""The server: it creates its parts, starts them and stops them in order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar
from weakref import WeakKeyDictionary

import structlog
from pydantic_ai.models import Model

import musterd
from musterd.core import clock
from musterd.core.daemon_threads import DaemonThreads
from musterd.core.errors import DeclarationError, NotFound, StartError, StoreUnavailable, Unavailable
from musterd.core.metrics import Metrics
from musterd.core.records import ComponentKind
from musterd.core.settings import Settings
from musterd.core.suggestions import closest_match
from musterd.declare import BaseComponent, Component, MCPServer, Registry, models_of
from musterd.declare.problems import note, noting_problems, reported_together
from musterd.engine.broadcaster import Broadcaster
from musterd.engine.event_loop_lag import EventLoopLag
from musterd.engine.open_bus import open_bus
from musterd.engine.process_role import ProcessRole, component_key
from musterd.engine.resources import Resources
from musterd.engine.tracing import spans_of
from musterd.engine.upkeep import Duty
from musterd.engine.webhooks import Webhooks
from musterd.engine.worker import Worker
from musterd.http.auth.issued_tokens import IssuedTokens
from musterd.http.auth.modes import auth_mode
from musterd.http.event_frames import FramesOfRuns
from musterd.http.feature import Feature
from musterd.http.metrics import MetricsOperations
from musterd.http.readiness import Readiness
from musterd.loop.knowledge_bases import KnowledgeBases
from musterd.loop.run_tree import Models
from musterd.loop.session_summaries import summarizer
from musterd.mcp import Servers
from musterd.models import resolve
from musterd.models.call import ModelCaller
from musterd.models.names import NO_MODEL, ModelInfo, describe, model_in_use
from musterd.service.approvals import ApprovalService
from musterd.service.budgets import component_without_price
from musterd.service.forks import ForkService
from musterd.service.reruns import RerunService
from musterd.service.run_conversations import RunConversations
from musterd.service.run_details import RunDetailsService
from musterd.service.run_feed import RunFeed
from musterd.service.run_lists import RunLists
from musterd.service.runs import RunService
from musterd.service.sessions import SessionService
from musterd.service.webhooks import WebhookService
from musterd.store.open_database import open_database
from musterd.wire.components import ServerCard

log = structlog.get_logger("musterd.http")

Service = TypeVar("Service")
C = TypeVar("C", bound=BaseComponent)

FLUSH_SECONDS = 3.0
"""How long a stop waits until the remaining spans are exported."""


THREADS_FACTOR = 4
"""How many times as many threads there may be as the setting says, if functions of tools run on after their time."""
MAX_UNKNOWN_IDS = 100
"""How many unknown ids of teams and agents are logged. Requests can contain any number of them."""


class Server:
    """The components and the use cases of one process, and the worker and database that they share.

    :param features: every process on a database needs the same ones, even if it serves no requests: each process
        removes old runs, and features may have to act on that.
    :param process_role: what the process does in addition to answering; by default everything.
    :param models: by default the declared ones.
    :raises DeclarationError: a component's model cannot be used.
    :raises StartError: the settings cannot be served.
    """

    def __init__(
        self,
        registry: Registry,
        settings: Settings,
        features: Sequence[Feature],
        process_role: ProcessRole | None = None,
        models: Models | None = None,
    ) -> None:
        self.registry, self.settings = registry, settings
        self.card = _server_card(settings)
        self.metrics = Metrics()
        self._spans = spans_of(settings)
        self.database = open_database(settings.db, connections=settings.db_connections, prepares=settings.db_prepares)
        self.database.metrics = self.metrics
        self.bus = open_bus(self.database, settings)
        self._servers = Servers(settings)
        self._threads = DaemonThreads(
            settings.tool_threads, "musterd-tool", most=settings.tool_threads * THREADS_FACTOR
        )
        self.broadcaster = Broadcaster(settings.stream_buffer_bytes, self.bus, self.metrics)
        # Weak keys, because some components live for one run only.
        self._model_infos: WeakKeyDictionary[Component, ModelInfo] = WeakKeyDictionary()
        self.webhooks = Webhooks(self.database, settings, self.metrics)
        self.resources = resources = self._resources(features, models or self._models())
        with reported_together():
            self._check_components()
        self._process_role = process_role or ProcessRole()
        self.worker = Worker(resources, self._process_role)
        self.runs = RunService(resources, self.worker)
        self.frames = FramesOfRuns(self.runs)
        self.forks = ForkService(resources, self.worker, self.runs)
        self.reruns = RerunService(self.runs)
        self.lists = RunLists(resources)
        self.details = RunDetailsService(resources)
        self.feed = RunFeed(resources)
        self.conversations = RunConversations(resources, self.runs)
        self.sessions = SessionService(resources, self.worker, self.runs)
        self.approvals = ApprovalService(resources)
        self.deliveries = WebhookService(resources)
        self.features = features
        self._feature_services = [feature.service(self) for feature in features]
        services = (*self._feature_services, Readiness(self), MetricsOperations(self))
        self._services: dict[type[object], object] = {type(service): service for service in services}
        self.lag = EventLoopLag(self.metrics)
        self.is_stopping = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self._unknown_ids: set[str] = set()

    def _resources(self, features: Sequence[Feature], models: Models) -> Resources:
        return Resources(
            database=self.database,
            broadcaster=self.broadcaster,
            bus=self.bus,
            registry=self.registry,
            models=models,
            settings=self.settings,
            threads=self._threads,
            webhooks=self.webhooks,
            servers=self._servers,
            metrics=self.metrics,
            spans=self._spans,
            services=self.service,
            knowledge_bases=self._knowledge_bases,
            run_removal_hooks=[feature.run_removal_hook for feature in features if feature.run_removal_hook],
            memory_hook=next((feature.memory_hook for feature in features if feature.memory_hook), None),
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Inside this context the database is open and the worker drives runs.

        :raises StartError: the database cannot be used.
        """
        await self.database.open()
        self.loop = asyncio.get_running_loop()
        noting = asyncio.create_task(self.lag.repeat())
        try:
            self._add_duties()
            await self._start_worker()
            if self._process_role.does_upkeep:
                self.webhooks.start()
            self.resources.models.warm(
                model for component in self.registry.agents_and_teams() for model in models_of(component)
            )
            yield
        finally:
            self.begin_stop()
            await asyncio.gather(self.worker.stop(), self.webhooks.stop())
            noting.cancel()
            await self._servers.close()
            await self._close_features()
            await self.database.close()
            await resolve.close(self.settings)
            await self._flush_spans()
            self._threads.shutdown()
            self.loop = None

    async def _start_worker(self) -> None:
        try:
            if self._process_role.does_upkeep:
                await self._start_features()
            await self.worker.start()
        except StoreUnavailable as error:  # a running server waits for its database, but a start fails with the reason
            raise StartError(error.reason) from error

    async def _flush_spans(self) -> None:
        """Export the remaining spans, but wait only a short time, in case the collector is unreachable."""
        if self._spans is not None:
            flushing = self._threads.call(self._spans.flush)
            await asyncio.wait([flushing], timeout=FLUSH_SECONDS)

    def prepare(self) -> None:
        """Upgrade the database's schema before anything else starts.

        :raises StartError: the database cannot be used.
        """
        self.database.upgrade()

    def _models(self) -> Models:
        settings = self.settings
        return Models(
            caller=ModelCaller(settings, self.metrics),
            load=lambda component: resolve.load(_models_below(component), settings),
            is_loaded=lambda component: resolve.are_loaded(_models_below(component), settings),
            of=lambda component: resolve.resolve(component.model, settings),
            describe=self.describe,
            aside=lambda component, role, model: resolve.resolve(model, settings),
            check=lambda model: resolve.check(model, settings),
            warm=lambda models: resolve.warm(models, settings),
        )

    def _check_components(self) -> None:
        """Report what components cannot use. A reason that several of them share is reported for the first one."""
        reasons: set[str] = set()
        for component in self.registry.agents_and_teams():
            spec = component.spec
            for model in (*models_of(component), *models_of(summarizer(component))):
                try:
                    self.resources.models.check(model)
                except DeclarationError as error:
                    if error.message not in reasons:
                        reasons.add(error.message)
                        problem = f"{spec.declared_at}: {spec.label}: {error.message}"
                        note(DeclarationError(" ".join(problem.split())))  # names may have line breaks
            with noting_problems():
                self._check_prices(component)
            for source in spec.tool_sources:
                if isinstance(source, MCPServer):
                    with noting_problems():
                        self._servers.check(source)
                    self._servers.keep_open(source)

    @staticmethod
    def _check_prices(component: Component) -> None:
        if (unpriced := component_without_price(component)) is not None:
            what = f"a budget with cost_usd needs a list price, and there is none for the model of {unpriced.label}"
            cure = "set tokens= in place of it, or another model"
            raise DeclarationError(f"{component.spec.declared_at}: {component.spec.label}: {what} — {cure}")

    @property
    def issued_tokens(self) -> IssuedTokens | None:
        """The tokens that a feature issues; None if no feature does."""
        for feature, service in zip(self.features, self._feature_services, strict=True):
            if feature.tokens is not None:
                return feature.tokens(service)
        return None

    def _knowledge_bases(self) -> KnowledgeBases | None:
        """The knowledge bases that a feature keeps; None if no feature does."""
        for feature, service in zip(self.features, self._feature_services, strict=True):
            if feature.knowledge_bases is not None:
                return feature.knowledge_bases(service)
        return None

    def _add_duties(self) -> None:
        """Let upkeep do what features have to do."""
        for feature, service in zip(self.features, self._feature_services, strict=True):
            self.worker.upkeep.duties += [
                Duty(duty.name, partial(duty.work, service), duty.is_due) for duty in feature.upkeep
            ]

    async def _start_features(self) -> None:
        for feature, service in zip(self.features, self._feature_services, strict=True):
            if feature.start is not None:
                await feature.start(service)

    async def _close_features(self) -> None:
        for feature, service in zip(self.features, self._feature_services, strict=True):
            if feature.close is not None:
                await feature.close(service)

    def service(self, kind: type[Service]) -> Service:
        """The service of a class: a feature's, or readiness or metrics of the whole server.

        :raises KeyError: there is no such service.
        """
        service = self._services[kind]
        assert isinstance(service, kind)
        return service

    def begin_stop(self) -> None:
        """Stop claiming runs, release running ones after their next step, and end streams and waits.

        Streams end without an end event. Waiting requests are answered.
        """
        self.is_stopping = True
        self.runs.connected_clients.stop()
        self.worker.begin_stop()
        self.webhooks.begin_stop()
        self.broadcaster.close()
        self.feed.close()

    def leave_now(self) -> None:
        """Stop at once. Running steps are cut off; nothing that is stored is lost."""
        self.begin_stop()
        self.webhooks.leave_now()
        self.worker.leave_now()

    @property
    def served(self) -> set[str]:
        """The components that runs may be started for here, in the form that workers announce."""
        return {component_key(component.kind, component.id) for component in self.registry.top_level()}

    def component(self, kind: ComponentKind, component_id: str) -> BaseComponent:
        """The served component.

        :raises NotFound: there is none with this id.
        """
        return self.served_component(self.registry.of_kind(kind), kind, component_id)

    def served_component(self, served: Mapping[str, C], kind: ComponentKind, component_id: str) -> C:
        """One of the served components of a kind.

        :raises NotFound: there is none with this id.
        """
        component = served.get(component_id)
        if component is None:
            self._log_unknown(kind, component_id)
            raise NotFound(f"{kind.capitalize()} not found")
        return component

    def _log_unknown(self, kind: ComponentKind, component_id: str) -> None:
        """Log an unknown id, once per id. Clients match the answer word for word, so the answer cannot give a hint."""
        if component_id in self._unknown_ids or len(self._unknown_ids) >= MAX_UNKNOWN_IDS:
            return
        self._unknown_ids.add(component_id)
        known = [*self.registry.of_kind(kind)]
        meant = closest_match(component_id, known)
        log.info(f"the {kind} of a request is not served", id=component_id[:200], did_you_mean=meant, served=known[:20])

    def describe(self, component: BaseComponent) -> ModelInfo:
        """The names of the component's model in answers; empty for a workflow, which has none of its own."""
        if not isinstance(component, Component):
            return NO_MODEL
        info = self._model_infos.get(component)
        if info is None:
            info = self._model_infos[component] = describe(model_in_use(component.model, self.settings))
        return info

    @property
    def reader_count(self) -> int:
        """How many streams this process serves: of runs, of sessions and of all runs."""
        return self.broadcaster.subscriber_count + self.feed.reader_count

    def require_ready(self) -> None:
        """Raise Unavailable unless runs can be accepted."""
        if not self.worker.is_ready or self.is_stopping:
            raise Unavailable("The server is not ready; try again later.")


def _models_below(component: BaseComponent) -> Iterator[str | Model]:
    """The models of a component and its members."""
    return (model for part in component.agents_and_teams() for model in models_of(part))


def _server_card(settings: Settings) -> ServerCard:
    """The description of a server that starts now."""
    mode = auth_mode(settings)
    return ServerCard(
        os_id=settings.os_id,
        name=settings.os_name,
        description=settings.os_description,
        version=musterd.__version__,
        started_at=clock.now(),
        auth_mode=mode,
        has_user_isolation=mode == "jwt",
    )
