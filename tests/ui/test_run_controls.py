"""The menu of a run, and a message to one of its members."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from tests.support.process import Deployment, Process
    from tests.ui.visitor import Visitor

TEAM = "teams/support-desk"
TRACK = '[[DELEGATE shipping: <TOOL track_parcel {"tracking_no": "SE1"}>]]'


def finish(server: Process, message: str, run_id: str) -> None:
    server.accepted(message, run_id, TEAM, run_id)
    server.ended(run_id, TEAM, run_id)


def choose(visitor: Visitor, item: str) -> Locator:
    """Open the menu of the run. Returns the item."""
    visitor.page.get_by_role("button", name="More actions").click()
    return visitor.page.get_by_role("menuitem", name=item)


@pytest.mark.usefixtures("shared_server")
def test_a_failed_run_continues_from_its_last_step(server: Process, visitor: Visitor) -> None:
    finish(server, "[[ERROR 400]]", "fails")
    visitor.open("/runs/fails")
    expect(visitor.page.locator(".run-meta")).to_contain_text("Failed")
    choose(visitor, "Continue from the last step").click()
    expect(visitor.page).to_have_url(re.compile(r"/runs/(?!fails$)"))
    expect(visitor.page.locator(".run-meta")).to_contain_text("forked from")


@pytest.mark.usefixtures("shared_server")
def test_a_session_is_forked_from_its_run(server: Process, visitor: Visitor) -> None:
    finish(server, "Where is it? [[SAY Here]]", "forked")
    visitor.open("/runs/forked")
    visitor.see("done: ")
    expect(choose(visitor, "Continue from the last step")).to_be_disabled()
    visitor.check()
    visitor.press("Escape")
    choose(visitor, "Fork the session").click()
    expect(visitor.page).to_have_url(re.compile(r"/sessions/(?!forked$)"))
    visitor.see("Forked from")
    expect(visitor.page.get_by_role("article")).to_contain_text("Where is it?")
    visitor.check()


@pytest.mark.usefixtures("shared_server")
def test_a_run_is_exported_and_its_link_copied(server: Process, visitor: Visitor) -> None:
    finish(server, "[[SAY yes]]", "exported")
    page = visitor.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.open("/runs/exported?view=transcript")
    visitor.see("yes")
    with page.expect_download() as download:
        choose(visitor, "Export as JSON").click()
    assert download.value.suggested_filename == "run-exported.json"
    assert json.loads(Path(download.value.path()).read_text())["run"]["run_id"] == "exported"
    choose(visitor, "Copy link").click()
    page.wait_for_function("async () => (await navigator.clipboard.readText()) === location.href")


def test_a_message_to_a_member_is_read_by_that_member(site: Deployment, server: Process, visitor: Visitor) -> None:
    server.accepted(TRACK, "r1", TEAM)
    site.reached("SE1")
    page = visitor.page
    visitor.open("/runs/r1?view=transcript")
    visitor.see("track_parcel")
    page.get_by_role("button", name="Message").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("To").select_option("Shipping")
    dialog.get_by_label("Message", exact=True).fill("Use express, please")
    visitor.check()
    dialog.get_by_role("button", name="Send").click()
    expect(dialog).to_be_hidden()
    site.release("SE1")
    expect(page.locator(".run-meta")).to_contain_text("Completed")
    member, message = page.get_by_label("Member"), page.get_by_text("Message: Use express, please")
    member.select_option("Shipping")
    expect(message).to_be_visible()
    member.select_option("Support desk")
    expect(message).to_be_hidden()
