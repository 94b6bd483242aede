"""Log lines: one form for all, readable by machines where that is asked for."""

import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from musterd import Settings
from musterd.cli.logs import configure


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Log again as before afterwards."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.configure(**before)
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_lines_of_ours_and_of_libraries_have_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_json=True))
    with structlog.contextvars.bound_contextvars(run_id="r1"):
        structlog.get_logger("musterd.engine").warning("run reassigned from a dead worker", attempt=2)
        logging.getLogger("uvicorn.error").warning("Invalid %s", "request")
    ours, library = lines(capsys)
    assert list(ours)[:4] == list(library)[:4] == ["timestamp", "level", "logger", "event"]
    assert ours | {"timestamp": ""} == {
        "timestamp": "",
        "level": "warning",
        "logger": "musterd.engine",
        "event": "run reassigned from a dead worker",
        "attempt": 2,
        "run_id": "r1",
    }
    assert (library["logger"], library["event"], library["run_id"]) == ("uvicorn.error", "Invalid request", "r1")


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_json=True))
    try:
        raise RuntimeError("boom")
    except RuntimeError as error:
        structlog.get_logger("musterd.http").exception("request failed", exc_info=error)
        logging.getLogger("aiohttp").error("failed", exc_info=error)
    for line in lines(capsys):
        assert "RuntimeError: boom" in line["exception"]


def test_warnings_are_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_json=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what earlier tests left unclosed may be collected here
        warnings.simplefilter("always", UserWarning)
        logging.captureWarnings(True)
        warnings.warn("take care", UserWarning, stacklevel=1)
        logging.captureWarnings(False)
    (line,) = lines(capsys)
    assert line["logger"] == "py.warnings"


@pytest.mark.parametrize(
    "level, expected", [("debug", ["a", "b", "c"]), ("info", ["b", "c"]), ("warning", ["c"]), ("error", [])]
)
def test_the_level_is_a_setting(capsys: pytest.CaptureFixture[str], level: Any, expected: list[str]) -> None:
    configure(Settings(log_json=True, log_level=level))
    log = structlog.get_logger("musterd.http")
    log.debug("a")
    log.info("b")
    log.warning("c")
    logging.getLogger("httpx").info("never: libraries speak from warnings on")
    assert [line["event"] for line in lines(capsys)] == expected


def test_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings())
    structlog.get_logger("musterd.engine").info("ready", worker="w")
    output = capsys.readouterr().err
    assert "ready" in output
    assert "worker=w" in output


@pytest.mark.parametrize(("value", "is_colored"), [("", True), ("1", False)])
def test_lines_in_a_terminal_are_colored_unless_no_color_is_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str, is_colored: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    configure(Settings())
    structlog.get_logger("musterd.engine").info("ready")
    assert ("\x1b[" in capsys.readouterr().err) is is_colored


class Full(io.StringIO):
    """A file on a disk without space."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_line_that_cannot_be_written_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Full())
    configure(Settings())
    log = structlog.get_logger("musterd.engine")
    log.error("database cannot be used")
    try:
        raise ValueError
    except ValueError:
        log.exception("it failed")
