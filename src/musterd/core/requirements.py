"""What a run waits for a person for, and what was decided about it."""

from dataclasses import dataclass
from enum import StrEnum

from musterd.core.jsontypes import JsonObject
from musterd.core.records import ComponentKind, ToolCall


class RequirementKind(StrEnum):
    """What a tool call waits for."""

    UNKNOWN_OUTCOME = "unknown_outcome"  # it was cut off; a person says whether it happened


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A tool call that waits for a person.

    :param path: the call's place in the run tree.
    :param run_id: the run whose model made the call: the root's or a member's.
    :param started_at: when it began, where it did.
    """

    id: str
    kind: RequirementKind
    path: str
    tool: ToolCall
    run_id: str
    component_kind: ComponentKind
    component_id: str
    component_name: str
    created_at: float
    started_at: float | None = None

    def as_json(self) -> JsonObject:
        """The requirement as a JSON object, keys named as the fields."""
        value = {name: getattr(self, name) for name in self.__slots__}
        return {**value, "tool": self.tool.as_json(), "kind": self.kind.value}

    @classmethod
    def from_json(cls, value: JsonObject) -> "Requirement":
        """The requirement that :meth:`as_json` wrote."""
        given: JsonObject = {name: value.get(name) for name in cls.__slots__}
        given["tool"], given["kind"] = ToolCall.from_json(value["tool"]), RequirementKind(value["kind"])
        return cls(**given)


class Verdict(StrEnum):
    """What a person decided about a tool call that waits."""

    RUN = "run"  # make it
    HAPPENED = "happened"  # it happened elsewhere, with this result
    REFUSED = "refused"  # do not make it; the model is told why


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A person's decision about one requirement.

    :param key: the requirement's id, or the tool call's.
    :param result: what came of the call, where it happened elsewhere.
    :param note: for the model, where it is refused.
    """

    key: str
    verdict: Verdict
    result: str | None = None
    note: str | None = None

    def as_json(self) -> JsonObject:
        """The decision as it is stored: without the key."""
        return {"verdict": self.verdict.value, "result": self.result, "note": self.note}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRow:
    """One row of ``approvals``: a requirement, and the decision about it once there is one.

    :param state: pending, decided (an attempt has to act on it), consumed, closed (the run ended).
    """

    requirement: Requirement
    state: str
    decision: JsonObject | None = None
