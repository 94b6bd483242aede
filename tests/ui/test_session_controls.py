"""The menu of a session, and what is read page by page: older sessions, and earlier runs of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.support.process import Process
    from tests.ui.visitor import Visitor

TEAM = "teams/support-desk"
LISTED_SESSIONS, LISTED_RUNS = 40, 20


def test_a_session_is_described_and_saved(server: Process, visitor: Visitor) -> None:
    server.accepted("Where is it? [[SAY Here]]", "r1", TEAM)
    server.ended("r1", TEAM)
    page = visitor.page
    visitor.open("/sessions/s1")
    expect(page.get_by_role("article")).to_contain_text("Here")
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="About this session").click()
    about = page.get_by_role("dialog", name="About this session")
    expect(about).to_contain_text("Support desk")
    visitor.check()
    about.get_by_role("button", name="Close").click()
    expect(about).to_be_hidden()
    page.get_by_role("button", name="More", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Save as JSON").click()
    assert download.value.suggested_filename == "session-s1.json"
    assert json.loads(Path(download.value.path()).read_text())["session_id"] == "s1"


def test_older_sessions_and_earlier_runs_are_read_on_request(server: Process, visitor: Visitor) -> None:
    for number in range(LISTED_SESSIONS + 1):
        server.accepted(f"Question {number} [[SAY yes]]", f"r{number}", TEAM, f"s{number}")
    for number in range(LISTED_RUNS + 1):
        server.accepted(f"More {number} [[SAY yes]]", f"more-{number}", TEAM, "s0")
    server.ended(f"more-{LISTED_RUNS}", TEAM, "s0")
    visitor.open("/sessions/s0")
    sessions = visitor.page.get_by_role("navigation", name="Sessions").get_by_role("link")
    expect(sessions).to_have_count(LISTED_SESSIONS)
    visitor.page.get_by_role("button", name="Show older sessions").click()
    expect(sessions).to_have_count(LISTED_SESSIONS + 1)
    turns = visitor.page.get_by_role("article")
    expect(turns).to_have_count(LISTED_RUNS)
    visitor.page.get_by_role("button", name="Show earlier runs").click()
    expect(turns).to_have_count(LISTED_RUNS + 2)
    expect(turns.first).to_contain_text("Question 0")
    visitor.check()
