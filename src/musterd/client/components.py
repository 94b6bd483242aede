"""The teams, agents and workflows of a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .flows import D, Flow, Resource, call
from .requests import path_of
from .wire_record import WireRecord

if TYPE_CHECKING:
    from .requests import Requests
    from .runs import ComponentKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Component(WireRecord):
    """A team, an agent or a workflow that the server serves."""

    id: str
    name: str
    description: str | None

    @property
    def members(self) -> tuple[str, ...]:
        """The ids of the members of a team."""
        return tuple(member["id"] for member in self.raw.get("members") or ())


class Components(Resource[D]):
    """The teams, the agents or the workflows of the server.

    :param kind: which of them.
    """

    def __init__(self, driver: D, requests: Requests, kind: ComponentKind) -> None:
        super().__init__(driver, requests)
        self._path = f"{kind}s"

    @call
    def list(self) -> Flow[tuple[Component, ...]]:
        """List them."""
        raws = yield from self._requests.json("GET", path_of(self._path))
        return tuple(Component.of(raw) for raw in raws)

    @call
    def get(self, component_id: str) -> Flow[Component]:
        """Get one, with its members, tools and model in ``raw``."""
        raw = yield from self._requests.json("GET", path_of(self._path, component_id))
        return Component.of(raw)
