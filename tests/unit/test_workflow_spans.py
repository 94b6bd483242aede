"""The spans of a workflow's containers: each step is read once, however many containers there are."""

import json
from dataclasses import replace

from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepKind, StepRow, StepState
from musterd.features.traces.records import SpanStatus
from musterd.features.traces.workflow_spans import container_count, container_spans
from tests.support.cpu_time import cpu_at_most


def step(path: str, started_at: float, ended_at: float | None, state: StepState = StepState.COMPLETED) -> StepRow:
    return StepRow(
        root_id="r",
        path=path,
        kind=StepKind.FUNCTION,
        state=state,
        fingerprint="",
        attempt=1,
        started_at=started_at,
        ended_at=ended_at,
    )


def node(kind: str, number: int) -> JsonObject:
    return {"kind": kind, "name": f"n{number}", "step_id": f"id{number}", "step_name": f"n{number}"}


def test_a_container_covers_all_steps_below_it() -> None:
    nodes = {"s0": node("loop", 0), "s0/i0/b0": node("parallel", 1), "s1": node("step", 2), "s10": node("steps", 3)}
    steps = [
        step("s0/i0/b0/s0", 2.0, 3.0),
        step("s0/i0/b0/s1", 1.0, 9.0, StepState.FAILED),
        step("s1", 0.0, 20.0),
        step("s10/s0", 5.0, 6.0),
        step("s10/s1", 6.0, None),
    ]
    spans = container_spans("r", nodes, steps)
    assert {path: (span.started_at, span.ended_at, span.status) for path, span in spans.items()} == {
        "s0": (1.0, 9.0, SpanStatus.UNSET),
        "s0/i0/b0": (1.0, 9.0, SpanStatus.UNSET),
        "s10": (5.0, None, SpanStatus.UNSET),
    }


def test_steps_of_another_run_do_not_count() -> None:
    nodes = {"s0": node("steps", 0), "s1": node("loop", 1)}
    copied = [replace(step(path, 1.0, 2.0), attempt=0) for path in ("s0/s0", "s1/i0/b0")]
    spans = container_spans("r", nodes, [*copied, step("s1/i1/b0", 100.0, 101.0)])
    assert {path: (span.started_at, span.ended_at) for path, span in spans.items()} == {"s1": (100.0, 101.0)}


def test_many_containers_take_little_time() -> None:
    count = 4_000
    nodes = {f"s0/i{number}/b0": node("parallel", number) for number in range(count)}
    steps = [step(f"s0/i{number}/b0/s0", 1.0, 2.0) for number in range(count)]
    with cpu_at_most(0.5):  # it was 10 seconds
        assert len(container_spans("r", nodes, steps)) == count


def test_many_workflows_in_a_workflow_take_little_time() -> None:
    count = 4_000
    plan = json.loads('[{"kind": "steps", "name": "a", "step_id": "1", "step_name": "a", "steps": [{"kind": "step"}]}]')
    plans: dict[str, list[JsonObject]] = {"": [], **{f"s0/i{number}/s0": plan for number in range(count)}}
    paths = [f"s0/i{number}/s0/s0/s0" for number in range(count)]
    with cpu_at_most(0.5):  # it was 6 seconds
        assert container_count(plans, paths) == count
