"""What a run tree has used, counted from its steps."""

import json

from musterd.core.records import StepKind, StepRow, StepState, Usage
from musterd.core.totals import Totals


def step(path: str, kind: StepKind, state: StepState = StepState.COMPLETED, **changes: object) -> StepRow:
    values: dict[str, object] = {"fingerprint": "f", "attempt": 1, "started_at": 1.0, "result": "{}", **changes}
    values.setdefault("tries", int(kind is StepKind.MODEL))
    return StepRow(root_id="r1", path=path, kind=kind, state=state, **values)  # type: ignore[arg-type]


def test_each_call_counts_once_and_members_are_not_calls() -> None:
    usage = Usage(input_tokens=10, output_tokens=5, reasoning_tokens=1, cache_read_tokens=2, cache_write_tokens=3)
    failed = json.dumps([{"attempt": 1, "outcome": "failed"}, {"attempt": 2, "outcome": "cut_off"}])
    steps = [
        step("p", StepKind.PREPARE),
        step("pre0", StepKind.HOOK),
        step("t0/m", StepKind.MODEL, usage=usage),
        step("t0/c0", StepKind.DELEGATE, StepState.FAILED),
        step("t0/c0/0", StepKind.DELEGATE, StepState.FAILED),
        step("t0/c0/0/t0/m", StepKind.MODEL, StepState.FAILED, result=None),
        step("t0/c1", StepKind.TOOL, StepState.FAILED),
        step("t0/c2", StepKind.TOOL, StepState.UNKNOWN),
        step("t0/c3", StepKind.TOOL, StepState.STARTED, result=None),
        step("t0/c4", StepKind.TOOL, StepState.FAILED, result=None),  # it was closed with its member
        step("t1/m", StepKind.MODEL, usage=usage, earlier=failed),
    ]
    totals = Totals.of(steps)
    totals.cost = 0.1 + 0.2
    assert totals.as_json() == {
        "input_tokens": 20,
        "output_tokens": 10,
        "reasoning_tokens": 2,
        "cache_read_tokens": 4,
        "cache_write_tokens": 6,
        "cost": 0.3,
        "model_calls": 4,
        "tool_calls": 3,
        "delegations": 1,
        "failed_calls": 3,
    }


def test_an_answer_without_a_call_of_the_model_is_no_model_call() -> None:
    totals = Totals.of([step("t0/m", StepKind.MODEL), step("t1/m", StepKind.MODEL, tries=0)])
    assert totals.model_calls == 1


def test_without_a_price_the_cost_is_unknown() -> None:
    totals = Totals()
    assert totals.as_json()["cost"] == 0.0
    totals.cost = None
    assert totals.as_json()["cost"] is None
