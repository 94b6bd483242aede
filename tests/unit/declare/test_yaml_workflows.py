"""Workflows in YAML: the same trees as from Python, and the line of each problem."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from musterd.core.errors import DeclarationError
from musterd.declare import Registry, load

if TYPE_CHECKING:
    from tests.unit.declare.conftest import Project

FUNCTIONS = """
    from musterd import Agent, Condition, Loop, Parallel, Router, Step, Steps, Team, Workflow, WorkflowAgent
    from pydantic import BaseModel

    class Topic(BaseModel):
        topic: str

    def shout(step_input):
        return "x"

    writer = Agent(id="writer", model="scripted")
    desk = Team(id="desk", model="scripted", members=[writer])
    inner = Workflow(id="inner", steps=[Step(name="only", executor=shout)])
    news = Workflow(
        id="news",
        input_schema=Topic,
        agent=WorkflowAgent(model="scripted", instructions="Decide.", num_history_runs=2),
        steps=[
            writer,
            Step(name="loud", executor=shout, max_retries=1, retry_safe=True),
            Condition(name="rainy", evaluator="true", steps=[desk], else_steps=[inner]),
            Parallel("both", writer, Steps(name="group", steps=[desk])),
            Router(name="way", choices=[writer, desk], selector="'desk'"),
            Loop(name="again", steps=[writer], max_iterations=2, end_condition="all_success"),
        ],
    )
"""
FILE = """
    agents:
      - {id: writer, model: scripted}
    teams:
      - {id: desk, model: scripted, members: [writer]}
    workflows:
      - id: news
        input_schema: words:Topic
        agent: {model: scripted, instructions: Decide., num_history_runs: 2}
        steps:
          - writer
          - {name: loud, executor: "words:shout", max_retries: 1, retry_safe: true}
          - condition: {name: rainy, evaluator: "true", steps: [desk], else_steps: [inner]}
          - parallel: {name: both, steps: [writer, {steps: {name: group, steps: [desk]}}]}
          - router: {name: way, choices: [writer, desk], selector: "'desk'"}
          - loop: {name: again, steps: [writer], max_iterations: 2, end_condition: all_success}
      - id: inner
        steps:
          - {name: only, executor: "words:shout"}
"""


def test_a_workflow_in_yaml_is_that_in_python(project: Project) -> None:
    project("words.py", FUNCTIONS)
    project("teams.yaml", FILE)
    from_python, from_yaml = load("words.py"), load("teams.yaml")
    for key in ("news", "inner"):
        assert places(from_yaml, key) == places(from_python, key)
        assert from_yaml.workflows[key].definition_hash == from_python.workflows[key].definition_hash
    assert [component.id for component in from_yaml.workflows["news"].members] == [
        *("writer", "desk", "inner", "news-workflow-agent")
    ]


def places(registry: Registry, workflow_id: str) -> list[tuple[str, str, str, str]]:
    nodes = registry.workflows[workflow_id].nodes()
    return [(node.place, node.kind, node.name, node.step_id) for node in nodes]


START = "agents:\n- {id: a, model: scripted}\nworkflows:\n- id: w\n"


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ("  stps: [a]", "t.yaml:5: workflow 'w' has no field 'stps' — did you mean 'steps'?"),
        ("  steps: []", "t.yaml:4: workflow 'w' has no steps — list some in steps="),
        ("  steps:\n  - b", "t.yaml:6: there is no agent, team or workflow 'b' — the file declares 'a', 'w'"),
        ("  steps:\n  - 7", "t.yaml:6: a step of workflow 'w': 'steps' is not valid"),
        (
            "  steps:\n  - name: x\n    agnt: a",
            "t.yaml:7: a step of workflow 'w' has no field 'agnt' — did you mean 'agent'?",
        ),
        (
            "  steps:\n  - lop: {steps: [a]}",
            "t.yaml:6: a step of workflow 'w' has no field 'lop' — did you mean 'loop'?",
        ),
        (
            "  steps:\n  - loop:\n      stps: [a]",
            "t.yaml:7: a step of workflow 'w' has no field 'stps' — did you mean 'steps'?",
        ),
        (
            "  steps:\n  - loop:\n      steps:\n      - {agent: a, on_error: skp}",
            "t.yaml:8: a step of workflow 'w': 'on_error' is not valid — Input should be 'fail', 'skip' or 'pause', "
            "not 'skp' (did you mean 'skip'?)",
        ),
        ("  steps:\n  - {agent: w}", "t.yaml:5: workflow 'w' is a step of itself (w → w)"),
        ("  steps: [{loop: {steps: [w]}}]", "t.yaml:5: workflow 'w' is a step of itself (w → w) — remove it from one"),
        ("  steps:\n  - team: a", "t.yaml:6: this step: 'team' is an Agent — use a Team(…)"),
        ("  steps:\n  - executor: nix_da:x", "t.yaml:6: there is no module 'nix_da' — looked in"),
        (
            "  steps:\n  - condition:\n      evaluator: inptu == 'x'\n      steps: [a]",
            "t.yaml:6: this condition: the evaluator uses the unknown name 'inptu'",
        ),
        (
            "  steps: [a]\n  agent:\n    modle: scripted",
            "t.yaml:7: the agent of workflow 'w' has no field 'modle' — did you mean 'model'?",
        ),
        ("  steps: [a]\n  agent: {num_history_runs: 2}", "t.yaml:6: this workflow agent has no model — set model="),
        ("  steps: [a]\n  agent: a", "t.yaml:6: workflow 'w': 'agent' is not valid"),
        ("  steps: [a, a]", "t.yaml:4: workflow 'w': 'steps' has two steps named 'a'"),
    ],
)
def test_a_wrong_line_is_named(project: Project, steps: str, says: str) -> None:
    project("t.yaml", START + steps)
    with pytest.raises(DeclarationError) as refused:
        load("t.yaml")
    assert refused.value.message.startswith(says)
    assert "\n" not in refused.value.message
