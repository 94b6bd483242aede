"""CEL texts: checked when they are declared, evaluated with what a run has."""

from __future__ import annotations

import importlib.util
import itertools
from typing import Any

import pytest

from musterd import Condition, Loop, Router, StepInput, StepOutput
from musterd.core import clock
from musterd.core.errors import DeclarationError
from musterd.declare.workflow.cel import evaluate_cel
from musterd.declare.workflow.conditions import loop_values, step_values


def step(step_input: StepInput) -> str:
    return "x"


STEP_INPUT = StepInput(
    input="an urgent case",
    previous_step_content={"score": 7},
    previous_step_outputs={"research": StepOutput(content="rain"), "none": StepOutput()},
    additional_data={"priority": 7, "tags": ["a", "b"], "nothing": None},
)
OUTPUTS = [StepOutput(step_name="draft", content="d"), StepOutput(step_name="check", content="good", success=False)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ('input.contains("urgent")', True),
        ("additional_data.priority > 7", False),
        ('"a" in additional_data.tags', True),
        ("additional_data.nothing == null", True),
        ('previous_step_outputs.research == "rain" && previous_step_outputs.none == ""', True),
        ("previous_step_outputs.exists(name, name == 'research')", True),
        ('previous_step_content.contains("score")', True),
        ("session_state.count < 3", True),
        ("has(session_state.missing)", False),
        ("size(input) + int(1.0)", 15),
        ('input.contains("urgent") ? "fast" : "slow"', "fast"),
        ("additional_data.tags", ["a", "b"]),
        ("additional_data", {"priority": 7, "tags": ["a", "b"], "nothing": None}),
    ],
)
def test_a_text_has_the_value_of_the_run(text: str, value: Any) -> None:
    Condition(name="c", evaluator=text, steps=[step])
    evaluated = evaluate_cel(text, step_values(STEP_INPUT, {"count": 2}))
    assert (evaluated, type(evaluated)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("current_iteration == max_iterations", False),
        ("all_success", False),
        ('last_step_content.contains("good")', True),
        ('step_outputs.draft == "d"', True),
    ],
)
def test_an_end_condition_sees_the_iteration(text: str, value: bool) -> None:
    Loop(name="l", steps=[step], end_condition=text)
    assert evaluate_cel(text, loop_values(OUTPUTS, 2, 3)) is value


def test_a_loop_that_has_no_results_can_end() -> None:
    assert evaluate_cel("last_step_content == '' && all_success", loop_values([], 1, 3)) is True


@pytest.mark.parametrize("text", ["session_state.missing == 1", "input.field", "1 / 0 == 1", "size(input) > 'a'"])
def test_a_text_that_does_not_fit_the_run_fails_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"^The CEL text .+ cannot be evaluated: .{3,200}$"):
        evaluate_cel(text, step_values(STEP_INPUT, {}))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("session_state.list.all(x, session_state.list.all(y, x != y || true))", None),
        ("session_state.list.all(x, x == 0) || true", None),  # not ignored, as other problems of a part are
        ("session_state.list == [1]", None),
        ("input == 'an urgent case'", True),  # what a text does not use costs nothing
    ],
)
def test_a_text_that_takes_too_long_fails_in_words(
    monkeypatch: pytest.MonkeyPatch, text: str, value: bool | None
) -> None:
    seconds = itertools.count(step=0.001)  # each look at the clock takes so long
    monkeypatch.setattr(clock, "thread_seconds", lambda: next(seconds))
    values = step_values(STEP_INPUT, {"list": [0] * 1990})
    if value is not None:
        assert evaluate_cel(text, values) is value
        return
    values = step_values(STEP_INPUT, {"list": [0] * (1990 if "all" in text else 2010)})
    with pytest.raises(ValueError, match=r"^The CEL text .+ it takes more than 2 s with values of this size$"):
        evaluate_cel(text, values)


def refusal(text: str) -> str:
    with pytest.raises(DeclarationError) as refused:
        Condition(name="c", evaluator=text, steps=[step])
    return refused.value.message.partition(": ")[2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("input.contains(", "condition 'c': the evaluator is not valid CEL: 'input.contains(' in column 15 — write it"),
        ("", "condition 'c': the evaluator is not valid CEL: '' in column 1 — write it"),
        ("inptu == 'x'", "condition 'c': the evaluator uses the unknown name 'inptu': \"inptu == 'x'\" — did you mean"),
        ("is_urgent", "condition 'c': the evaluator uses the unknown name 'is_urgent': 'is_urgent' — use 'input',"),
        ("[1].exists(x, [2].all(y, x > y && z > y))", "condition 'c': the evaluator uses the unknown name 'z'"),
        ("input.exists()", "condition 'c': the evaluator is not valid CEL: 'input.exists()' calls 'exists' without a"),
        (
            "[1].map(1, 2)",
            "condition 'c': the evaluator is not valid CEL: '[1].map(1, 2)' calls 'map' without a variable",
        ),
        ("[1].map(input + 'x', 2)", "condition 'c': the evaluator is not valid CEL"),
        ("[1].exists(x, y)", "condition 'c': the evaluator uses the unknown name 'y'"),
        ("current_iteration > 1", "condition 'c': the evaluator uses the unknown name 'current_iteration'"),
    ],
)
def test_a_wrong_text_is_refused_at_its_declaration(text: str, says: str) -> None:
    assert refusal(text).startswith(says)


def test_a_selector_may_use_the_names_of_the_choices() -> None:
    Router(name="r", choices=[step], selector="step_choices[0]")
    values = {**step_values(STEP_INPUT, {}), "step_choices": ["step"]}
    assert evaluate_cel("step_choices[0]", values) == "step"


def test_without_the_library_a_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert refusal("true").startswith(
        "condition 'c': the evaluator is the CEL text 'true', which requires the extra 'cel' — pip install "
    )
