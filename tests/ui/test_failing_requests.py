"""Requests of the page that the server cannot answer: the page says why, and trying again shows what is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from musterd.core.errors import RequestError, StoreUnavailable
from tests.ui.conftest import DESK, PHONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator

    from tests.support.process import Deployment, Process
    from tests.ui.visitor import Visitor

TEAM = "teams/support-desk"
REFUND = '[[TOOL refund_payment {"order_id": "4417", "amount_eur": 14.9, "reason": "lost"}]]'
LISTS = {
    "/runs": (r"runs(/counts)?\?", "Refund it"),
    "/approvals": (r"approvals\?", "Needs you · 1"),
    "/sessions": (r"sessions\?", "Refund it"),
    "/teams": (r"(teams|agents|workflows)$", "Answers customers."),
    "/health": (r"-/status$", "Everything is working"),
}
"""For each page: the requests that fail, and words that it shows once they are answered."""
PARTS = {
    "decided questions": ("/approvals", r"approvals\?(?!.*status=pending)", "Needs you · 1"),
    "run": ("/runs/asks", r"runs/asks\?", "Refund it"),
    "questions of a run": ("/runs/asks", r"approvals\?.*run_id=asks", "Approve"),
    "questions of a conversation": ("/sessions/s1", r"approvals\?.*run_id=asks", "Approve"),
    "figures of a conversation": ("/sessions/s1", r"runs\?.*session_id=s1", "Approve"),
    "texts of a conversation": ("/sessions/s1", r"sessions/s1/runs", "Approve"),
    "steps of a workflow": ("/teams/article", r"workflows/article$", "Loop, at most 1 time"),
}
"""The same for what is only a part of its page."""
SECONDS_OF_RETRIES = 30


@pytest.fixture(scope="module")
def question(shared_server: Process) -> None:
    """A run that asks a person."""
    shared_server.accepted(f"Refund it. {REFUND}", "asks", TEAM)
    assert shared_server.ended("asks", TEAM)["status"] == "PAUSED"


def fail(visitor: Visitor, paths: str, error: RequestError) -> Callable[[], None]:
    """Answer the requests whose path matches with an error, until what is returned is called."""
    pattern = re.compile(rf"^{re.escape(visitor.address)}/{paths}")
    body = {"detail": error.message, "error_code": error.code, "request_id": "4f1c"}
    visitor.page.route(pattern, lambda route: route.fulfill(status=error.status, json=body))
    return lambda: visitor.page.unroute(pattern)


def alert_of(visitor: Visitor) -> Locator:
    """What says on the page that something failed."""
    return visitor.page.get_by_role("main").get_by_role("alert")


def see_failure(visitor: Visitor, error: RequestError) -> None:
    """Let the page's clock run until it has stopped to try by itself, and look at what it says."""
    alert = alert_of(visitor)
    for _ in range(SECONDS_OF_RETRIES):
        if alert.is_visible():
            break
        visitor.page.clock.run_for(1_000)
    expect(alert).to_contain_text(error.message)
    expect(alert).to_contain_text("Request 4f1c")
    expect(visitor.page.get_by_role("main").get_by_text("Loading")).to_have_count(0)
    visitor.check()


@pytest.mark.usefixtures("question")
@pytest.mark.parametrize(
    ("size", "theme", "error"),
    [(DESK, "light", RequestError()), (PHONE, "dark", StoreUnavailable())],
    ids=["desk-500", "phone-503"],
)
@pytest.mark.parametrize("place", LISTS)
def test_a_list_that_cannot_be_read_says_why_and_is_read_on_request(
    server: Process,
    open_visitor: Callable[..., Visitor],
    place: str,
    size: tuple[int, int],
    theme: str,
    error: RequestError,
) -> None:
    visitor, (paths, words) = open_visitor(server, size=size, theme=theme), LISTS[place]
    visitor.page.clock.install()
    end = fail(visitor, paths, error)
    visitor.open(place)
    see_failure(visitor, error)
    if size == PHONE:
        assert visitor.small_targets() == []
    end()
    alert_of(visitor).get_by_role("button", name="Try again").click()
    visitor.see(words)
    expect(alert_of(visitor)).to_have_count(0)
    visitor.check()


@pytest.mark.usefixtures("question")
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_page_that_cannot_be_read_is_read_on_request(visitor: Visitor, part: str) -> None:
    (place, paths, words), error = PARTS[part], StoreUnavailable()
    visitor.page.clock.install()
    end = fail(visitor, paths, error)
    visitor.open(place)
    see_failure(visitor, error)
    end()
    alert_of(visitor).get_by_role("button", name="Try again").click()
    visitor.see(words)
    expect(alert_of(visitor)).to_have_count(0)
    visitor.check()


@pytest.mark.usefixtures("question")
def test_a_link_to_a_question_that_cannot_be_read_can_be_tried_again(visitor: Visitor) -> None:
    error = StoreUnavailable()
    visitor.page.clock.install()
    end = fail(visitor, "approvals/old$", error)
    visitor.open("/approvals/old")
    see_failure(visitor, error)
    end()
    alert_of(visitor).get_by_role("button", name="Try again").click()
    visitor.see("It may have been deleted, or you may not have access.")
    visitor.check()


@pytest.mark.usefixtures("question")
def test_new_runs_that_cannot_be_read_stay_behind_their_button(server: Process, visitor: Visitor) -> None:
    error, rows = StoreUnavailable(), visitor.page.locator("tr.run")
    visitor.page.clock.install()
    visitor.open("/runs")
    visitor.see("Refund it")
    visitor.wait_until_read()
    server.accepted("[[SAY Good evening]]", "later", TEAM, "s2")
    button = visitor.page.get_by_role("button", name="1 new run")
    expect(button).to_be_visible()
    end = fail(visitor, r"runs\?", error)
    button.click()
    see_failure(visitor, error)
    visitor.see("Refund it")
    end()
    button.click()
    expect(rows.filter(has_text="Good evening")).to_have_count(1)
    expect(button).to_be_hidden()
    expect(alert_of(visitor)).to_have_count(0)
    visitor.check()


def test_what_no_server_answered_is_read_once_there_is_one(site: Deployment, server: Process, visitor: Visitor) -> None:
    visitor.page.clock.install()
    visitor.open("/teams")
    visitor.see("Answers customers.")
    server.kill()
    visitor.see("Reconnecting")
    visitor.open("/teams/article")
    alert = alert_of(visitor)
    for _ in range(SECONDS_OF_RETRIES):
        if alert.is_visible():
            break
        visitor.page.clock.run_for(1_000)
    expect(alert).to_contain_text("The page tries again by itself.")
    visitor.check()
    site.begin("serve", "--port", str(server.http.base_url.port)).started()
    visitor.see("Loop, at most 1 time")
    expect(alert).to_have_count(0)
    visitor.check()
