"""How the attempts of a run read: why it was begun again, and how long nothing drove it."""

from typing import Any

import pytest

from musterd.cli.remote.run_attempts import attempts_text, time_text


def run_with(*attempts: tuple[float, float | None, str], ended_at: float | None = 20.0) -> dict[str, Any]:
    """A run as the server sends it, with attempts as their start, end and outcome."""
    entries = [
        {"attempt": number, "started_at": start, "ended_at": end, "outcome": outcome}
        for number, (start, end, outcome) in enumerate(attempts, 1)
    ]
    return {"started_at": 10.0, "ended_at": ended_at, "attempt_list": entries}


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (run_with((10, 20, "ended")), ""),
        (run_with((10, 12, "lost"), (14, 20, "ended")), "2: its process died"),
        (run_with((10, 11, "paused"), (12, 13, "paused"), (14, 20, "ended")), "3: it waited for a decision 2 times"),
        (
            run_with((10, 11, "handed_over"), (12, 13, "paused"), (14, None, "running"), ended_at=None),
            "3: its process was stopped, it waited for a decision",
        ),
        ({}, ""),
    ],
)
def test_why_a_run_was_begun_again(run: dict[str, Any], text: str) -> None:
    assert attempts_text(run) == text


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (run_with((10, 20, "ended")), "10.0 s"),
        (run_with((10, 12, "lost"), (14, 20, "ended")), "10.0 s (2.0 s without a process)"),
        (
            run_with((10, 11, "paused"), (12, 13, "paused"), (14, 15, "handed_over"), (15.5, 20, "ended")),
            "10.0 s (2.0 s waiting for decisions, 0.5 s without a process)",
        ),
        (run_with((10, 12, "paused")), "10.0 s (8.0 s waiting for decisions)"),  # cancelled while it waited
        (run_with((10, 12, "lost"), (12.01, 20, "ended")), "10.0 s"),
        (run_with((10, 12, "paused"), ended_at=None), ""),
    ],
)
def test_the_time_of_a_run_tells_of_its_pauses(run: dict[str, Any], text: str) -> None:
    assert time_text(run) == text
