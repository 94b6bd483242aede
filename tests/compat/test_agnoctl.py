"""agnoctl, the command line for running servers, finds this one, says what it is, and mints tokens for it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from musterd.core import clock
from tests.compat.conftest import KEY, PYTHON, missing
from tests.support.process import Process


def agno(server: Process, home: Path, *words: str) -> dict[str, Any]:
    """What the command says about the server; it knows the key."""
    command = PYTHON.parent / "agno"
    if not command.exists():
        missing("AgentOS's clients are")
    done = subprocess.run(
        [str(command), *words, "--url", str(server.http.base_url).rstrip("/"), "--json"],
        env={**os.environ, "HOME": str(home), "OS_SECURITY_KEY": KEY},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    output: dict[str, Any] = json.loads(done.stdout)
    return output


def test_it_finds_the_server(server: Process, tmp_path: Path) -> None:
    info = agno(server, tmp_path, "status")["os"]
    assert (info["name"], info["version"], info["discovered_via"]) == ("musterd", "2.5.6", "info")
    assert info["mcp"]["enabled"] is False
    assert info["auth_mode"] == "none"


def test_it_sees_that_a_key_is_asked_for(keyed: Process, tmp_path: Path) -> None:
    assert agno(keyed, tmp_path, "status")["os"]["auth_mode"] == "security_key"


@pytest.mark.needs("POST /service-accounts", "DELETE /service-accounts/{service_account_id}")
def test_it_mints_lists_and_revokes_tokens(keyed: Process, tmp_path: Path) -> None:
    name = f"runner-{clock.new_id()[:8]}"
    token = agno(keyed, tmp_path, "tokens", "create", name, "--scopes", "teams:run", "--scopes", "teams:read")
    headers = {"Authorization": f"Bearer {token['token']}"}
    form = {"message": "[[SAY hello]]", "stream": "false"}
    run = keyed.http.post("/teams/demo-team/runs", data=form, headers=headers).json()
    assert (run["content"], run["user_id"]) == ("hello", f"service:{name}")
    listed = agno(keyed, tmp_path, "tokens", "list")["service_accounts"]
    (account,) = [item for item in listed if item["name"] == name]
    assert "token" not in account
    assert agno(keyed, tmp_path, "tokens", "revoke", name)["revoked"]["revoked_at"]
