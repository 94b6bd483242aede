"""A user with a token of their own sees only their own runs, also those that change while the page is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.tokens import Issuer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.process import Deployment, Process
    from tests.ui.visitor import Visitor

TEAM = "teams/support-desk"
SECRET = "a-secret-of-32-bytes-or-more-for-hs256"
ISSUER = Issuer(algorithm="HS256", key=SECRET)
SCOPES = ("teams:read", "teams:run", "runs:read", "sessions:read", "approvals:read", "approvals:write", "system:read")
REFUND = '[[TOOL refund_payment {"order_id": "4417", "amount_eur": 14.9, "reason": "lost"}]]'


@pytest.fixture
def server(site: Deployment, monkeypatch: pytest.MonkeyPatch) -> Process:
    """A server that takes tokens."""
    monkeypatch.setenv("JWT_VERIFICATION_KEY", SECRET)
    return site.serve(jwt_algorithms="HS256", model_retry_seconds=0)


def start(server: Process, user: str, message: str) -> str:
    """Start a run as a user, in their session; return its id."""
    data = {"message": message, "session_id": f"session of {user}", "background": "true", "stream": "false"}
    answer = server.http.post(f"/{TEAM}/runs", data=data, headers=ISSUER.bearer(user, *SCOPES))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["run_id"])


def wait_for_end(server: Process, user: str, run_id: str) -> None:
    """Wait until a run has finished or paused."""
    answer = server.http.get(f"/runs/{run_id}", params={"wait": 30}, headers=ISSUER.bearer(user, *SCOPES))
    assert answer.json()["status"] in ("COMPLETED", "PAUSED")


def test_users_see_their_own_runs_only(server: Process, open_visitor: Callable[..., Visitor]) -> None:
    foreign = [start(server, "bob", "[[SAY Of Bob]]"), start(server, "bob", f"Of Bob {REFUND}")]
    own = start(server, "ada", "[[SAY Of Ada]]")
    for user, run_id in (("bob", foreign[0]), ("bob", foreign[1]), ("ada", own)):
        wait_for_end(server, user, run_id)
    visitor = open_visitor(server)
    visitor.open("/runs")
    visitor.page.get_by_label("Key or token").fill(ISSUER.token("ada", *SCOPES))
    visitor.press("Enter")
    rows = visitor.page.locator("tr.run")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Of Ada")
    expect(visitor.page.get_by_role("button", name="All 1")).to_be_visible()
    expect(visitor.page).to_have_title("Runs · musterd")
    visitor.check()

    visitor.wait_until_read()
    start(server, "bob", "[[SAY Of Bob, later]]")
    start(server, "ada", "[[SAY Of Ada, later]]")
    visitor.page.get_by_role("button", name="1 new run").click()
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="Of Bob")).to_have_count(0)

    visitor.open(f"/runs/{foreign[0]}")
    visitor.see("Run not found")
    visitor.open("/approvals")
    visitor.see("Nothing needs you")
    visitor.open("/sessions")
    items = visitor.page.get_by_role("navigation", name="Sessions").get_by_role("link")
    expect(items).to_have_count(1)
    expect(items).to_contain_text("Of Ada")
    visitor.open("/health")
    visitor.see("Your key shows the checks only.")
    visitor.check()
    expect(visitor.page.get_by_role("button", name="Account: ada")).to_be_visible()
