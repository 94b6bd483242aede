"""Earlier attempts of a step, put together from what is stored and from the events."""

import json

from musterd.core.records import StepKind, StepRow, StepState
from musterd.engine.step_attempts import ERROR_CHARACTERS, StepAttempts, attempt_of, error_text


def step(state: StepState, attempt: int, started_at: float, **changes: object) -> StepRow:
    values: dict[str, object] = {"path": "t0/m", "kind": StepKind.MODEL, "fingerprint": "f", **changes}
    return StepRow(root_id="r1", state=state, attempt=attempt, started_at=started_at, **values)  # type: ignore[arg-type]


def of(stored: StepRow | None, *cut_off: tuple[int, float]) -> list[tuple[int, str]]:
    steps = {} if stored is None else {stored.path: stored}
    calls = {"t0/m": [attempt_of(attempt, at, None, "cut_off") for attempt, at in cut_off]} if cut_off else {}
    text = StepAttempts(steps, calls).of_model_call("t0/m")
    return [(attempt["attempt"], attempt["outcome"]) for attempt in json.loads(text or "[]")]


def test_a_first_call_has_none() -> None:
    assert StepAttempts({}, {}).of_model_call("t0/m") is None


def test_a_failed_call_is_known_from_its_step_and_not_once_more_from_its_events() -> None:
    failed = step(StepState.FAILED, 1, 5.0, ended_at=6.0)
    assert of(failed, (1, 4.9)) == [(1, "failed")]
    assert of(failed, (1, 4.9), (2, 8.0)) == [(1, "failed"), (2, "cut_off")]


def test_what_was_before_a_failed_call_stays_before_it() -> None:
    earlier = json.dumps([attempt_of(1, 1.0, None, "cut_off")])
    assert of(step(StepState.FAILED, 2, 5.0, earlier=earlier), (1, 1.0)) == [(1, "cut_off"), (2, "failed")]


def test_a_call_whose_start_was_stored_for_a_budget_was_cut_off() -> None:
    assert of(step(StepState.STARTED, 1, 5.0)) == [(1, "cut_off")]


def test_a_tool_call_may_be_made_again_twice_in_one_attempt() -> None:
    stored = step(StepState.STARTED, 1, 5.0, path="t0/c0", kind=StepKind.TOOL)
    attempts = StepAttempts({"t0/c0": stored}, {})
    attempts.begin_again(stored)
    timed_out = step(StepState.UNKNOWN, 2, 7.0, ended_at=8.0, path="t0/c0", kind=StepKind.TOOL)
    entries = json.loads(attempts.begin_again(timed_out))
    assert [(entry["attempt"], entry["outcome"], entry["ended_at"]) for entry in entries] == [
        (1, "cut_off", None),
        (2, "unknown", 8.0),
    ]


def test_a_long_message_is_cut() -> None:
    assert len(json.loads(error_text("model_error", "x" * 2000))["message"]) == ERROR_CHARACTERS
