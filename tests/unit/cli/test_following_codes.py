"""The exit codes of commands that cannot follow a run to its end."""

from typing import Any

import httpx2
import pytest

from musterd.cli.main import main
from musterd.cli.remote import following
from musterd.client import client as client_module

RUN = {"run_id": "r1", "session_id": "s1", "team_id": "desk", "status": "RUNNING"}


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_refusal_is_no_failure_of_the_run(
    status: int, options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answered(request: httpx2.Request) -> httpx2.Response:
        is_stream = request.url.path.endswith("/events")
        return httpx2.Response(status, json={"detail": "Words."}) if is_stream else httpx2.Response(200, json=RUN)

    http_options = client_module.http_options

    def options_of_mock(*parameters: Any) -> dict[str, Any]:
        return {**http_options(*parameters), "transport": httpx2.MockTransport(answered)}

    monkeypatch.setattr(client_module, "http_options", options_of_mock)
    monkeypatch.setattr(following, "RETRY_SECONDS", 0)
    assert main(["runs", "watch", "r1", *options, "--url", "http://host"]) == 4
    assert "musterd: Words" in capsys.readouterr().err
