"""A stop that hangs is ended."""

import os
import threading

import pytest

from musterd.cli import exit_timer


def test_a_stop_that_is_not_complete_in_time_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, has_exited = list[int](), threading.Event()

    def leave(code: int) -> None:
        codes.append(code)
        has_exited.set()

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(exit_timer, "STOP_MARGIN_SECONDS", 0.01)
    exit_timer.exit_after_stop(drain_seconds=0.01)
    assert has_exited.wait(60)
    assert codes == [1]
