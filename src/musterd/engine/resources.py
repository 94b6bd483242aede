"""What attempts share in one process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from musterd.core import trace_context
from musterd.core.metrics import Metrics
from musterd.core.records import ComponentKind, RunRow
from musterd.core.settings import Settings
from musterd.declare import BaseComponent, Registry
from musterd.engine.broadcaster import Broadcaster
from musterd.engine.bus import Bus
from musterd.engine.memory_hook import MemoryHook
from musterd.engine.run_removal_hook import RunRemovalHook
from musterd.engine.webhooks import Webhooks
from musterd.loop.knowledge_bases import KnowledgeBases
from musterd.loop.run_tools import ToolServers
from musterd.loop.run_tree import Models, Services, no_services
from musterd.loop.user_functions import Threads
from musterd.store.database import Database
from musterd.store.user_limits import UserLimits

if TYPE_CHECKING:
    from musterd.engine.spans import Spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What attempts share in one process.

    :param bus: wakes other processes, and says which of them are alive.
    :param threads: runs the tools that are plain functions.
    :param webhooks: sends deliveries.
    :param servers: the MCP servers of the components.
    :param metrics: counts what happens in this process.
    :param spans: records spans; None: tracing is off.
    :param services: the services of features, for their tools.
    :param knowledge_bases: gives the knowledge bases of a feature, once the features exist; None: there is none.
    :param run_removal_hooks: what features do about runs that are removed.
    :param memory_hook: how a feature stores memories of users; None: no feature does.
    """

    database: Database
    broadcaster: Broadcaster
    bus: Bus
    registry: Registry
    models: Models
    settings: Settings
    threads: Threads
    webhooks: Webhooks
    servers: ToolServers | None = None
    metrics: Metrics = field(default_factory=Metrics)
    spans: "Spans | None" = None
    services: Services = no_services
    knowledge_bases: Callable[[], KnowledgeBases | None] = lambda: None
    run_removal_hooks: Sequence[RunRemovalHook] = ()
    memory_hook: MemoryHook | None = None

    @property
    def user_limits(self) -> UserLimits:
        """The limits of one user."""
        return UserLimits(queue_depth=self.settings.user_queue_depth, concurrency=self.settings.user_concurrency)

    def component(self, kind: ComponentKind, component_id: str) -> BaseComponent | None:
        """The served component of this kind and id."""
        return self.registry.component(kind, component_id)

    def accepting(self, run: RunRow) -> RunRow:
        """Prepare a run that is about to be accepted: put it into the trace of its request."""
        run.traceparent = trace_context.incoming.get()
        if self.spans is not None:
            self.spans.accepting(run)
        return run

    def run_accepted(self, run: RunRow) -> None:
        """Count a run that was accepted, and notify those that watch its session."""
        self.metrics.runs_accepted.add(run.component_kind, run.component_id)
        self.broadcaster.session_changed(run.session_id)
        if self.spans is not None:
            self.spans.run_accepted()
