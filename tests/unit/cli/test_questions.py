"""What a person is asked in the terminal, and the decisions that answers make."""

from typing import Any

import pytest

from musterd.cli.remote.questions import Questions
from musterd.client import Run


def run_with(list_name: str = "requirements", **fields: Any) -> Run:
    """A run that waits for one decision."""
    requirement = {"id": "q1", "kind": "confirmation", "tool_execution": {"tool_name": "pay", "tool_args": {"n": 1}}}
    return Run.of(
        {"run_id": "r", "session_id": "s", "status": "PAUSED", "team_id": "t", list_name: [{**requirement, **fields}]}
    )


FIELDS = [
    {"name": "city", "field_type": "str", "value": "Rome"},
    {"name": "nights", "field_type": "int", "value": None},
]
CHOICES = [{"question": "Which?", "options": [{"label": "red"}, {"label": "blue"}]}]


@pytest.mark.parametrize(
    ("run", "answers", "decision"),
    [
        (run_with(), ["y"], {"confirmation": True}),
        (run_with(), ["", "yes"], {"confirmation": True}),
        (run_with(), ["n", ""], {"confirmation": False}),
        (run_with(), ["n", "too much"], {"confirmation": False, "confirmation_note": "too much"}),
        (run_with(), ["e", "2", "y"], {"confirmation": True, "user_input_schema": [{"name": "n", "value": 2}]}),
        (
            run_with(),
            ["e", "2", "e", "", "y"],
            {"confirmation": True, "user_input_schema": [{"name": "n", "value": 2}]},
        ),
        (run_with(), ["e", "2", "n", ""], {"confirmation": False}),
        (run_with(), ["l"], None),
        (run_with(kind="external_execution"), ["y", "r", "done"], {"external_execution_result": "done"}),
        (run_with(kind="unknown_outcome"), ["r", "paid"], {"external_execution_result": "paid"}),
        (run_with(kind="unknown_outcome"), ["a"], {"confirmation": True}),
        (run_with(kind="unknown_outcome"), ["y", "yes", "again"], {"confirmation": True}),
        (run_with(kind="unknown_outcome"), ["y", "l"], None),
        (
            run_with(kind="user_input", user_input_schema=FIELDS),
            ["f", "", "3"],
            {"user_input_schema": [{"name": "city", "value": "Rome"}, {"name": "nights", "value": 3}]},
        ),
        (
            run_with(kind="user_input", user_feedback_schema=CHOICES),
            ["f", "red, blue"],
            {"user_feedback_schema": [{"question": "Which?", "selected_options": ["red", "blue"]}]},
        ),
        (run_with("step_requirements", step_name="draft"), ["y"], {"confirmed": True}),
        (run_with("step_requirements", step_name="draft"), ["n"], {"confirmed": False}),
        (
            run_with("step_requirements", step_name="draft", requires_user_input=True, user_input_schema=FIELDS),
            ["f", "Oslo", "2"],
            {"user_input": {"city": "Oslo", "nights": 2}},
        ),
        (
            run_with("step_requirements", step_name="way", available_choices=["a", "b"]),
            ["c", "a,b"],
            {"selected_choices": ["a", "b"]},
        ),
        (run_with("error_requirements", step_name="draft"), ["y"], {"decision": "retry"}),
        (run_with("error_requirements", step_name="draft"), ["n"], {"decision": "skip"}),
    ],
)
def test_answers_make_a_decision(run: Run, answers: list[str], decision: dict[str, Any] | None) -> None:
    replies = iter(answers)
    decisions = Questions(lambda _prompt: next(replies)).decisions(run)
    assert [made.item for made in decisions] == ([] if decision is None else [{"id": "q1", **decision}])
    assert next(replies, None) is None


def test_what_was_put_off_is_not_asked_again() -> None:
    replies = iter(["l"])
    questions = Questions(lambda _prompt: next(replies))
    for _ in range(2):
        assert questions.decisions(run_with()) == []


def test_the_end_of_the_input_puts_off(capsys: pytest.CaptureFixture[str]) -> None:
    def end(_prompt: str) -> str:
        raise EOFError

    assert Questions(end).decisions(run_with(member_agent_name="Bob\x1b[2J")) == []
    assert "Bob [2J wants to call pay(n=1)" in capsys.readouterr().err


def test_changed_values_are_shown_before_they_are_sent(capsys: pytest.CaptureFixture[str]) -> None:
    replies = iter(["e", "n=2", "e", "2", "y"])
    [decision] = Questions(lambda _prompt: next(replies)).decisions(run_with())
    shown = capsys.readouterr().err
    assert 'The call is now pay(n="n=2")' in shown
    assert "The call is now pay(n=2)" in shown
    assert decision.item["user_input_schema"] == [{"name": "n", "value": 2}]


def test_the_question_about_a_call_that_was_cut_off_says_what_each_choice_means(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Questions(lambda _prompt: "l").decisions(run_with(kind="unknown_outcome"))
    assert capsys.readouterr().err.splitlines()[-5:] == [
        "This call was cut off, and may have happened: pay(n=1)",
        "  result   it happened: type what it returned",
        "  again    it did not happen: make the call again",
        "  no       do not make it again; the model is told",
        "  later    decide later; the run waits",
    ]


@pytest.mark.parametrize(
    ("run", "meaning"),
    [
        (run_with(), "yes      make the call"),
        (run_with(kind="unknown_outcome"), "again    it did not happen: make the call again"),
        (run_with("step_requirements", step_name="draft"), "yes      begin the step"),
        (run_with("error_requirements", step_name="draft"), "no       skip it"),
    ],
)
def test_another_reply_is_answered_with_what_can_be_chosen(
    run: Run, meaning: str, capsys: pytest.CaptureFixture[str]
) -> None:
    replies = iter(["help", "l"])
    assert Questions(lambda _prompt: next(replies)).decisions(run) == []
    assert f"  {meaning}" in capsys.readouterr().err.splitlines()
