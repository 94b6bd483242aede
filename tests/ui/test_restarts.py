"""A server that is killed and started again below open pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from tests.support.process import Deployment, Process
    from tests.ui.visitor import Visitor

TEAM = "teams/support-desk"
REFUND = '[[DELEGATE billing: <TOOL refund_payment {"order_id": "4417", "amount_eur": 14.9, "reason": "lost"}>]]'
TRACK = '[[DELEGATE shipping: <TOOL track_parcel {"tracking_no": "SE1"}>]]'


def start_again(site: Deployment, killed: Process) -> Process:
    """A new server at the address of the killed one."""
    return site.begin("serve", "--port", str(killed.http.base_url.port), model_retry_seconds=0).started()


def connection(visitor: Visitor) -> Locator:
    """Where the page says whether it is connected."""
    return visitor.page.locator(".connection")


def test_a_question_that_was_open_is_answered_after_a_restart(
    site: Deployment, server: Process, visitor: Visitor
) -> None:
    server.accepted(REFUND, "r1", TEAM)
    assert server.ended("r1", TEAM)["status"] == "PAUSED"
    visitor.open("/approvals")
    visitor.see("Pay money back to a customer.")
    server.kill()
    expect(connection(visitor)).to_have_text("Reconnecting")
    visitor.page.get_by_role("button", name="Approve").click()
    visitor.see("Send your decision again: it counts once.")
    visitor.see("Needs you · 1")
    visitor.check()
    server = start_again(site, server)
    expect(connection(visitor)).to_have_text("Live")
    visitor.page.get_by_role("button", name="Approve").click()
    visitor.see("Needs you · 0")
    visitor.check()
    run = server.ended("r1", TEAM)
    assert run["status"] == "COMPLETED"
    assert "refunded 14.9 of 4417: lost" in run["content"]


def test_a_conversation_goes_on_after_a_restart(site: Deployment, server: Process, visitor: Visitor) -> None:
    server.accepted(f"Where is my parcel? {TRACK}", "r1", TEAM)
    site.reached("SE1")
    visitor.open("/sessions/s1")
    turns = visitor.page.get_by_role("article")
    expect(turns).to_contain_text("Running")
    server.kill()
    expect(connection(visitor)).to_have_text("Reconnecting")
    expect(turns).to_contain_text("Where is my parcel?")
    visitor.check()
    site.release("SE1")
    start_again(site, server)
    expect(turns).to_contain_text("SE1 is in Hamburg")
    expect(connection(visitor)).to_have_text("Live")
    field = visitor.page.get_by_label("Message Support desk")
    field.fill("And then? [[SAY It comes tomorrow]]")
    field.press("Enter")
    expect(turns).to_have_count(2)
    expect(turns.nth(1).locator(".prose")).to_contain_text("It comes tomorrow")
    visitor.check()


def test_a_cancel_that_did_not_reach_the_server_is_said_to_have_failed(
    site: Deployment, server: Process, visitor: Visitor
) -> None:
    server.accepted(f"Where is my parcel? {TRACK}", "r1", TEAM)
    site.reached("SE1")
    visitor.open("/runs/r1")
    expect(connection(visitor)).to_have_text("Live")
    cancel = visitor.page.get_by_role("button", name="Cancel", exact=True)
    expect(cancel).to_be_visible()
    server.kill()
    expect(connection(visitor)).to_have_text("Reconnecting")
    cancel.click()
    visitor.page.get_by_role("button", name="Cancel the run").click()
    failure = visitor.page.get_by_text("The run was not cancelled.")
    expect(failure).to_be_visible()
    visitor.check()
    site.release("SE1")
    start_again(site, server)
    expect(connection(visitor)).to_have_text("Live")
    expect(visitor.page.locator(".run-meta")).to_contain_text("Completed")
    expect(failure).to_be_hidden()
    visitor.check()
