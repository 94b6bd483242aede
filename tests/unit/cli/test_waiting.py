"""Signs of life while a command waits."""

import os
import queue
import re
import threading

import pytest

from musterd.cli import waiting
from musterd.cli.waiting import Heartbeat, waiting_for


def test_a_line_comes_again_and_again_while_nothing_is_printed() -> None:
    beats, enough = iter(range(3)), threading.Event()

    def beat() -> None:
        if next(beats, None) is None:
            enough.set()

    heartbeat = Heartbeat(0.0, beat)
    heartbeat.start()
    assert enough.wait(60)
    heartbeat.stop()


def test_a_heartbeat_that_has_stopped_can_start_again() -> None:
    beaten = threading.Event()
    heartbeat = Heartbeat(0.0, beaten.set)
    heartbeat.start()
    heartbeat.stop()
    beaten.clear()
    heartbeat.start()
    assert beaten.wait(60)
    heartbeat.stop()


def test_what_takes_no_time_is_not_mentioned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "SILENCE_SECONDS", 60)
    with waiting_for("the server is starting"):
        pass
    assert capsys.readouterr().err == ""


def test_what_takes_a_while_is_said_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(waiting, "SILENCE_SECONDS", 0.01)
    monkeypatch.setattr(waiting, "say", lines.put)
    with waiting_for("the server is starting"):
        assert re.fullmatch(r"… the server is starting  \d+\.\d s", lines.get(timeout=60))


def test_no_line_stands_still_for_two_seconds() -> None:
    assert waiting.SILENCE_SECONDS < 2


@pytest.mark.parametrize(("term", "can_redraw"), [("xterm-256color", True), ("dumb", False)])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    monkeypatch: pytest.MonkeyPatch, term: str, can_redraw: bool
) -> None:
    monkeypatch.setitem(os.environ, "TERM", term)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert waiting.can_redraw() is can_redraw
