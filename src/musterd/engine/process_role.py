"""The role of a process: what it does in addition to answering requests, and for which components."""

from dataclasses import dataclass

from musterd.core.records import ComponentKind
from musterd.declare import BaseComponent, Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRole:
    """What a process does in addition to answering requests.

    :param answers: whether it answers requests for runs, and not only probes.
    :param drives_runs: whether it claims runs and drives them.
    :param does_upkeep: whether it does upkeep: it reassigns the runs of dead processes, and does what is due. A process
        that does no upkeep drives no runs either.
    """

    answers: bool = True
    drives_runs: bool = True
    does_upkeep: bool = True

    @property
    def name(self) -> str:
        """``server``, ``worker`` (drives runs that others accept) or ``api`` (accepts runs that others drive)."""
        if not self.answers:
            return "worker"
        return "server" if self.drives_runs and self.does_upkeep else "api"

    def driven(self, registry: Registry) -> list[BaseComponent]:
        """The served components whose runs this process drives."""
        if not (self.drives_runs and self.does_upkeep):
            return []
        return registry.top_level()


def component_key(kind: ComponentKind, component_id: str) -> str:
    """The key under which workers announce a component. Components of different kinds may have the same id."""
    return f"{kind}:{component_id}"
