"""What a paused run waits for, and the decisions about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

RequirementList = Literal["requirements", "step_requirements", "error_requirements"]
"""The field of a run that has the requirement, and of the request that decides about it."""

_LISTS: tuple[RequirementList, ...] = ("requirements", "step_requirements", "error_requirements")


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about one requirement, for :meth:`musterd.Client.decide`.

    :param is_for_inbox: whether the server takes it as that of an approval alone.
    """

    list_name: RequirementList
    item: dict[str, Any]
    is_for_inbox: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """Something that a paused run waits for: a tool call, or a step of a workflow. Its methods make decisions.

    :param kind: of a tool call ``confirmation``, ``user_input``, ``external_execution`` or ``unknown_outcome`` (it was
        cut off, and may have happened); of a workflow ``step`` or ``failed_step``.
    :param name: the tool or step.
    :param arguments: of the tool call.
    :param member: the name of the member that made the call, if it was not the run itself.
    :param expires_at: when the default decision applies, or the run fails; unix time.
    :param fields: the values that a person fills in, as the server describes them.
    :param raw: the requirement as the server sent it.
    """

    id: str
    list_name: RequirementList
    kind: str
    name: str
    arguments: dict[str, Any]
    member: str | None
    expires_at: float | None
    fields: tuple[dict[str, Any], ...]
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, list_name: RequirementList, raw: dict[str, Any]) -> Self:
        """The requirement that the server sent."""
        tool = raw.get("tool_execution") or {}
        kinds = {"step_requirements": "step", "error_requirements": "failed_step"}
        return cls(
            id=raw["id"],
            list_name=list_name,
            kind=kinds.get(list_name) or raw["kind"],
            name=tool.get("tool_name") or raw.get("step_name") or "",
            arguments=tool.get("tool_args") or {},
            member=raw.get("member_agent_name"),
            expires_at=raw.get("expires_at"),
            fields=tuple(raw.get("user_input_schema") or raw.get("user_feedback_schema") or ()),
            raw=raw,
        )

    def approve(self, arguments: Mapping[str, Any] | None = None) -> Decision:
        """Make the call, or begin the step. A failed step is retried.

        :param arguments: those of the call that are changed.
        """
        if self.list_name == "error_requirements":
            return self._decision(decision="retry")
        if self.list_name == "step_requirements":
            return self._decision(confirmed=True)
        changes = {} if not arguments else {"user_input_schema": _named(arguments)}
        return self._decision(confirmation=True, **changes)

    def reject(self, note: str | None = None) -> Decision:
        """Do not make the call, or do not begin the step. A failed step is skipped.

        :param note: the reason, which the model reads.
        """
        if self.list_name == "error_requirements":
            return self._decision(decision="skip")
        if self.list_name == "step_requirements":
            return self._decision(confirmed=False)
        return self._decision(confirmation=False, **({"confirmation_note": note} if note else {}))

    def fill_in(self, values: Mapping[str, Any]) -> Decision:
        """Make the call, or begin the step, with these values. Questions to the user have lists of chosen options."""
        if self.list_name == "step_requirements":
            return self._decision(user_input=dict(values))
        if self.raw.get("user_feedback_schema"):
            form = [{"question": question, "selected_options": options} for question, options in values.items()]
            return self._decision(user_feedback_schema=form)
        return self._decision(user_input_schema=_named(values))

    def choose(self, choices: Sequence[str]) -> Decision:
        """Let the router of a workflow take these of its choices."""
        return self._decision(selected_choices=list(choices))

    def give_result(self, result: str) -> Decision:
        """Tell what the call returned: it was made elsewhere, or it had happened when it was cut off."""
        return self._decision(external_execution_result=result)

    def _decision(self, **item: Any) -> Decision:
        tool = self.raw.get("tool_execution") or {}
        is_for_inbox = tool.get("approval_type") == "required"
        return Decision(self.list_name, {"id": self.id, **item}, is_for_inbox=is_for_inbox)


def requirements_of(raw_run: Mapping[str, Any]) -> Iterator[Requirement]:
    """Everything that a run waits for."""
    for list_name in _LISTS:
        for raw in raw_run.get(list_name) or ():
            yield Requirement.of(list_name, raw)


def decision_lists(decisions: Sequence[Decision]) -> dict[str, list[dict[str, Any]]]:
    """Decisions as the fields of a request."""
    lists: dict[str, list[dict[str, Any]]] = {}
    for decision in decisions:
        lists.setdefault(decision.list_name, []).append(decision.item)
    return lists


def _named(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]
