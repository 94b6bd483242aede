"""What a run waits for a person for, and what was decided about it."""

from dataclasses import dataclass, replace
from enum import StrEnum

from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import ComponentKind, ToolCall


class RequirementKind(StrEnum):
    """What a tool call waits for."""

    UNKNOWN_OUTCOME = "unknown_outcome"  # it was cut off; a person says whether it happened
    CONFIRMATION = "confirmation"  # a person must agree before it is made
    USER_INPUT = "user_input"  # a person gives arguments before it is made
    EXTERNAL_EXECUTION = "external_execution"  # a person, or a client, does it and says what came of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A tool call that waits for a person.

    :param path: the call's place in the run tree.
    :param run_id: the run whose model made the call: the root's or a member's.
    :param started_at: when it began, where it did.
    :param fields: of a form: the arguments that a person may give: name, field_type, description, value.
    :param schema: the JSON schema of the arguments that a person gives or changes.
    :param approval_type: ``required``: decided through the inbox of approvals alone; ``audit``: by the run's client,
        and shown there once it is.
    :param expires_at: when the decision is ``default_decision``, or the run ends without one; None: when the run
        has been paused for as long as a run may be.
    :param default_decision: ``approve`` or ``reject``: what counts as decided where nobody decides in time.
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

    def as_json(self) -> JsonObject:
        """The requirement as a JSON object, keys named as the fields; what most do not have is left out."""
        value = {name: getattr(self, name) for name in self.__slots__}
        value = {name: item for name, item in value.items() if item is not None or name not in _SELDOM}
        return {**value, "tool": self.tool.as_json(), "kind": self.kind.value}

    @classmethod
    def from_json(cls, value: JsonObject) -> "Requirement":
        """The requirement that :meth:`as_json` wrote."""
        given: JsonObject = {name: value.get(name) for name in cls.__slots__}
        given["tool"], given["kind"] = ToolCall.from_json(value["tool"]), RequirementKind(value["kind"])
        return cls(**given)


_TAKES_VALUES = (RequirementKind.CONFIRMATION, RequirementKind.USER_INPUT)
EXACT_IN_A_DOUBLE = 2**53
"""Whole numbers up to this are read exactly by clients whose numbers are doubles."""
_SELDOM = ("fields", "schema", "approval_type", "expires_at", "default_decision")


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
    :param values: arguments that a person gives or changes, by name.
    :param tool_values: the same as they stood in the call, where a client sends both; what is not as shown counts.
    :param args: the arguments of the call as a client sent it back. In a confirmation, what is not as shown counts.
    :param is_explicit: False where nothing but values came: as long as they are those that were shown, nobody has
        decided.
    """

    key: str
    verdict: Verdict
    result: str | None = None
    note: str | None = None
    values: JsonObject | None = None
    tool_values: JsonObject | None = None
    args: JsonObject | None = None
    is_explicit: bool = True

    def as_json(self) -> JsonObject:
        """The decision as it is stored: without the key."""
        stored: JsonObject = {"verdict": self.verdict.value, "result": self.result, "note": self.note}
        return stored if not self.values else {**stored, "values": self.values}

    @classmethod
    def by_default(cls, key: str, default: str) -> "Decision":
        """What counts as decided where nobody decides in time, and ``default`` was declared."""
        if default == "approve":
            return cls(key=key, verdict=Verdict.RUN)
        return cls(key=key, verdict=Verdict.REFUSED, note=NOBODY_DECIDED)


NOBODY_DECIDED = "Nobody decided about the call in time, so it was not made."


def said_of(decision: Decision, requirement: Requirement) -> Decision | None:
    """The decision as one about this requirement: None if it says nothing yet.

    Only values that differ from the requirement's own stay in it, so that a client may send back what it was shown.
    """
    kind = requirement.kind
    shown = requirement.tool.args
    if kind is RequirementKind.USER_INPUT:
        shown = {field["name"]: field["value"] for field in requirement.fields or ()}
    sent = [decision.tool_values or {}, decision.values or {}]
    if kind is RequirementKind.CONFIRMATION:
        sent.insert(0, decision.args or {})
    values: JsonObject = {}
    for source in sent:
        values.update({name: value for name, value in source.items() if not _is_same(value, shown.get(name))})
    if not decision.is_explicit and (not values or kind is not RequirementKind.USER_INPUT):
        return None
    values = {} if decision.verdict is Verdict.REFUSED else values
    return replace(decision, values=values, tool_values=None, args=None, is_explicit=True)


def _is_same(value: Json, shown: Json) -> bool:
    """Whether a value came back as it was shown, by a client whose numbers may all be doubles, as JavaScript's are."""
    return bool(value == shown or _in_doubles(value) == _in_doubles(shown))


def _in_doubles(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _in_doubles(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_in_doubles(item) for item in value]
    if isinstance(value, int) and abs(value) > EXACT_IN_A_DOUBLE:
        try:
            return float(value)
        except OverflowError:
            return value
    return value


def problem_of(decision: Decision, requirement: Requirement) -> str | None:
    """What is wrong with a decision about a requirement, in words; None: nothing is."""
    kind, verdict, name = requirement.kind, decision.verdict, requirement.tool.name
    if verdict is Verdict.REFUSED:
        return None
    if kind is RequirementKind.EXTERNAL_EXECUTION and verdict is not Verdict.HAPPENED:
        return f"{name} is executed outside of the server: send what came of it, or refuse it"
    if kind in _TAKES_VALUES:
        if verdict is Verdict.HAPPENED:
            return f"{name} is made by the server: agree to it, or refuse it; it takes no result"
        return _values_problem(decision, requirement)
    if decision.values:
        return f"The arguments of {name} cannot be changed any more: decide without values"
    return None


def _values_problem(decision: Decision, requirement: Requirement) -> str | None:
    import jsonschema_rs

    name, values, schema = requirement.tool.name, decision.values or {}, requirement.schema or {}
    is_form = requirement.kind is RequirementKind.USER_INPUT
    if is_form:
        known = {field["name"] for field in requirement.fields or ()}
    else:
        known = {*schema.get("properties", ()), *requirement.tool.args}
    if unknown := sorted(set(values) - known):
        has = f"it has {', '.join(sorted(known))}" if known else "it has none"
        return f"{name} has no field {', '.join(unknown)[:200]}; {has}"
    if is_form:
        checked = {**{name: value for name, value in requirement.tool.args.items() if name in known}, **values}
        if missing := sorted(set(schema.get("required", ())) - set(checked)):
            return f"{name} needs a value for {', '.join(missing)}"
    else:  # only what changes: the tool has taken the model's own arguments already, more leniently than the schema
        checked, schema = values, {**schema, "required": []}
    wrong = next(iter(jsonschema_rs.iter_errors(schema, checked)), None)
    if wrong is None:
        return None
    return f"{'.'.join(str(part) for part in wrong.instance_path) or name}: {wrong.message[:200]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRow:
    """One row of ``approvals``: a requirement, and the decision about it once there is one.

    :param state: pending, decided (an attempt has to act on it), consumed, closed (the run ended).
    """

    requirement: Requirement
    state: str
    decision: JsonObject | None = None
