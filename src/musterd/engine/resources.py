"""What attempts share in one process."""

from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from musterd.core import trace_context
from musterd.core.metrics import Metrics
from musterd.core.records import ComponentKind, RunRow
from musterd.core.settings import Settings
from musterd.declare import Component, Registry
from musterd.engine.broadcaster import Broadcaster
from musterd.engine.webhooks import Webhooks
from musterd.loop.run_tools import ToolServers
from musterd.loop.run_tree import Models
from musterd.store.database import Database
from musterd.store.user_limits import UserLimits

if TYPE_CHECKING:
    from musterd.engine.spans import Spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What attempts share in one process.

    :param threads: where tools that are plain functions run.
    :param webhooks: who sends what webhooks are told.
    :param servers: the MCP servers whose tools runs have.
    :param figures: where what happens is counted.
    :param spans: what records spans; None: nothing does.
    """

    database: Database
    broadcaster: Broadcaster
    registry: Registry
    models: Models
    settings: Settings
    threads: Executor
    webhooks: Webhooks
    servers: ToolServers | None = None
    metrics: Metrics = field(default_factory=Metrics)
    spans: "Spans | None" = None

    @property
    def shares(self) -> UserLimits:
        """What one user may have of the server."""
        return UserLimits(queue_depth=self.settings.user_queue_depth, concurrency=self.settings.user_concurrency)

    def component(self, kind: ComponentKind, component_id: str) -> Component | None:
        """The served component of this kind and id."""
        return (self.registry.teams if kind == "team" else self.registry.agents).get(component_id)

    def accepting(self, run: RunRow) -> RunRow:
        """A run that is about to be accepted, in the trace of the request that asks for it."""
        run.traceparent = trace_context.incoming.get()
        if self.spans is not None:
            self.spans.accepting(run)
        return run

    def accepted(self, run: RunRow) -> None:
        """A run was accepted."""
        self.metrics.runs_accepted.add(run.component_kind, run.component_id)
        self.broadcaster.session_changed(run.session_id)
        if self.spans is not None:
            self.spans.accepted()
