"""Which approvals and sessions a name can stand for."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from musterd.cli.main import main
from tests.unit.cli.conftest import Respond

PAGE = 100


class Server:
    """Has lists of things with ids."""

    def __init__(self, **lists: list[dict[str, Any]]) -> None:
        self._lists = lists
        self.paths: list[str] = []

    def respond(self, request: httpx2.Request) -> httpx2.Response:
        self.paths.append(request.url.path)
        _, name, *ids = request.url.path.split("/")
        rows = self._lists[name]
        if ids:
            matches = [row for row in rows if ids[0] in row.values()]
            return httpx2.Response(200, json=matches[0]) if matches else httpx2.Response(404, json={"detail": "None."})
        query = request.url.params
        rows = [row for row in rows if query.get("status", row.get("status")) == row.get("status")]
        start = (int(query["page"]) - 1) * PAGE
        return httpx2.Response(200, json={"data": rows[start : start + PAGE], "meta": {"total_count": len(rows)}})


def uuid(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def approval(number: int, status: str) -> dict[str, Any]:
    return {"id": uuid(number), "run_id": "r1", "session_id": "s1", "status": status, "pause_type": "confirmation"}


def test_an_old_approval_that_waits_is_found_by_its_beginning(
    respond_with: Callable[[Respond], None], capsys: pytest.CaptureFixture[str]
) -> None:
    decided = [approval(number, "approved") for number in range(1, 1500)]
    respond_with(Server(approvals=[*decided, approval(0xAB << 16, "pending")]).respond)
    assert main(["approvals", "show", "00ab0000"]) == 0
    assert capsys.readouterr().out.startswith(f"approval   {uuid(0xAB << 16)}\n")


def test_an_old_session_is_found_by_its_beginning(
    respond_with: Callable[[Respond], None], capsys: pytest.CaptureFixture[str]
) -> None:
    respond_with(Server(sessions=[{"session_id": uuid(number)} for number in range(900)]).respond)
    assert main(["sessions", "show", "00000300"]) == 0
    assert capsys.readouterr().out.startswith(f"session    {uuid(0x300)}\n")


@pytest.mark.parametrize(
    ("command", "row"), [("approvals", approval(1, "pending")), ("sessions", {"session_id": uuid(1)})]
)
def test_a_whole_id_reads_no_list(command: str, row: dict[str, Any], respond_with: Callable[[Respond], None]) -> None:
    server = Server(**{command: [row]})
    respond_with(server.respond)
    assert main([command, "show", uuid(1)]) == 0
    assert server.paths == [f"/{command}/{uuid(1)}"]
