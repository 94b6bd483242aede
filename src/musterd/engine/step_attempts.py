"""Earlier attempts of a step: when a call failed or was cut off, and was then made again."""

import json
from collections.abc import Mapping, Sequence

from musterd.core import jsontext
from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepOutcome, StepRow, StepState

CUT_OFF_OUTCOME = "cut_off"
"""The outcome of an attempt of a step whose process died, or released the run, before the step ended."""
_OUTCOMES = {
    StepState.FAILED: "failed",
    StepState.UNKNOWN: StepOutcome.UNKNOWN.value,
    StepState.CANCELLED: "cancelled",
}
ERROR_CHARACTERS = 500
"""How much of an error message a step keeps."""


def error_text(code: str, message: str) -> str:
    """Why a step failed, as it is stored."""
    return jsontext.dumps({"code": code, "message": message[:ERROR_CHARACTERS]})


def timing_text(first_token_seconds: float | None, retries: Sequence[JsonObject]) -> str | None:
    """Why a model call took its time, as it is stored; None: nothing is known."""
    timing: JsonObject = {}
    if first_token_seconds is not None:
        timing["first_token_seconds"] = round(first_token_seconds, 3)
    if retries:
        timing["retries"] = [{**retry, "reason": retry["reason"][:ERROR_CHARACTERS]} for retry in retries]
    return jsontext.dumps(timing) if timing else None


def attempt_of(attempt: int, started_at: float, ended_at: float | None, outcome: str) -> JsonObject:
    """One attempt of a step, as it is stored."""
    return {"attempt": attempt, "started_at": started_at, "ended_at": ended_at, "outcome": outcome}


class StepAttempts:
    """The earlier attempts of the steps of a run.

    :param steps: the stored steps, by path.
    :param cut_off_calls: the model calls whose start was emitted and that were then cut off, by path.
    """

    def __init__(self, steps: Mapping[str, StepRow], cut_off_calls: Mapping[str, Sequence[JsonObject]]) -> None:
        self._steps = steps
        self._cut_off_calls = cut_off_calls
        self._begun_again: dict[str, list[JsonObject]] = {}

    def of_model_call(self, path: str) -> str | None:
        """The earlier attempts of the model call at ``path``, which is about to be made; None if there are none."""
        stored, cut_off = self._steps.get(path), self._cut_off_calls.get(path, ())
        if stored is None and not cut_off:
            return None
        attempts = [] if stored is None else [*_earlier(stored), _last(stored)]
        # A call that was stored as failed or begun is known from its events as well. The stored one says more.
        known = {attempt["attempt"] for attempt in attempts}
        attempts += [attempt for attempt in cut_off if attempt["attempt"] not in known]
        return jsontext.dumps(sorted(attempts, key=lambda attempt: attempt["started_at"]))

    def begin_again(self, step: StepRow) -> str:
        """Note that a call is made again, and return all its earlier attempts.

        :param step: the attempt before.
        """
        attempts = self._begun_again.get(step.path)
        if attempts is None:
            stored = self._steps.get(step.path)
            attempts = self._begun_again[step.path] = [] if stored is None else _earlier(stored)
        attempts.append(_last(step))
        return jsontext.dumps(attempts)


def _earlier(step: StepRow) -> list[JsonObject]:
    return [] if step.earlier is None else list(json.loads(step.earlier))


def _last(step: StepRow) -> JsonObject:
    return attempt_of(step.attempt, step.started_at, step.ended_at, _OUTCOMES.get(step.state, CUT_OFF_OUTCOME))
