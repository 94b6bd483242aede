"""The exit codes of commands that cannot follow a run to its end."""

from collections.abc import Callable

import httpx2
import pytest

from musterd.cli.main import main
from musterd.cli.remote import following
from tests.unit.cli.conftest import Respond

RUN = {"run_id": "r1", "session_id": "s1", "team_id": "desk", "status": "RUNNING"}


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_refusal_is_no_failure_of_the_run(
    status: int,
    options: list[str],
    respond_with: Callable[[Respond], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def respond(request: httpx2.Request) -> httpx2.Response:
        is_stream = request.url.path.endswith("/events")
        return httpx2.Response(status, json={"detail": "Words."}) if is_stream else httpx2.Response(200, json=RUN)

    respond_with(respond)
    monkeypatch.setattr(following, "RETRY_SECONDS", 0)
    assert main(["runs", "watch", "r1", *options]) == 4
    assert "musterd: Words" in capsys.readouterr().err
