"""Lines of the log, where what is logged was chosen by a client."""

import json
import subprocess
import sys

import pytest

SAY = """
import structlog
from musterd import Settings
from musterd.cli.logs import configure
configure(Settings(log_json={as_json}))
log = structlog.get_logger("musterd.http")
log.warning("request failed", path="/teams/a\\n2026-01-01 [info] all is well\\x1b[2J\\u2028", name="ü ☃")
try:
    raise ValueError("in words")
except ValueError as error:
    log.warning("failed", exc_info=error)
"""


def logged(*, as_json: bool) -> list[str]:
    """What a process of its own logs: the log is set up once for all."""
    script = SAY.format(as_json=as_json)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, encoding="utf-8")
    return done.stderr.split("\n")


def test_a_value_stays_on_its_line() -> None:
    lines = logged(as_json=False)
    assert "request failed" in lines[0]
    assert "all is well" in lines[0]
    assert "ü ☃" in lines[0]
    assert all(line.isprintable() for line in lines)
    assert "Traceback" in lines[2]
    assert "ValueError: in words" in lines[-2]


@pytest.mark.parametrize("place", [0, 1])
def test_json_has_a_line_each(place: int) -> None:
    lines = logged(as_json=True)
    assert len(lines) == 3
    line = json.loads(lines[place])
    assert line["event"] == ("request failed", "failed")[place]
