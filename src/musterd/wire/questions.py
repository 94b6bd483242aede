"""What a run waits for, in one line of a list: who asks, and for what."""

from collections.abc import Sequence

from musterd.core.requirements import Requirement, RequirementKind


def question_text(requirement: Requirement) -> str:
    """The question that a person answers."""
    return _step_question(requirement) or _call_question(requirement)


def _step_question(requirement: Requirement) -> str | None:
    """The question that a step of a workflow asks; None: it is about a call."""
    step, name = requirement.step, requirement.tool.name
    if step is None or requirement.kind is RequirementKind.UNKNOWN_OUTCOME:
        return None
    if message := step.get("user_input_message") or step.get("confirmation_message"):
        return str(message)
    if "error_message" in step:
        return f"Try {name} again?"
    if step.get("available_choices"):
        return f"Which {'steps' if step.get('allow_multiple_selections') else 'step'} should {name} run?"
    return f"May {requirement.component_name} run {name}?" if requirement.kind is RequirementKind.CONFIRMATION else None


def _call_question(requirement: Requirement) -> str:
    asker, name = requirement.component_name, requirement.tool.name
    match requirement.kind:
        case RequirementKind.CONFIRMATION:
            return f"May {asker} call {name}?"
        case RequirementKind.EXTERNAL_EXECUTION:
            return f"{asker} needs the result of {name}"
        case RequirementKind.UNKNOWN_OUTCOME:
            return f"{asker}: did the call of {name} happen?"
    fields = requirement.fields or []
    if questions := [str(field["name"]) for field in fields if "options" in field]:
        return f"{asker} asks: {questions[0]}"
    missing = [str(field["name"]) for field in fields if field.get("value") is None]
    return f"{asker} needs {_listed(missing) or 'values'} for {name}"


def _listed(names: Sequence[str]) -> str:
    """`seat`, `seat and bags`, `seat, bags and meal`."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
