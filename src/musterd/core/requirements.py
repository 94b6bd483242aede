"""Requirements (tool calls that wait for a person) and the decisions about them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import ComponentKind, ToolCall
from musterd.core.schema_checks import schema_problem


class RequirementKind(StrEnum):
    """Why a tool call waits for a person."""

    UNKNOWN_OUTCOME = "unknown_outcome"  # the call was interrupted; a person says whether it happened
    CONFIRMATION = "confirmation"  # a person must approve the call first
    USER_INPUT = "user_input"  # a person must fill in arguments first
    EXTERNAL_EXECUTION = "external_execution"  # a person or client makes the call and sends the result


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A tool call that waits for a person.

    :param path: the position of the call in the run tree.
    :param run_id: the run whose model made the call: the root or a member.
    :param started_at: when the call started, if it did.
    :param fields: the fields of a form: name, field_type, description, value.
    :param schema: the JSON schema of the arguments that a person fills in or changes.
    :param approval_type: ``required`` calls can only be decided in the approvals inbox; ``audit`` calls are decided by
        the run's client and are listed in the inbox afterwards.
    :param expires_at: when ``default_decision`` applies, or the run finishes in ERROR if there is none. None means the
        general limit for paused runs.
    :param default_decision: ``approve`` or ``reject``; applies if there is no decision in time.
    :param task: the beginning of the run's message, so that a person sees what the call is for.
    :param tool_description: the beginning of the tool's description.
    :param step: if a step of a workflow asks, what clients are shown of it, with the keys of AgentOS: step_id,
        step_name, step_index, step_type, confirmation_message, user_input_message, on_reject, available_choices,
        allow_multiple_selections, step_input; for a failed step: error_message, error_type, retry_count. The tool is
        named after the step then. A choice of a router is a USER_INPUT with the field ``selected_choices``; a question
        about an error is a CONFIRMATION of another try.
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
    fields: list[JsonObject] | None = None
    schema: JsonObject | None = None
    approval_type: str | None = None
    expires_at: float | None = None
    default_decision: str | None = None
    task: str | None = None
    tool_description: str | None = None
    step: JsonObject | None = None

    @property
    def list_name(self) -> str:
        """The list of a run's requirements that has it. Its decision is sent in the field of the same name."""
        if self.step is None:
            return "requirements"
        return "error_requirements" if "error_message" in self.step else "step_requirements"

    def as_json(self) -> JsonObject:
        """The requirement as a JSON object with the field names as keys, without unset optional fields."""
        value = {name: getattr(self, name) for name in self.__slots__}
        value = {
            name: field_value
            for name, field_value in value.items()
            if field_value is not None or name not in _OPTIONAL_FIELDS
        }
        return {**value, "tool": self.tool.as_json(), "kind": self.kind.value}

    @classmethod
    def from_json(cls, value: JsonObject) -> "Requirement":
        """Parse what :meth:`as_json` wrote."""
        fields: JsonObject = {name: value.get(name) for name in cls.__slots__}
        fields["tool"], fields["kind"] = ToolCall.from_json(value["tool"]), RequirementKind(value["kind"])
        return cls(**fields)


_KINDS_WITH_VALUES = (RequirementKind.CONFIRMATION, RequirementKind.USER_INPUT)
MAX_EXACT_DOUBLE = 2**53
"""The largest whole number up to which clients with double-precision numbers, such as JavaScript, are exact."""
_OPTIONAL_FIELDS = (
    "fields",
    "schema",
    "approval_type",
    "expires_at",
    "default_decision",
    "task",
    "tool_description",
    "step",
)
MAX_TEXT = 1000
"""The most characters of a task and of a tool's description: a requirement is stored in the run and in its events."""


