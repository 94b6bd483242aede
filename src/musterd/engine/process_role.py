"""Duties: what a process does beside answering requests, and for which components."""

from dataclasses import dataclass

from musterd.core.records import ComponentKind
from musterd.declare import Component, Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRole:
    """What a process does beside answering requests.

    :param drives_runs: it claims runs and drives them.
    :param recovers: it takes over the runs of dead processes, and does what is due. Where it does not, it drives none
        either: whatever waits, waits.
    """

    drives_runs: bool = True
    recovers: bool = True

    def driven(self, registry: Registry) -> list[Component]:
        """The served components whose runs it drives."""
        if not (self.drives_runs and self.recovers):
            return []
        return [*registry.teams.values(), *registry.agents.values()]


def component_key(kind: ComponentKind, component_id: str) -> str:
    """A component as workers announce it: ids of teams and agents are separate."""
    return f"{kind}:{component_id}"
