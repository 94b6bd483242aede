"""A branch of the tree that cannot go on without a person."""

from collections.abc import Sequence

from musterd.core.errors import MusterdError
from musterd.core.records import ComponentKind
from musterd.core.requirements import Requirement, RequirementKind


class Waits(MusterdError):
    """This branch waits for a person; others go on, and the run pauses when none can.

    :param requirements: the tool calls that wait.
    """

    def __init__(self, requirements: Sequence[Requirement]) -> None:
        super().__init__()
        self.requirements = list(requirements)


def pause_text(kind: ComponentKind, requirements: Sequence[Requirement]) -> str:
    """What is needed, in words, for whoever reads the paused run of a team or an agent; nothing where all is silent."""
    named = [found for found in requirements if not (found.tool.asked or {}).get("is_silent")]
    if not named:
        return ""
    lines = [
        f"- {'team' if found.component_kind == 'team' else found.component_name}: {found.tool.name} {_need(found)}"
        for found in named
    ]
    paused = "Team run paused" if kind == "team" else "Run paused"
    return "\n".join([f"{paused}. The following require input:", *lines])


_NEEDS = {
    RequirementKind.UNKNOWN_OUTCOME: "was cut off: say whether it happened",
    RequirementKind.CONFIRMATION: "requires confirmation",
    RequirementKind.USER_INPUT: "requires user input",
    RequirementKind.EXTERNAL_EXECUTION: "requires external execution",
}


def _need(requirement: Requirement) -> str:
    return _NEEDS[requirement.kind]
