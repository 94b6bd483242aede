"""What functions of a workflow get: earlier results by name, contents, and the history of the session."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from musterd import StepInput, StepOutput
from musterd.declare.workflow import WorkflowSession


class Report(BaseModel):
    title: str


def output(name: str, content: object, kind: str = "Step", *steps: StepOutput) -> StepOutput:
    return StepOutput(step_name=name, content=content, step_type=kind, steps=steps or None)


RESEARCH = output("research", "facts")
LOOP = output("again", "Loop again completed", "Loop", output("draft", "draft 1"), output("check", "good"))
BOTH = output(
    "both", "## Parallel", "Parallel", output("left", "L"), output("rainy", "c", "Condition", output("inner", "I"))
)
INPUT = StepInput(input="hello", previous_step_outputs={"research": RESEARCH, "both": BOTH, "again": LOOP})


def test_results_are_found_by_name_at_any_depth() -> None:
    assert INPUT.get_step_output("research") is RESEARCH
    assert INPUT.get_step_content("draft") == "draft 1"
    assert INPUT.get_step_content("inner") == "I"
    assert INPUT.get_step_output("missing") is None
    assert INPUT.get_step_content("missing") is None
    assert StepInput(previous_step_outputs=None).get_step_output("research") is None


def test_the_content_of_a_container_is_that_of_its_last_step() -> None:
    assert INPUT.get_step_content("again") == "good"
    assert INPUT.get_step_content("both") == {"left": "L", "inner": "I"}
    assert INPUT.get_last_step_content() == "good"
    assert StepInput().get_last_step_content() is None


def test_all_contents_stand_under_their_names() -> None:
    assert INPUT.get_all_previous_content() == (
        "=== research ===\nfacts\n\n=== both ===\n## Parallel\n\n=== again ===\nLoop again completed"
    )
    assert StepInput().get_all_previous_content() == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("hello", "hello"),
        ({"a": "ä"}, '{\n  "a": "ä"\n}'),
        (["a"], '[\n  "a"\n]'),
        (Report(title="T"), '{\n  "title": "T"\n}'),
        (7, "7"),
    ],
)
def test_the_input_is_a_text_if_that_is_asked_for(value: object, text: str | None) -> None:
    assert StepInput(input=value).get_input_as_string() == text


def test_the_history_is_that_of_the_last_runs() -> None:
    session = WorkflowSession(session_id="s", history=[("q1", "a1"), ("q2", ""), ("q3", "a3")])
    step_input = StepInput(workflow_session=session)
    assert step_input.get_workflow_history(2) == [("q2", ""), ("q3", "a3")]
    assert step_input.get_workflow_history() == [("q1", "a1"), ("q2", ""), ("q3", "a3")]
    assert (step_input.get_workflow_history(0), step_input.get_workflow_history(9)) == ([], session.history)
    assert step_input.get_workflow_history_context(2) == (
        "<workflow_history_context>\n[Workflow Run-1]\nUser input: q2\n\n"
        "[Workflow Run-2]\nUser input: q3\nWorkflow output: a3\n\n</workflow_history_context>\n"
    )
    assert StepInput().get_workflow_history_context() is None
    assert step_input.get_workflow_history_context(0) is None
