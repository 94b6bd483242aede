"""The attempts of a run, for people: why it was begun again, and how long nothing drove it."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from musterd.cli.output import duration

_REASONS = {
    "lost": "its process died",
    "handed_over": "its process was stopped",
    "released": "its end could not be stored",
    "paused": "it waited for a decision",
}
SHORTEST_PAUSE = 0.05
"""In seconds. A shorter one would read "0.0 s"."""


def attempts_text(raw: dict[str, Any]) -> str:
    """How often a run was begun, and why, such as ``2: its process died``; empty if it was begun once.

    :param raw: the run as the server sent it.
    """
    attempts: Sequence[dict[str, Any]] = raw.get("attempt_list") or ()
    if len(attempts) < 2:
        return ""
    reasons = Counter(_REASONS[attempt["outcome"]] for attempt in attempts[:-1] if attempt["outcome"] in _REASONS)
    listed = (reason if times == 1 else f"{reason} {times} times" for reason, times in reasons.items())
    return ": ".join(part for part in (str(len(attempts)), ", ".join(listed)) if part)


def time_text(raw: dict[str, Any]) -> str:
    """How long a finished run took, such as ``9.0 s (7.2 s waiting for decisions)``; empty if it has not ended."""
    started_at, ended_at = raw.get("started_at"), raw.get("ended_at")
    if started_at is None or ended_at is None:
        return ""
    waiting = _between_attempts(raw, ended_at, lambda outcome: outcome == "paused")
    down = _between_attempts(raw, ended_at, was_cut_off)
    parts = [f"{duration(waiting)} waiting for decisions"] if waiting >= SHORTEST_PAUSE else []
    parts += [f"{duration(down)} without a process"] if down >= SHORTEST_PAUSE else []
    return duration(ended_at - started_at) + (f" ({', '.join(parts)})" if parts else "")


def was_cut_off(outcome: str) -> bool:
    """Whether an attempt with this outcome may have left steps that the next one began again."""
    return outcome in ("lost", "handed_over", "released")


def _between_attempts(raw: dict[str, Any], ended_at: float, counts: Callable[[str], bool]) -> float:
    """Seconds between attempts with certain outcomes and what came after each: the next one, or the run's end."""
    attempts: Sequence[dict[str, Any]] = raw.get("attempt_list") or ()
    next_starts: list[float] = [*(attempt["started_at"] for attempt in attempts[1:]), ended_at]
    return sum(
        max(0.0, next_start - float(attempt["ended_at"]))
        for attempt, next_start in zip(attempts, next_starts, strict=False)
        if counts(attempt["outcome"]) and attempt["ended_at"] is not None
    )
