"""How a branch of a run tree waits for a person, and the text that a paused run shows."""

from collections.abc import Sequence

from musterd.core.errors import MusterdError
from musterd.core.records import ComponentKind
from musterd.core.requirements import Requirement, RequirementKind


class Waits(MusterdError):
    """Raised when a branch of the tree waits for a person. The run pauses once no branch can go on.

    :param requirements: one for each tool call that waits.
    """

    def __init__(self, requirements: Sequence[Requirement]) -> None:
        super().__init__()
        self.requirements = list(requirements)


def pause_text(kind: ComponentKind, requirements: Sequence[Requirement]) -> str:
    """The content of a paused run: a list of the tool calls that wait. Empty if all of them are silent."""
    listed = [requirement for requirement in requirements if not (requirement.tool.approval or {}).get("is_silent")]
    if not listed:
        return ""
    lines = [_line(requirement) for requirement in listed]
    return "\n".join([f"{_TITLES[kind]}. The following require input:", *lines])


_TITLES: dict[ComponentKind, str] = {"team": "Team run paused", "agent": "Run paused", "workflow": "Workflow paused"}
_NEEDS = {
    RequirementKind.UNKNOWN_OUTCOME: (
        "was interrupted; if it did not happen, confirm to have it made again, otherwise enter its result"
    ),
    RequirementKind.CONFIRMATION: "requires confirmation",
    RequirementKind.USER_INPUT: "requires user input",
    RequirementKind.EXTERNAL_EXECUTION: "requires external execution",
}


def _line(requirement: Requirement) -> str:
    owner = "team" if requirement.component_kind == "team" else requirement.component_name
    if requirement.step is not None and "error_message" in requirement.step:
        return f"- {owner}: {requirement.tool.name} failed; decide whether to retry it"
    return f"- {owner}: {requirement.tool.name} {_NEEDS[requirement.kind]}"
