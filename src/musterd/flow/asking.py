"""Questions to a person: before a step or a container, about a router's choice, and about a step that failed.

A question is a step of its own below the one that it is about. Its requirement is stored with its intent, so the run
waits as for a tool call; when the person has decided, the step is made and its result is the decision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from musterd.core import clock
from musterd.core.errors import RunRejected
from musterd.core.events import EventKind
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import StepKind, ToolCall
from musterd.core.requirements import MAX_TEXT, Requirement, RequirementKind
from musterd.core.threads import in_thread
from musterd.declare.workflow.steps import Condition, Router, Step
from musterd.declare.workflow.user_input import UserInputField
from musterd.flow.inputs import Scope, read_contents, step_input_view
from musterd.flow.position import Position, step_fingerprint
from musterd.loop.hooks import message_of
from musterd.loop.steps import Intent, ToolStep

if TYPE_CHECKING:
    from musterd.flow.walk import Walk

CHOICES = "selected_choices"
"""The field of a question in which a person chooses the steps of a router."""
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}
_PAUSED = {"condition": EventKind.CONDITION_PAUSED, "router": EventKind.ROUTER_PAUSED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a person decided.

    :param values: the values of a form.
    """

    is_approved: bool = True
    values: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """A question to a person.

    :param details: what clients see of it in addition to the step.
    :param fields: of a form, its fields, and ``schema`` their JSON schema.
    """

    path: str
    kind: RequirementKind
    details: JsonObject
    fields: list[JsonObject] | None = None
    schema: JsonObject | None = None


NOT_ASKED = Answer()


async def ask_before(walk: "Walk", position: Position, scope: Scope) -> Answer:
    """Ask about a step before it begins, if its declaration wants that.

    :raises RunRejected: the person rejected it, and that ends the run.
    :raises Waits: there is no decision yet.
    """
    spec = position.node.spec
    path, stored = f"{position.path}/q", walk.tree.stored_steps
    question = _question_before(position)
    # A deploy may have changed whether a person is asked. A step that has begun is not asked about any more, and a
    # question that is stored is decided as it was asked: a step that a person rejected is not made.
    if question is None and path in stored:
        question = _Question(path=path, kind=RequirementKind.CONFIRMATION, details={})
    elif question is None or (position.path in stored and path not in stored):
        return NOT_ASKED
    if question.path not in walk.tree.approvals:
        await read_contents(walk, scope.every_result)
        # In a thread, because it writes the JSON of every result as text.
        question.details["step_input"] = await in_thread(step_input_view, walk, scope)
    answer = await _ask(walk, position, question)
    if not answer.is_approved and (spec.on_reject == "cancel" or _chooses(spec)):
        raise RunRejected(f"Workflow cancelled: {position.node.type_name} '{position.node.name}' was rejected")
    return answer


async def ask_about_error(walk: "Walk", position: Position, number: int, error: ToolStep) -> bool:
    """Ask whether a step that failed is retried; if not, it is skipped.

    :param number: the number of the try that failed, from 0.
    :raises Waits: there is no decision yet.
    """
    details = {
        "error_message": error.result[:MAX_TEXT],
        "error_type": (error.details or {}).get("error_type"),
        "retry_count": number,
    }
    path = f"{position.path}/r{number}/e"
    answer = await _ask(walk, position, _Question(path=path, kind=RequirementKind.CONFIRMATION, details=details))
    return answer.is_approved


def unknown_outcome(walk: "Walk", position: Position, path: str) -> Requirement:
    """The question about a function whose call was cut off, or ran out of time."""
    kind = RequirementKind.UNKNOWN_OUTCOME
    return _requirement(walk, position, _Question(path=path, kind=kind, details={}))


def _chooses(spec: object) -> bool:
    return isinstance(spec, Router) and spec.requires_user_input


def _question_before(position: Position) -> _Question | None:
    node, path = position.node, f"{position.path}/q"
    spec = node.spec
    asks_for_input = isinstance(spec, Step | Router) and spec.requires_user_input
    if not (spec.requires_confirmation or asks_for_input):
        return None
    details: JsonObject = {
        "requires_confirmation": spec.requires_confirmation,
        "confirmation_message": spec.confirmation_message,
        "on_reject": "cancel" if _chooses(spec) else spec.on_reject,
    }
    if not isinstance(spec, Step | Router) or not asks_for_input:
        return _Question(path=path, kind=RequirementKind.CONFIRMATION, details=details)
    details |= {"requires_user_input": True, "user_input_message": spec.user_input_message}
    if isinstance(spec, Step):
        fields, schema = _form(spec.user_input_schema)
        details["user_input_schema"] = fields
    else:
        choices = [child.name for child in node.children]
        fields, schema = _form_of_choices(choices, has_several=spec.allow_multiple_selections)
        details |= {"available_choices": choices, "allow_multiple_selections": spec.allow_multiple_selections}
    return _Question(path=path, kind=RequirementKind.USER_INPUT, details=details, fields=fields, schema=schema)


