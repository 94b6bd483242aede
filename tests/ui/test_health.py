"""Health: one sentence, the checks, work, models, processes and the database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import DESK, PHONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Route

    from tests.support.process import Deployment, Process
    from tests.ui.visitor import Visitor


def answering(status: int, body: dict[str, Any]) -> Callable[[Route], None]:
    """Answers a request in the server's place."""
    return lambda route: route.fulfill(status=status, body=json.dumps(body), content_type="application/json")


@pytest.fixture(scope="module")
def server_with_a_run(shared_server: Process) -> None:
    """A completed run, so that a model has been used."""
    shared_server.accepted("[[SAY hi]]", "r1", "teams/support-desk")
    shared_server.ended("r1", "teams/support-desk")


@pytest.mark.usefixtures("server_with_a_run")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_server_that_works_says_so(
    server: Process, open_visitor: Callable[..., Visitor], size: tuple[int, int], theme: str
) -> None:
    visitor = open_visitor(server, size=size, theme=theme)
    visitor.open("/health")
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Everything is working")
    visitor.see("One process is serving.")
    expect(visitor.page.get_by_role("region", name="Models")).to_contain_text("scripted")
    expect(visitor.page.get_by_role("region", name="Processes")).to_contain_text("this one")
    expect(visitor.page.get_by_role("region", name="Database")).to_contain_text("SQLite")
    visitor.check()


@pytest.mark.usefixtures("shared_server")
def test_a_check_that_fails_is_named(server: Process, visitor: Visitor) -> None:
    status = server.http.get("/-/status").json()
    status["checks"][0] |= {"ok": False, "problem": "The server is not ready; try again later."}
    visitor.page.route("**/-/status", answering(200, status))
    visitor.open("/health")
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("One check fails")
    visitor.see("Accepts runs: The server is not ready; try again later.")
    visitor.check()


@pytest.mark.usefixtures("shared_server")
def test_a_key_without_the_scope_sees_the_checks(server: Process, visitor: Visitor) -> None:
    refusal = {"detail": "Insufficient permissions", "error_code": "FORBIDDEN", "request_id": "r"}
    visitor.page.route(
        "**/-/status",
        lambda route: route.fulfill(status=403, body=json.dumps(refusal), content_type="application/json"),
    )
    visitor.open("/health")
    visitor.see("Everything is working")
    visitor.see("Your key shows the checks only.")
    visitor.check()


def test_a_killed_process_is_seen(site: Deployment, server: Process, visitor: Visitor) -> None:
    worker = site.work()
    visitor.open("/health")
    visitor.see("2 processes are serving.")
    visitor.see("Running runs")
    worker.kill()
    expect(visitor.page.get_by_text("2 processes are serving.")).to_be_hidden(timeout=60_000)
    expect(visitor.page.get_by_role("region", name="Processes").get_by_role("row", name="Gone")).to_have_count(1)
    visitor.check()
