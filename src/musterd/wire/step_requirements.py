"""Questions of a workflow's steps as AgentOS shows them, and the decisions that clients send about them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.errors import InvalidInput
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.requirements import Decision, Requirement, RequirementKind, Verdict

CHOICES = "selected_choices"
"""The field of a question that lets a person choose the steps of a router."""

_ALSO_SENT = (
    *("rejection_reason", "rejection_feedback", "requires_output_review", "output_review_message", "step_output"),
    *("is_post_execution", "edited_output", "retry_count", "max_retries", "timeout_at", "on_timeout"),
    *("requires_executor_input", "executor_requirements", "executor_id", "executor_name", "executor_type"),
    *("executor_run_id", "executor_session_id"),
)
"""Fields of a step's requirement that are not shown here: later versions of AgentOS's client send them in each."""
_StepIndex = Annotated[
    int | list[int] | None, Field(description="Its position; below a container the container's and its own.")
]


class StepField(TypedDict):
    """A value that a person fills in before a step."""

    name: str
    field_type: Annotated[str, Field(examples=["str", "int", "float", "bool"])]
    description: str | None
    value: Json
    required: bool
    allowed_values: NotRequired[list[Json] | None]


class _Question(TypedDict):
    id: Annotated[str, Field(description="Sent back with the decision, or `step_id` in place of it.")]
    step_id: str
    step_name: str
    step_index: _StepIndex
    expires_at: NotRequired[
        Annotated[float, Field(description="Unix time at which the default decision applies or the run fails.")]
    ]


class _Form(TypedDict, total=False):
    user_input_schema: list[StepField]


class StepRequirement(_Question, _Form):
    """A step that waits for a person before it begins."""

    step_type: Annotated[str, Field(examples=["Step", "Router"])]
    requires_confirmation: bool
    confirmation_message: str | None
    confirmed: Annotated[bool | None, Field(description="The decision of a confirmation.")]
    on_reject: Annotated[str | None, Field(description="What a rejection does: `skip`, `cancel` or `else`.")]
    requires_user_input: bool
    user_input_message: str | None
    user_input: Annotated[JsonObject | None, Field(description="The decision of a form: the values by name.")]
    requires_route_selection: bool
    available_choices: list[str] | None
    allow_multiple_selections: bool
    selected_choices: Annotated[list[str] | None, Field(description="The decision of a router: names of choices.")]
    step_input: JsonObject | None


class ErrorRequirement(_Question):
    """A step that failed, and whose `on_error` is `pause`."""

    error_message: str
    error_type: str | None
    retry_count: int
    decision: Annotated[str | None, Field(description="`retry` or `skip`.")]


class StepQuestions(TypedDict, total=False):
    """What a paused workflow's own steps wait for."""

    step_requirements: list[StepRequirement]
    error_requirements: list[ErrorRequirement]


def step_questions(stored: Iterable[Mapping[str, Any]]) -> StepQuestions:
    """The questions of steps among the requirements of a run, without empty lists.

    :param stored: each as :meth:`Requirement.as_json` wrote it.
    """
    questions: StepQuestions = {}
    for item in stored:
        requirement = Requirement.from_json(dict(item))
        step = requirement.step
        if step is None:
            continue
        if requirement.list_name == "error_requirements":
            questions.setdefault("error_requirements", []).append(_error_requirement(requirement, step))
        else:
            questions.setdefault("step_requirements", []).append(step_requirement(requirement, step))
    return questions


def step_requirement(requirement: Requirement, step: JsonObject) -> StepRequirement:
    """A step that waits for a person before it begins, with the keys of AgentOS and then our own."""
    is_form = requirement.kind is RequirementKind.USER_INPUT
    is_route = is_form and step.get("available_choices") is not None
    form: _Form = {}
    if is_form and not is_route:
        form["user_input_schema"] = cast(list[StepField], requirement.fields or [])
    return {
        **_question(requirement, step),
        "step_type": step.get("step_type") or "Step",
        "requires_confirmation": bool(step.get("requires_confirmation", not is_form)),
        "confirmation_message": step.get("confirmation_message"),
        "confirmed": None,
        "on_reject": step.get("on_reject"),
        "requires_user_input": is_form and not is_route,
        "user_input_message": step.get("user_input_message"),
        **form,
        "user_input": None,
        "requires_route_selection": is_route,
        "available_choices": step.get("available_choices"),
        "allow_multiple_selections": bool(step.get("allow_multiple_selections")),
        "selected_choices": None,
        "step_input": step.get("step_input"),
    }