def _form(schema: Sequence[UserInputField]) -> tuple[list[JsonObject], JsonObject]:
    properties: JsonObject = {}
    for entry in schema:
        properties[entry.name] = {"type": _TYPES[entry.field_type]}
        if entry.allowed_values:
            properties[entry.name]["enum"] = list(entry.allowed_values)
    required = [entry.name for entry in schema if entry.required]
    return [entry.as_json() for entry in schema], {"type": "object", "properties": properties, "required": required}


def _form_of_choices(choices: Sequence[str], *, has_several: bool) -> tuple[list[JsonObject], JsonObject]:
    chosen: JsonObject = {"type": "array", "items": {"enum": list(choices)}, "minItems": 1, "uniqueItems": True}
    if not has_several:
        chosen["maxItems"] = 1
    entry: JsonObject = {"name": CHOICES, "field_type": "list", "description": None, "value": None}
    return [entry], {"type": "object", "properties": {CHOICES: chosen}, "required": [CHOICES]}


async def _ask(walk: "Walk", position: Position, question: _Question) -> Answer:
    tree, node, path = walk.tree, position.node, question.path
    approval = tree.approvals.get(path)
    requirement = _requirement(walk, position, question) if approval is None else None
    if requirement is not None:
        data: JsonObject = {"step": position.head, "requirement": requirement.step}
        tree.emit_now(_PAUSED.get(node.kind, EventKind.STEP_PAUSED), walk.run.run_id, data, path)
    intent = Intent(
        path=path,
        kind=StepKind.ASK,
        name=node.name,
        fingerprint=step_fingerprint(StepKind.ASK, walk.run.component.id, node.name, node.place),
        # It has no effect: once the decision is known, writing it down may be repeated.
        is_retry_safe=True,
        asks=requirement,
    )

    async def write_down() -> ToolStep:
        decision: Mapping[str, Json] = {} if approval is None else approval.decision or {}
        details = {"values": decision.get("values") or {}}
        return ToolStep(result="", is_error=False, started_at=clock.now(), seconds=0.0, details=details)

    # One commit stores the question with its intent, and whatever was recorded before: a question that a person can see
    # always has a step that waits for it. If a crash comes first, the next attempt asks under the same id.
    await tree.steps.intend([intent], [])
    decided = await tree.steps.tool(intent, write_down, lambda kind: _requirement(walk, position, question))
    return Answer(is_approved=not decided.is_error, values=(decided.details or {}).get("values", {}))


def _requirement(walk: "Walk", position: Position, question: _Question) -> Requirement:
    tree, run, node, now = walk.tree, walk.run, position.node, clock.now()
    path, kind = question.path, question.kind
    requirement_id = clock.derived_id(tree.salt, f"{path}/{kind.value}")
    approval: JsonObject = {"kind": kind.value, "approval_id": requirement_id}
    if question.fields is not None:
        approval["fields"] = question.fields
    call_id = tree.claim_call_id("", path)
    return Requirement(
        id=requirement_id,
        kind=kind,
        path=path,
        tool=ToolCall(id=call_id, name=node.name, args={}, created_at=now, approval=approval),
        run_id=run.run_id,
        component_kind=run.component.kind,
        component_id=run.component.id,
        component_name=run.component.name,
        created_at=now,
        fields=question.fields,
        schema=question.schema,
        task=message_of(run.prompt)[:MAX_TEXT] or None,
        tool_description=(node.spec.description or "")[:MAX_TEXT] or None,
        # A call with an unknown outcome is decided about as a tool call is.
        step=None if kind is RequirementKind.UNKNOWN_OUTCOME else _step_of_question(position, question),
    )


def _step_of_question(position: Position, question: _Question) -> JsonObject:
    return {**position.head, "step_type": position.node.type_name, **question.details}


def takes_else(position: Position, answer: Answer) -> bool:
    """Whether a condition takes its else steps because a person rejected it."""
    spec = position.node.spec
    return isinstance(spec, Condition) and not answer.is_approved and spec.on_reject == "else"
