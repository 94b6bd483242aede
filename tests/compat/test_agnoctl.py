"""agnoctl, the command line for running servers, finds this one and says what it is."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.compat.conftest import PYTHON, missing
from tests.support.process import Process


def status(url: str, home: Path, *options: str) -> dict[str, Any]:
    """What ``agno status`` finds at the URL."""
    command = PYTHON.parent / "agno"
    if not command.exists():
        missing("AgentOS's clients are")
    environment = {**os.environ, "HOME": str(home)}
    words = [str(command), "status", "--url", url, "--json", *options]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["os"]
    return found


def test_it_finds_the_server(address: str, tmp_path: Path) -> None:
    found = status(address, tmp_path)
    assert (found["name"], found["version"], found["discovered_via"]) == ("musterd", "2.5.6", "info")
    assert found["mcp"]["enabled"] is False
    assert found["auth_mode"] == "none"


def test_it_sees_that_a_key_is_asked_for(keyed: Process, tmp_path: Path) -> None:
    assert status(str(keyed.http.base_url).rstrip("/"), tmp_path)["auth_mode"] == "security_key"
