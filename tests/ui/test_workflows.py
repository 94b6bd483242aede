"""Workflows: their steps, starting a run, the run's page, and a step that waits for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import DESK, PHONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.process import Process
    from tests.ui.visitor import Visitor


@pytest.mark.usefixtures("shared_server")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_workflow_shows_its_steps(
    server: Process, open_visitor: Callable[..., Visitor], size: tuple[int, int], theme: str
) -> None:
    visitor = open_visitor(server, size=size, theme=theme)
    visitor.open("/teams")
    visitor.page.get_by_role("link", name="Article").click()
    visitor.see("Loop, at most 1 time")
    drafts = visitor.page.get_by_role("listitem").filter(has_text="drafts").last
    expect(drafts).to_contain_text("draft")
    expect(drafts).to_contain_text("agent Orders")
    collect = visitor.page.get_by_role("listitem").filter(has_text="collect").last
    expect(collect).to_contain_text("function")
    publish = visitor.page.get_by_role("listitem").filter(has_text="publish").last
    expect(publish).to_contain_text("needs approval")
    visitor.check()
    if size == PHONE:
        assert visitor.small_targets() == []


@pytest.mark.usefixtures("shared_server")
def test_a_workflow_is_started_approved_and_read(server: Process, open_visitor: Callable[..., Visitor]) -> None:
    visitor = open_visitor(server, theme="dark")
    page = visitor.page
    visitor.open("/health")
    visitor.see("Everything is working")
    visitor.press("n")
    page.get_by_label("Team, agent or workflow").select_option("Article")
    page.get_by_label("What should Article do?").fill("kettles")
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_label("Command")).to_contain_text("/workflows/article/runs")
    visitor.check()
    visitor.press("Escape")
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/ui/#/runs/*")

    card = page.get_by_role("region", name="Question for you")
    expect(card).to_contain_text("Publish this article?")
    expect(card).to_contain_text("collected kettles")
    lanes = page.locator(".lane-name")
    expect(lanes).to_have_count(4)
    expect(lanes.filter(has_text="Orders")).to_contain_text("draft")
    grid = page.get_by_role("grid", name="Steps by member")
    expect(grid.get_by_role("rowheader").first).to_contain_text("needs you: publish")
    visitor.check()

    card.get_by_role("button", name="Approve").click()
    visitor.see("published: collected kettles")
    page.get_by_role("tab", name="Transcript").click()
    transcript = page.get_by_role("region", name="Transcript")
    for line in ("Loop drafts", "drafts, iteration 1", "Parallel reviews", "Step collect"):
        expect(transcript).to_contain_text(line)
    transcript.get_by_text("Step collect").click()
    expect(transcript.get_by_label("Result")).to_contain_text("collected kettles")
    visitor.check()


def test_a_session_of_a_workflow_goes_on_and_is_forked(server: Process, visitor: Visitor) -> None:
    server.accepted("kettles", "w1", "workflows/article", "s1")
    server.ended("w1", "workflows/article")
    page = visitor.page
    visitor.open("/sessions/s1")
    about = page.get_by_role("complementary", name="About this session")
    expect(about.get_by_role("link", name="Article")).to_be_visible()
    expect(about).to_contain_text("Workflow")
    turns = page.get_by_role("article")
    turns.first.get_by_role("button", name="Approve").click()
    expect(turns.first).to_contain_text("published: collected kettles")
    page.get_by_label("Message Article").fill("jugs")
    page.get_by_role("button", name="Send").click()
    expect(turns.nth(1)).to_contain_text("collected jugs")
    visitor.check()
    page.get_by_role("button", name="Fork").click()
    visitor.see("Forked from")
    expect(turns).to_have_count(1)
    expect(turns.first).to_contain_text("published: collected kettles")
    visitor.check()
