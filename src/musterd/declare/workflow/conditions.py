"""Conditions of a workflow: evaluators, selectors and end conditions, which are functions, booleans or CEL texts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from musterd.declare.source_location import Place, declaration_error, quoted_list
from musterd.declare.workflow.cel import check_cel
from musterd.declare.workflow.step_io import StepInput, StepOutput, as_text

OPTIONAL_PARAMETERS = ("run_context", "session_state")
"""The parameters that functions of a workflow may have after the first one."""

STEP_NAMES = ("input", "previous_step_content", "previous_step_outputs", "additional_data", "session_state")
"""The names in the CEL texts of a condition."""
ROUTER_NAMES = (*STEP_NAMES, "step_choices")
"""The names in the CEL texts of a router."""
LOOP_NAMES = ("current_iteration", "max_iterations", "all_success", "last_step_content", "step_outputs")
"""The names in the CEL texts of a loop's end condition."""


def step_values(step_input: StepInput, session_state: Mapping[str, Any]) -> dict[str, Any]:
    """The values of :data:`STEP_NAMES`."""
    outputs = step_input.previous_step_outputs or {}
    return {
        "input": as_text(step_input.input) or "",
        "previous_step_content": as_text(step_input.previous_step_content) or "",
        "previous_step_outputs": {name: as_text(output.content) or "" for name, output in outputs.items()},
        "additional_data": dict(step_input.additional_data or {}),
        "session_state": dict(session_state),
    }


def loop_values(outputs: Sequence[StepOutput], iteration: int, max_iterations: int) -> dict[str, Any]:
    """The values of :data:`LOOP_NAMES`.

    :param outputs: the results of the iteration.
    :param iteration: its number, from 1.
    """
    contents = {
        output.step_name or f"step_{index}": as_text(output.content) or "" for index, output in enumerate(outputs)
    }
    return {
        "current_iteration": iteration,
        "max_iterations": max_iterations,
        "all_success": all(output.success for output in outputs),
        "last_step_content": (as_text(outputs[-1].content) or "") if outputs else "",
        "step_outputs": contents,
    }


def check_function(function: Callable[..., Any], label: str, place: Place, *, optional: Sequence[str] = ()) -> None:
    """Check that ``function`` can be called with one positional argument.

    :param label: the function as error messages name it: "step 'shout': the executor".
    :param optional: further parameters that it may have, in addition to :data:`OPTIONAL_PARAMETERS`.
    :raises DeclarationError: it takes no argument, or has another required parameter.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a C function without a signature
        return
    accepted = (*OPTIONAL_PARAMETERS, *optional)
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    takes_one = parameters and (
        parameters[0].kind in positional or parameters[0].kind is inspect.Parameter.VAR_POSITIONAL
    )
    if not takes_one:
        raise declaration_error(
            place, f"{label} takes no argument", "give it one parameter, like `step_input: StepInput`"
        )
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for parameter in parameters[1:]:
        is_required = parameter.default is inspect.Parameter.empty and parameter.kind not in variable
        if is_required and parameter.name not in accepted:
            problem = f"{label} has the unknown parameter '{parameter.name}'"
            raise declaration_error(place, problem, f"after the first parameter use only {quoted_list(accepted)}")


def check_condition(
    condition: Callable[..., Any] | bool | str | None,
    label: str,
    names: Sequence[str],
    place: Place,
    *,
    optional: Sequence[str] = (),
) -> None:
    """Check a condition: the parameters of a function, the syntax and the names of a CEL text.

    :param names: the names that a CEL text may use.
    :param optional: further parameters that a function may have.
    :raises DeclarationError: it cannot be evaluated.
    """
    if isinstance(condition, str):
        check_cel(condition, label, names, place)
    elif callable(condition):
        check_function(condition, label, place, optional=optional)
