"""Which steps a fork takes over: those before a turn, or before a step of a workflow."""

import pytest

from musterd.core.records import ComponentKind
from musterd.store.fork_places import before

WORKFLOW = [
    "p",
    "s0/q",
    "s0",
    "s1/c",
    "s1/s0",
    "s1/s0/t0/m",
    "s1/s1",
    "s2/i0/s0",
    "s2/i0/s1",
    "s2/i0/c",
    "s2/i1/s0",
    "s2/i1/s1",
    "s2/i1/s1/r0/e",
    "s2/i1/s1/r1",
    "s2/i1/c",
    "s3/b0/s0",
    "s3/b0/s1",
    "s3/b1",
    "s4",
    "s4/p",
    "s4/s0",
    "s4/s1",
    "s10",
    "f",
]
"""The paths of a run in the order of its walk: a step, a condition, a loop, branches, a nested workflow, a step."""


def kept(path: str, kind: ComponentKind = "workflow") -> list[str]:
    is_before = before(path, kind)
    assert is_before is not None
    return [other for other in WORKFLOW if is_before(other)]


@pytest.mark.parametrize("path", ["s0", "s1/s1", "s2/i0/s0", "s2/i0/c", "s2/i1/s1", "s3/b0/s0", "s10"])
def test_what_comes_before_a_step_is_kept(path: str) -> None:
    others = WORKFLOW[: WORKFLOW.index(path)]
    if path == "s0":
        others.remove("s0/q")  # its question is asked again
    if path == "s3/b0/s0":
        others.append("s3/b1")
    assert kept(path) == others


def test_other_branches_are_kept() -> None:
    assert kept("s3/b1") == WORKFLOW[: WORKFLOW.index("s3/b1")]
    assert kept("s3/b0/s1") == [*WORKFLOW[: WORKFLOW.index("s3/b0/s1")], "s3/b1"]


def test_the_choice_of_a_container_is_made_again_with_its_steps() -> None:
    assert kept("s1/c") == ["p", "s0/q", "s0"]
    assert kept("s1/s0")[-1] == "s1/c"


def test_in_a_nested_workflow_its_earlier_steps_are_kept_and_its_own_step_is_open() -> None:
    assert kept("s4/s1") == [path for path in WORKFLOW[: WORKFLOW.index("s4/s1")] if path != "s4"]


@pytest.mark.parametrize(
    ("path", "step"), [("s1/s0/t0/m", "s1/s0"), ("s2/i1/s1/r1", "s2/i1/s1"), ("s2/i1/s1/r0/e", "s2/i1/s1")]
)
def test_tries_and_the_work_of_agents_belong_to_their_step(path: str, step: str) -> None:
    assert kept(path) == kept(step)


def test_runs_of_teams_are_cut_before_a_turn() -> None:
    is_before = before("t1/c0/t0/m", "team")
    assert is_before is not None
    paths = ["p", "pre0", "reason/m", "t0/m", "t0/c0/t0/m", "t1/m", "t1/c0", "t2/m"]
    assert [path for path in paths if is_before(path)] == paths[:5]


@pytest.mark.parametrize(("path", "kind"), [("p", "team"), ("reason/m", "agent"), ("p", "workflow"), ("f", "workflow")])
def test_there_is_nothing_to_keep_before_the_first_turn_or_step(path: str, kind: ComponentKind) -> None:
    assert before(path, kind) is None