def _error_requirement(requirement: Requirement, step: JsonObject) -> ErrorRequirement:
    return {
        **_question(requirement, step),
        "error_message": step["error_message"],
        "error_type": step.get("error_type"),
        "retry_count": step.get("retry_count") or 0,
        "decision": None,
    }


def _question(requirement: Requirement, step: JsonObject) -> _Question:
    question: _Question = {
        "id": requirement.id,
        "step_id": step["step_id"],
        "step_name": step["step_name"],
        "step_index": step.get("step_index"),
    }
    if requirement.expires_at is not None:
        question["expires_at"] = requirement.expires_at
    return question


def unknown_fields(item: Mapping[str, Any], known: Collection[str]) -> list[str]:
    """The fields of an item that are not among the known ones, without those that are null."""
    return [name for name, value in item.items() if value is not None and name not in known]


def step_decision(item: Mapping[str, Any], field: str) -> Decision | None:
    """The decision in one item of ``step_requirements`` or ``error_requirements``; None if it has none yet.

    :raises InvalidInput: it names no step, or its decision has the wrong form.
    """
    key = item.get("id") or item.get("step_id")
    if not isinstance(key, str) or not key:
        raise InvalidInput.at(("body", field), "missing", "An item has no id and no step_id")
    if field == "error_requirements":
        return _error_decision(key, item)
    confirmed, choices, values = item.get("confirmed"), item.get(CHOICES), item.get("user_input")
    if confirmed is False:
        note = item.get("rejection_reason")
        return Decision(key=key, verdict=Verdict.REFUSED, note=note if isinstance(note, str) else None, field=field)
    if choices is not None:
        choices = [choices] if isinstance(choices, str) else choices
        if not isinstance(choices, list) or not all(isinstance(name, str) for name in choices):
            raise InvalidInput.at(("body", field), "list_type", "selected_choices is a list of names")
        return Decision(key=key, verdict=Verdict.RUN, values={CHOICES: choices}, field=field)
    values = _form_values(item) if values is None else values
    if values is not None:
        if not isinstance(values, dict):
            raise InvalidInput.at(("body", field), "dict_type", "user_input is an object")
        return Decision(key=key, verdict=Verdict.RUN, values=values, field=field)
    if confirmed is None:
        return _undecided(key, field, unknown_fields(item, {*StepRequirement.__annotations__, *_ALSO_SENT}))
    if confirmed is not True:
        raise InvalidInput.at(("body", field), "bool_type", "confirmed is true or false")
    return Decision(key=key, verdict=Verdict.RUN, field=field)


def _error_decision(key: str, item: Mapping[str, Any]) -> Decision | None:
    field, decision = "error_requirements", item.get("decision")
    if decision is None:
        return _undecided(key, field, unknown_fields(item, {*ErrorRequirement.__annotations__, "step_input"}))
    if decision not in ("retry", "skip"):
        raise InvalidInput.at(("body", field), "enum", "decision is `retry` or `skip`")
    return Decision(key=key, verdict=Verdict.RUN if decision == "retry" else Verdict.REFUSED, field=field)


def _undecided(key: str, field: str, unknown: Sequence[str]) -> Decision | None:
    """What an item without a decision is: None if it is as it was shown. Else it was meant to decide something."""
    if not unknown:
        return None
    return Decision(key=key, verdict=Verdict.RUN, is_explicit=False, field=field, unknown_fields=unknown)


def _form_values(item: Mapping[str, Any]) -> JsonObject | None:
    """The values that were filled in in ``user_input_schema``, which clients may send in place of ``user_input``."""
    fields = item.get("user_input_schema")
    if not isinstance(fields, list):
        return None
    filled = [field for field in fields if isinstance(field, dict) and field.get("value") is not None]
    return {str(field.get("name")): field["value"] for field in filled} or None