class Verdict(StrEnum):
    """The outcome of a decision about a waiting tool call."""

    RUN = "run"  # make the call
    HAPPENED = "happened"  # the call was made elsewhere, with this result
    REFUSED = "refused"  # do not make the call; the model learns why


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A person's decision about one requirement.

    :param key: the id of the requirement, or of the tool call.
    :param result: the result of a call that was made elsewhere.
    :param note: the reason for the model, if the call is refused.
    :param values: arguments that a person filled in or changed, by name.
    :param tool_values: the same values as the client sent them inside the tool call; only changed ones count.
    :param args: the arguments of the call as the client sent them back. In a confirmation, only changed ones count.
    :param is_explicit: False if the client sent values only. Unless they differ from the original ones, that is not yet
        a decision.
    :param field: the field of the request that has the decision; None if it was made in the inbox of approvals.
    :param unknown_fields: fields of the object that no requirement has, if the client decided nothing explicitly.
    """

    key: str
    verdict: Verdict
    result: str | None = None
    note: str | None = None
    values: JsonObject | None = None
    tool_values: JsonObject | None = None
    args: JsonObject | None = None
    is_explicit: bool = True
    field: str | None = None
    unknown_fields: Sequence[str] = ()

    def as_json(self) -> JsonObject:
        """The decision as it is stored, without the key."""
        fields: JsonObject = {"verdict": self.verdict.value, "result": self.result, "note": self.note}
        return fields if not self.values else {**fields, "values": self.values}

    @classmethod
    def by_default(cls, key: str, default: str) -> "Decision":
        """The decision that applies if there is none in time and ``default`` was declared."""
        if default == "approve":
            return cls(key=key, verdict=Verdict.RUN)
        return cls(key=key, verdict=Verdict.REFUSED, note=NOT_DECIDED_IN_TIME)


def as_sent(decisions: Sequence[Decision]) -> str:
    """The text of decisions that tells a repeated request from another one: it has all that a client may change."""
    return jsontext.canonical(
        [
            [decision.key, decision.as_json(), decision.args, decision.tool_values, decision.is_explicit]
            for decision in decisions
        ]
    )


NOT_DECIDED_IN_TIME = "The call was not made because no decision arrived in time."


def effective_decision(decision: Decision, requirement: Requirement) -> Decision | None:
    """The decision with only its changed values, or None if it does not decide this requirement yet.

    Clients may send back the values that they received, so values equal to the requirement's own do not count.
    """
    kind = requirement.kind
    original = requirement.tool.args
    if kind is RequirementKind.USER_INPUT:
        original = {field["name"]: field["value"] for field in requirement.fields or ()}
    sources = [decision.tool_values or {}, decision.values or {}]
    if kind is RequirementKind.CONFIRMATION:
        sources.insert(0, decision.args or {})
    values: JsonObject = {}
    for source in sources:
        values.update({name: value for name, value in source.items() if not _is_unchanged(value, original.get(name))})
    if not decision.is_explicit and (not values or kind is not RequirementKind.USER_INPUT):
        return None
    values = {} if decision.verdict is Verdict.REFUSED else values
    return replace(decision, values=values, tool_values=None, args=None, is_explicit=True)


def _is_unchanged(value: Json, original: Json) -> bool:
    """Whether a client sent a value back unchanged, even if it reads all numbers as doubles, as JavaScript does."""
    if isinstance(value, dict) and isinstance(original, dict):
        return value.keys() == original.keys() and all(_is_unchanged(value[name], original[name]) for name in value)
    if isinstance(value, list) and isinstance(original, list):
        return len(value) == len(original) and all(map(_is_unchanged, value, original))
    if isinstance(original, int) and abs(original) > MAX_EXACT_DOUBLE:
        return value in (original, *_as_double(original))
    return bool(value == original)


def _as_double(number: int) -> Sequence[float]:
    """How clients that read a whole number as a double write it: with all digits, or with as few as it needs."""
    try:
        double = float(number)
    except OverflowError:
        return ()
    return double, int(Decimal(repr(double)))


def how_to_decide(requirement: Requirement, *, in_tools: bool = False) -> str:
    """What a client sends to decide a requirement, in words.

    :param in_tools: whether the client sends ``tools``, which have other names for the same decisions.
    """
    is_tool = requirement.step is None and in_tools
    return f"send {_decision_fields(requirement, is_tool)} in `{'tools' if is_tool else requirement.list_name}`"


def _decision_fields(requirement: Requirement, is_tool: bool) -> str:
    kind, list_name = requirement.kind, requirement.list_name
    if list_name == "error_requirements":
        return "`decision` (`retry` or `skip`)"
    if list_name == "step_requirements":
        if kind is RequirementKind.CONFIRMATION:
            return "`confirmed` (true or false)"
        return "`selected_choices`" if (requirement.step or {}).get("available_choices") else "`user_input`"
    if kind is RequirementKind.USER_INPUT:
        has_options = any("options" in field for field in requirement.fields or ())
        return "`selected_options` in `user_feedback_schema`" if has_options else "`value`s in `user_input_schema`"
    confirmation, result = ("confirmed", "result") if is_tool else ("confirmation", "external_execution_result")
    if kind is RequirementKind.UNKNOWN_OUTCOME:
        return f"`{confirmation}` (true: call it again, false: let it fail) or `{result}` (the result that it had)"
    return f"`{confirmation}` (true or false)" if kind is RequirementKind.CONFIRMATION else f"`{result}` (a text)"


def decision_problem(decision: Decision, requirement: Requirement) -> str | None:
    """The message if ``decision`` is not valid for ``requirement``, else None."""
    kind, verdict, name = requirement.kind, decision.verdict, requirement.tool.name
    if verdict is Verdict.REFUSED:
        return None
    if kind is RequirementKind.EXTERNAL_EXECUTION and verdict is not Verdict.HAPPENED:
        return f"{name} runs outside the server; send its result or reject it"
    if kind in _KINDS_WITH_VALUES:
        if verdict is Verdict.HAPPENED:
            return f"{name} runs on the server; confirm or reject it without a result"
        return _values_problem(decision, requirement)
    if decision.values:
        return f"The arguments of {name} can no longer be changed; send the decision without values"
    return None


def _values_problem(decision: Decision, requirement: Requirement) -> str | None:
    name, values, schema = requirement.tool.name, decision.values or {}, requirement.schema or {}
    is_form = requirement.kind is RequirementKind.USER_INPUT
    if is_form:
        known_names = {field["name"] for field in requirement.fields or ()}
    else:
        known_names = {*schema.get("properties", ()), *requirement.tool.args}
    if unknown := sorted(set(values) - known_names):
        available = f"it has {', '.join(sorted(known_names))}" if known_names else "it has none"
        return f"{name} has no field {', '.join(unknown)[:200]}; {available}"
    if is_form:
        arguments = {**{name: value for name, value in requirement.tool.args.items() if name in known_names}, **values}
        if missing := sorted(set(schema.get("required", ())) - set(arguments)):
            return f"{name} needs a value for {', '.join(missing)}"
    else:  # Check changed values only: the tool accepted the model's arguments already, more leniently than the schema.
        arguments, schema = values, {**schema, "required": []}
    return schema_problem(schema, arguments, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRow:
    """One row of ``approvals``: a requirement and its decision, if there is one.

    :param state: pending, decided (no attempt has acted on it yet), consumed, closed (the run finished).
    """

    requirement: Requirement
    state: str
    decision: JsonObject | None = None
