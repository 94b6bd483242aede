"""Agno 2.5.6 itself beside musterd: a database that it has written, and servers that its teams and workflows use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.compat.conftest import HERE, PYTHON
from tests.support.process import Deployment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.client_drivers import Driver

PROGRAM = HERE / "agno_process.py"
TEAM = {"$type": "SessionType", "value": "team"}


def agno(*words: str | Path) -> str:
    """What Agno prints in the clients' environment."""
    environment = {**os.environ, "AGNO_TELEMETRY": "false"}
    arguments = [str(word) for word in (PYTHON, PROGRAM, *words)]
    return subprocess.run(arguments, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.mark.usefixtures("importable_agno")
def test_a_database_that_agno_wrote_is_imported_and_its_clients_see_it(
    agentos: Driver, tmp_path: Path, database: Path
) -> None:
    agno("write", tmp_path / "agno.db")
    url = f"sqlite:///{database}"
    words = [sys.executable, "-m", "musterd", "import", "agno", str(tmp_path / "agno.db"), "--db", url]
    report = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    assert report[:4] == [
        "sessions: 2 imported, 0 already present, 0 skipped",
        "runs: 3 imported, 0 already present, 0 skipped",
        "member runs: 1 imported, 0 already present, 0 skipped",
        "memories: 1 imported, 0 already present, 0 skipped",
    ]
    site = Deployment(tmp_path, url, HERE / "components.py")
    try:
        server = str(site.serve().http.base_url)
        sessions = agentos.at(server, "get_sessions", user_id="ann")["data"]
        first, second = agentos.at(server, "get_session_runs", session_id="of-agent")
        member, team = agentos.at(server, "get_session_runs", session_id="of-team", session_type=TEAM)
        session = agentos.at(server, "get_session", session_id="of-team", session_type=TEAM)
        memories = agentos.at(server, "list_memories", user_id="ann")["data"]
        run = agentos.at(server, "run_agent", agent_id="solo-agent", message="Thanks", session_id="of-agent")
    finally:
        site.close()
    assert {session["session_id"] for session in sessions} == {"of-agent", "of-team"}
    assert (first["content"], first["tools"][0]["result"]) == ("Done: Sunny in Paris", "Sunny in Paris")
    assert (second["run_input"], second["content"], second["status"]) == ("And now?", "Echo: And now?", "COMPLETED")
    assert (member["agent_id"], member["parent_run_id"]) == ("weather-agent", team["run_id"])
    assert (member["content"], team["content"]) == ("Echo: How is Oslo?", "Done: Echo: How is Oslo?")
    assert session["session_state"] == {"asked": 1}
    assert [(memory["memory"], memory["topics"]) for memory in memories] == [("Likes tea", ["food"])]
    assert (run["status"], run["content"]) == ("COMPLETED", "Echo: Thanks")


@pytest.fixture
def real_agentos(importable_agno: Path) -> Iterator[str]:
    """The address of an AgentOS. It is served by this environment's uvicorn, with Agno of the clients'."""
    start = (
        f"import runpy, sys; sys.path.append({str(importable_agno)!r}); sys.argv[1:] = ['serve']; "
        f"runpy.run_path({str(PROGRAM)!r}, run_name='__main__')"
    )
    environment = {**os.environ, "AGNO_TELEMETRY": "false"}
    with subprocess.Popen([sys.executable, "-c", start], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def test_a_remote_team_is_a_member_and_a_step_as_with_agentos(real_agentos: str, address: str) -> None:
    def outcomes(url: str) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(agno("use", url).splitlines()[-1])
        return result

    assert outcomes(address) == outcomes(real_agentos)
