"""Teams, agents and workflows by their ids: all three can be run, so one list and one name serve for all."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from musterd.cli.remote.command_failed import CommandFailed, ExitCode
from musterd.cli.remote.lookups import no_such, require_text

if TYPE_CHECKING:
    from musterd.client import Client, Component
    from musterd.client.runs import ComponentKind

LIST = "musterd teams ls"


@dataclass(frozen=True)
class Served:
    """A component with its kind."""

    kind: "ComponentKind"
    component: "Component"


def served(client: "Client") -> Iterator[Served]:
    """Everything that the server serves and that the token may see."""
    from musterd.client import Forbidden

    lists = (("team", client.teams), ("agent", client.agents), ("workflow", client.workflows))
    refusals = []
    for kind, components in lists:
        try:
            for component in components.list():
                yield Served(kind, component)  # type: ignore[arg-type]
        except Forbidden as error:  # a token for teams alone is enough to run one
            refusals.append(error)
    if len(refusals) == len(lists):
        raise refusals[0]


def component_of(client: "Client", name: str, kind: "ComponentKind | None" = None) -> Served:
    """The component with this id.

    :param kind: needed if a team and an agent have the same id.
    """
    what = kind or "team, agent or workflow"
    require_text(f"id of the {what}", name)
    rows = list(served(client))
    matches = [row for row in rows if row.component.id == name and kind in (None, row.kind)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        kinds = " and ".join(f"--kind {row.kind}" for row in matches)
        raise CommandFailed(f'The server has several components "{name}": choose with {kinds}.', ExitCode.USAGE)
    names = [row.component.id for row in rows if kind in (None, row.kind)]
    raise CommandFailed(no_such(what, name, names, LIST), ExitCode.USAGE)
