"""What attempts share in one process."""

from concurrent.futures import Executor
from dataclasses import dataclass

from musterd.core.records import ComponentKind
from musterd.core.settings import Settings
from musterd.engine.hub import Hub
from musterd.engine.webhooks import Webhooks
from musterd.specs import Component, Registry
from musterd.store.database import Database
from musterd.store.owners import Shares
from musterd.team.run_tools import ToolServers
from musterd.team.world import Models


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What attempts share in one process.

    :param threads: where tools that are plain functions run.
    :param webhooks: who sends what webhooks are told.
    :param servers: the MCP servers whose tools runs have.
    """

    database: Database
    hub: Hub
    registry: Registry
    models: Models
    settings: Settings
    threads: Executor
    webhooks: Webhooks
    servers: ToolServers | None = None

    @property
    def shares(self) -> Shares:
        """What one user may have of the server."""
        return Shares(queue_depth=self.settings.user_queue_depth, concurrency=self.settings.user_concurrency)

    def component(self, kind: ComponentKind, component_id: str) -> Component | None:
        """The served component of this kind and id."""
        return (self.registry.teams if kind == "team" else self.registry.agents).get(component_id)
