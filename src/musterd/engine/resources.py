"""What attempts share in one process."""

from concurrent.futures import Executor
from dataclasses import dataclass, field

from musterd.core.figures import Figures
from musterd.core.records import ComponentKind
from musterd.core.settings import Settings
from musterd.engine.hub import Hub
from musterd.specs import Component, Registry
from musterd.store.database import Database
from musterd.team.run_tools import ToolServers
from musterd.team.world import Models


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What attempts share in one process.

    :param threads: where tools that are plain functions run.
    :param servers: the MCP servers whose tools runs have.
    :param figures: where what happens is counted.
    """

    database: Database
    hub: Hub
    registry: Registry
    models: Models
    settings: Settings
    threads: Executor
    servers: ToolServers | None = None
    figures: Figures = field(default_factory=Figures)

    def component(self, kind: ComponentKind, component_id: str) -> Component | None:
        """The served component of this kind and id."""
        return (self.registry.teams if kind == "team" else self.registry.agents).get(component_id)
