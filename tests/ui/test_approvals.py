"""The inbox: approve, reject, change values, answer, report a result; races, crashes, keys and phones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import DESK, PHONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.process import Deployment, Process
    from tests.ui.visitor import Visitor

TEAM, TRAVEL = "teams/support-desk", "agents/travel"
REFUND = (
    "[[DELEGATE billing: Refund the shipping cost. "
    '<TOOL refund_payment {"order_id": "4417", "amount_eur": 14.9, "reason": "lost"}>]]'
)
CHECK_IN = '[[TOOL check_in {"flight": "SK 1421"}]]'
BOOK = '[[TOOL book {"order_id": 1234567890123456789, "parcels": {"first": 9007199254740993, "second": 1}}]]'
GATE = '[[TOOL open_gate {"gate": "B 12"}]]'


def ask(server: Process, message: str, run_id: str, to: str) -> None:
    """Start a run, and wait until it asks."""
    server.accepted(message, run_id, to)
    assert server.ended(run_id, to)["status"] == "PAUSED"


@pytest.fixture(scope="module")
def questions(shared_server: Process) -> None:
    """Three questions of different kinds."""
    ask(shared_server, REFUND, "refund", TEAM)
    ask(shared_server, CHECK_IN, "check-in", TRAVEL)
    ask(shared_server, GATE, "gate", TRAVEL)


def answer_of(server: Process, run_id: str, to: str) -> str:
    """What the run answered once it has ended."""
    run = server.ended(run_id, to)
    assert run["status"] == "COMPLETED"
    return str(run["content"])


@pytest.mark.usefixtures("questions")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_questions_are_listed_and_shown(
    server: Process, open_visitor: Callable[..., Visitor], size: tuple[int, int], theme: str
) -> None:
    visitor = open_visitor(server, size=size, theme=theme)
    visitor.open("/approvals")
    visitor.see("Needs you · 3")
    expect(visitor.page).to_have_title("(3) Approvals · musterd")
    visitor.check()
    visitor.page.get_by_role("link", name="refund_payment").click()
    visitor.see("Pay money back to a customer.")
    visitor.see("Refund the shipping cost.")
    visitor.check()
    if size == PHONE:
        assert visitor.small_targets() == []
    visitor.page.get_by_role("button", name="Change values").click()
    visitor.page.get_by_label("amount_eur").fill("a lot")
    visitor.page.get_by_role("button", name="Approve with these values").click()
    visitor.see("Enter a number, such as 12.50.")
    visitor.check()


def test_keys_approve_and_go_on(server: Process, visitor: Visitor) -> None:
    ask(server, REFUND, "first", TEAM)
    ask(server, REFUND, "second", TEAM)
    visitor.open("/approvals")
    visitor.see("Needs you · 2")
    place_in_run = visitor.page.get_by_role("link", name="Open the run at this step")
    place = place_in_run.get_attribute("href")
    assert place is not None
    visitor.press("j")
    expect(place_in_run).not_to_have_attribute("href", place)
    visitor.press("k")
    expect(place_in_run).to_have_attribute("href", place)
    visitor.press("a")
    expect(visitor.page.get_by_role("status").filter(has_text="Approved")).to_be_visible()
    visitor.see("Needs you · 1")
    visitor.press("a")  # the decided question takes no second decision
    visitor.press("u")
    visitor.see("Needs you", exact=True)
    visitor.press("r")
    expect(visitor.page.get_by_label("Note")).to_be_focused()
    visitor.page.keyboard.type("not today")
    visitor.press("Control+Enter")
    expect(visitor.page.get_by_role("status").filter(has_text="Rejected")).to_be_visible()
    visitor.see("Needs you · 0")
    visitor.check()
    answers = answer_of(server, "first", TEAM) + answer_of(server, "second", TEAM)
    assert answers.count("refunded") == 1
    assert "not today" in answers


def test_a_second_key_does_not_decide_about_the_next_question(server: Process, visitor: Visitor) -> None:
    ask(server, REFUND, "first", TEAM)
    ask(server, REFUND, "second", TEAM)
    visitor.open("/approvals")
    visitor.see("Needs you · 2")
    expect(visitor.page.get_by_role("button", name="Approve")).to_be_visible()
    visitor.press("a")
    expect(visitor.page.get_by_role("status").filter(has_text="Approved")).to_be_visible()
    visitor.see("Needs you · 1")
    expect(visitor.page.get_by_role("button", name="Next question")).to_be_visible()
    visitor.press("a")
    visitor.press("u")
    visitor.see("Needs you", exact=True)
    expect(visitor.page.get_by_role("button", name="Approve")).to_be_enabled()
    visitor.see("Needs you · 1")
    visitor.check()


def test_changed_values_reach_the_tool(server: Process, visitor: Visitor) -> None:
    ask(server, REFUND, "r1", TEAM)
    visitor.open("/approvals")
    visitor.see("Pay money back to a customer.")
    visitor.press("e")
    visitor.page.get_by_label("amount_eur").fill("103.9")
    visitor.see("It was 14.9")
    visitor.check()
    visitor.page.get_by_role("button", name="Approve with these values").click()
    visitor.see("Approved")
    outcome = visitor.page.get_by_role("status").filter(has_text="The run:")
    expect(outcome).to_contain_text("refunded 103.9 of 4417: lost")
    expect(outcome).to_contain_text("Completed")
    visitor.check()
    assert "refunded 103.9 of 4417: lost" in answer_of(server, "r1", TEAM)


def test_whole_numbers_of_any_size_stay_as_they_are(server: Process, visitor: Visitor) -> None:
    ask(server, BOOK, "r1", TRAVEL)
    visitor.open("/approvals")
    visitor.see("Book parcels of an order.")
    arguments = visitor.page.locator("dl.arguments")
    expect(arguments).to_contain_text("1234567890123456789")
    expect(arguments).to_contain_text('"first": 9007199254740993')
    visitor.press("e")
    visitor.page.get_by_label("order_id").fill("1234567890123999999")
    visitor.page.get_by_label("parcels").fill('{"first": 9007199254740993, "second": 2}')
    visitor.page.get_by_role("button", name="Approve with these values").click()
    visitor.see("Approved")
    expect(arguments).to_contain_text("1234567890123999999")
    visitor.check()
    assert "booked 9007199254740993 and 2 of 1234567890123999999" in answer_of(server, "r1", TRAVEL)


def test_values_and_results_are_sent(server: Process, visitor: Visitor) -> None:
    ask(server, CHECK_IN, "check-in", TRAVEL)
    visitor.open("/approvals")
    visitor.see("Travel needs")
    visitor.page.get_by_label("seat").fill("12A")
    visitor.page.get_by_label("bags").fill("two")
    visitor.page.get_by_role("button", name="Send").click()
    visitor.see("Enter a whole number.")
    expect(visitor.page.get_by_label("bags")).to_be_focused()
    visitor.check()
    visitor.page.get_by_label("bags").fill("2")
    visitor.page.get_by_role("button", name="Send").click()
    visitor.see("Answered")
    assert "SK 1421: seat 12A, 2 bags" in answer_of(server, "check-in", TRAVEL)
    ask(server, GATE, "gate", TRAVEL)
    visitor.see("Needs you · 1")
    visitor.press("u")
    visitor.page.get_by_label("Result").fill("The gate is open")
    visitor.page.get_by_role("button", name="Send result").click()
    visitor.see("Result sent")
    visitor.check()
    assert "The gate is open" in answer_of(server, "gate", TRAVEL)


def test_a_phone_rejects_with_a_note(server: Process, open_visitor: Callable[..., Visitor]) -> None:
    ask(server, REFUND, "r1", TEAM)
    visitor = open_visitor(server, size=PHONE)
    visitor.open("/approvals")
    visitor.page.get_by_role("link", name="refund_payment").tap()
    visitor.page.get_by_role("button", name="Reject").tap()
    visitor.page.get_by_label("Note").fill("Refund all of it")
    assert visitor.small_targets() == []
    visitor.check()
    visitor.page.get_by_role("button", name="Reject", exact=True).tap()
    visitor.see("Rejected")
    visitor.page.get_by_role("link", name="Approvals", exact=False).first.tap()
    visitor.see("Decided in the last 24 hours · 1")
    visitor.check()
    assert "Refund all of it" in answer_of(server, "r1", TEAM)


def test_the_slower_of_two_windows_sees_the_decision(server: Process, open_visitor: Callable[..., Visitor]) -> None:
    ask(server, REFUND, "r1", TEAM)
    fast, slow = open_visitor(server), open_visitor(server)
    for visitor in (fast, slow):
        visitor.open("/approvals")
        visitor.see("Pay money back to a customer.")
    slow.press("r")
    slow.page.get_by_label("Note").fill("No")
    slow.page.route("**/approvals?*", lambda route: route.abort())  # its list does not show the decision before it
    fast.press("a")
    fast.see("Approved")
    with slow.page.expect_response("**/resolve"):
        slow.page.get_by_role("button", name="Reject", exact=True).click()
    slow.page.unroute("**/approvals?*")
    slow.see("Your rejection was not used.")
    slow.see("Approved")
    slow.check()
    assert "refunded 14.9" in answer_of(server, "r1", TEAM)


def test_a_call_that_a_crash_cut_off_is_asked_about(site: Deployment, open_visitor: Callable[..., Visitor]) -> None:
    server = site.serve()
    server.accepted('[[DELEGATE orders: <TOOL hold {"name": "gate-1"}>]]', "r1", TEAM)
    site.reached("gate-1")
    server.kill()
    server = site.serve()
    assert server.ended("r1", TEAM)["status"] == "PAUSED"
    visitor = open_visitor(server)
    visitor.open("/approvals")
    visitor.see("was interrupted before its result was stored")
    visitor.check()
    visitor.press("a")  # no key decides about it
    visitor.page.get_by_role("button", name="It happened").click()
    visitor.page.get_by_label("Result").fill("held by hand")
    visitor.page.get_by_role("button", name="Send result").click()
    visitor.see("Recorded as happened")
    assert "held by hand" in answer_of(server, "r1", TEAM)
    visitor.open("/runs/r1?step=t0%2Fc0%2Ft0%2Fc0")
    details = visitor.page.get_by_role("complementary", name="Selected step")
    expect(details).to_contain_text("Waited, result entered by")
    expect(details).to_contain_text(re.compile(r"Asked by\s*Support desk"))
    expect(details).to_contain_text(re.compile(r"Path\s*t0/c0/t0/c0"))
    expect(details).to_contain_text("Result, entered by a person")
    visitor.press("Escape", "2")
    expect(visitor.page.locator(".tool-card").last).to_contain_text("cut off, result entered by")
    visitor.check()


def test_hostile_arguments_stay_text(server: Process, visitor: Visitor) -> None:
    hostile = "<img src=x onerror='window.hacked = 1'><script>window.hacked = 1</script>"
    ask(server, f'[[TOOL refund_payment {{"order_id": "1", "amount_eur": 1.5, "reason": "{hostile}"}}]]', "r1", TEAM)
    visitor.open("/approvals")
    visitor.see("window.hacked = 1")
    visitor.press("e")
    visitor.check()
    assert visitor.page.evaluate("() => window.hacked") is None


def test_an_empty_inbox_says_so(server: Process, visitor: Visitor) -> None:
    visitor.open("/approvals")
    visitor.see("Nothing needs you")
    visitor.check()
    visitor.open("/approvals/unknown")
    visitor.see("Approval not found")
    visitor.check()


def test_a_question_that_expires_while_it_is_read_says_so(site: Deployment, server: Process, visitor: Visitor) -> None:
    ask(server, REFUND, "r1", TEAM)
    visitor.open("/approvals")
    visitor.see("Pay money back to a customer.")
    visitor.page.get_by_role("button", name="Reject").click()
    visitor.page.get_by_label("Note").fill("too much")
    site.execute("UPDATE runs SET expires_at = 1 WHERE run_id = 'r1'")
    expect(visitor.page.get_by_role("status").filter(has_text="Expired without a decision")).to_be_visible()
    expect(visitor.page.get_by_role("button", name="Reject")).to_be_hidden()
    visitor.see("Needs you · 0")
    visitor.check()
    assert server.ended("r1", TEAM)["status"] == "ERROR"
