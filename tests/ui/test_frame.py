"""What stands around every page: keys, theme, sign-in, the badge, lost connections."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import DESK, KEY, PHONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.process import Deployment, Process
    from tests.ui.visitor import Visitor

TABLET = (768, 1024)
READABLE = 50
"""Pixels; words that are for screen readers only are narrower."""
PAGES = ["/runs", "/approvals", "/sessions", "/teams", "/health"]


@pytest.mark.usefixtures("shared_server")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("place", PAGES)
def test_a_page_without_runs_is_accessible(
    server: Process, open_visitor: Callable[..., Visitor], place: str, size: tuple[int, int], theme: str
) -> None:
    visitor = open_visitor(server, size=size, theme=theme)
    visitor.open(place)
    visitor.page.get_by_role("main").get_by_role("heading").first.wait_for()
    visitor.check()
    if size == PHONE:
        assert visitor.small_targets() == []


@pytest.mark.usefixtures("shared_server")
def test_keys_walk_the_pages_and_are_listed(visitor: Visitor) -> None:
    visitor.open()
    visitor.see("No runs yet")
    pages = visitor.page.get_by_role("navigation", name="Pages")
    for key, title in (("a", "Approvals"), ("s", "Sessions"), ("t", "Teams"), ("h", "Health"), ("r", "Runs")):
        visitor.press("g", key)
        expect(pages.locator("[aria-current]")).to_have_text(title)
    visitor.press("?")
    dialog = visitor.page.get_by_role("dialog", name="Keys")
    expect(dialog.get_by_text("Search or jump to")).to_be_visible()
    visitor.check()
    visitor.press("Escape")
    expect(dialog).to_be_hidden()
    visitor.page.get_by_role("button", name="Copy as curl").click()
    expect(visitor.page.get_by_label("Command")).to_contain_text("/teams/support-desk/runs")
    visitor.check()


@pytest.mark.usefixtures("shared_server")
def test_what_is_not_there_is_said(server: Process, open_visitor: Callable[..., Visitor]) -> None:
    visitor = open_visitor(server, theme="dark")
    for place, words in (
        ("/runs/unknown", "Run not found"),
        ("/sessions/unknown", "Session with id 'unknown' not found"),
        ("/teams/unknown", "unknown is not declared here"),
        ("/nowhere", "This page does not exist"),
    ):
        visitor.open(place)
        visitor.see(words)
        visitor.check()


@pytest.mark.usefixtures("shared_server")
def test_the_theme_is_the_systems_until_one_is_chosen(server: Process, open_visitor: Callable[..., Visitor]) -> None:
    visitor = open_visitor(server, theme="dark")
    root = visitor.page.locator("html")
    visitor.open()
    expect(root).to_have_attribute("data-theme", "dark")
    visitor.page.get_by_role("button", name="Light theme").click()
    expect(root).to_have_attribute("data-theme", "light")
    visitor.page.reload()
    expect(root).to_have_attribute("data-theme", "light")


def test_a_server_with_a_key_asks_for_it_once(keyed_server: Process, open_visitor: Callable[..., Visitor]) -> None:
    visitor = open_visitor(keyed_server)
    visitor.open("/teams")
    visitor.see("This server asks for a key")
    visitor.check()
    field = visitor.page.get_by_label("Key or token")
    field.fill("wrong")
    visitor.press("Enter")
    visitor.see("The key was not accepted.")
    field.fill("Schlüssel ☃")  # no header can hold it
    visitor.press("Enter")
    visitor.see("The key was not accepted.")
    visitor.check()
    field.fill(KEY)
    visitor.press("Enter")
    visitor.see("Support desk")
    visitor.page.reload()
    visitor.see("Support desk")
    assert KEY not in visitor.page.url
    assert visitor.page.evaluate("() => localStorage.length + document.cookie.length") == 0
    visitor.page.get_by_role("button", name="Account").click()
    visitor.check()
    visitor.page.get_by_role("menuitem", name="Sign out").click()
    visitor.see("This server asks for a key")
    assert visitor.page.evaluate("() => sessionStorage.length") == 0


def test_the_badge_counts_what_needs_a_person(server: Process, visitor: Visitor) -> None:
    visitor.open()
    expect(visitor.page).to_have_title("Runs · musterd")
    server.accepted('[[TOOL refund_payment {"order_id": "4417", "amount_eur": 14.9}]]', "r1", "teams/support-desk")
    expect(visitor.page).to_have_title("(1) Runs · musterd")
    expect(visitor.page.get_by_role("link", name="Approvals 1")).to_be_visible()


@pytest.mark.parametrize("size", [DESK, TABLET, PHONE], ids=["desk", "tablet", "phone"])
def test_a_lost_connection_is_shown_and_found_again(
    site: Deployment, open_visitor: Callable[..., Visitor], size: tuple[int, int]
) -> None:
    server = site.serve()
    port = str(server.http.base_url.port)
    visitor = open_visitor(server, size=size)
    server.accepted("[[SAY All good]]", "r1", "teams/support-desk")
    visitor.open()
    visitor.see("All good")
    connection = visitor.page.locator(".connection")
    expect(connection.get_by_text("Live")).to_be_visible()  # a screen reader reads it at every size
    visitor.wait_until_read()
    server.kill()
    words = connection.get_by_text("Reconnecting")
    expect(words).to_be_visible()
    box = words.bounding_box()
    assert box is not None
    assert box["width"] > READABLE
    visitor.see("All good")
    visitor.check()
    again = site.begin("serve", "--port", port).started()
    expect(connection.get_by_text("Live")).to_be_visible()
    visitor.wait_until_read()
    again.accepted("[[SAY Back again]]", "r2", "teams/support-desk")
    visitor.see("1 new run")
    again.signal(signal.SIGTERM)
    again.exit_code()


def test_back_closes_a_dialog_and_stays_on_the_page(server: Process, visitor: Visitor) -> None:
    server.accepted("[[SAY yes]]", "r1", "teams/support-desk")
    server.ended("r1", "teams/support-desk")
    page = visitor.page
    visitor.open("/runs")
    visitor.open("/health")
    dialog, place = page.get_by_role("dialog"), f"{visitor.address}/ui/#"
    page.get_by_role("link", name="Health").wait_for()
    visitor.press("?")
    expect(dialog).to_be_visible()
    page.go_back()
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(f"{place}/health")
    visitor.press("?")
    expect(dialog).to_be_visible()
    visitor.press("Escape")
    expect(dialog).to_be_hidden()
    visitor.press("/")
    dialog.get_by_role("combobox").fill("Sessions")
    expect(dialog.get_by_role("option").first).to_contain_text("Sessions")
    visitor.press("Enter")
    expect(page).to_have_url(f"{place}/sessions/s1")
    expect(dialog).to_be_hidden()
    page.go_back()
    expect(page).to_have_url(f"{place}/health")
    expect(dialog).to_be_hidden()
    page.go_back()
    expect(page).to_have_url(f"{place}/runs")
    visitor.check()


def test_back_closes_the_inner_dialog_first(server: Process, visitor: Visitor) -> None:
    visitor.open("/runs")
    visitor.see("No runs yet")
    visitor.press("n")
    outer = visitor.page.get_by_role("dialog", name="Start a run")
    outer.get_by_role("textbox").first.fill("hello")
    outer.get_by_role("button", name="Copy as curl").click()
    inner = visitor.page.get_by_role("dialog", name="Start from a shell")
    expect(inner).to_be_visible()
    visitor.page.go_back()
    expect(inner).to_be_hidden()
    expect(outer).to_be_visible()
    visitor.page.go_back()
    expect(outer).to_be_hidden()
    expect(visitor.page).to_have_url(f"{visitor.address}/ui/#/runs")
    visitor.check()


@pytest.mark.usefixtures("shared_server")
def test_a_drag_out_of_a_dialog_leaves_it_open(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/health")
    visitor.see("Everything is working")
    visitor.press("n")
    dialog = page.get_by_role("dialog", name="Start a run")
    field = dialog.get_by_role("textbox").first
    field.fill("hello")
    field.hover()
    page.mouse.down()
    page.mouse.move(5, 5)
    page.mouse.up()
    expect(field).to_have_value("hello")
    expect(dialog).to_be_visible()
    page.mouse.click(5, 5)
    expect(dialog).to_be_visible()  # something is written in it
    visitor.press("Escape")
    expect(dialog).to_be_hidden()
    visitor.press("n")
    expect(field).to_have_value("hello")
    page.mouse.click(5, 5)
    expect(dialog).to_be_hidden()
    visitor.check()


@pytest.mark.usefixtures("shared_server")
def test_a_dialog_whose_script_cannot_be_loaded_says_so(visitor: Visitor) -> None:
    page = visitor.page
    page.route("**/assets/*Start*", lambda route: route.abort())
    visitor.open("/health")
    visitor.see("Everything is working")
    visitor.press("n")
    dialog = page.get_by_role("dialog", name="Start a run")
    expect(dialog.get_by_role("alert")).to_be_visible()
    visitor.check()
    page.unroute("**/assets/*Start*")
    dialog.get_by_role("button", name="Reload the page").click()
    visitor.see("Everything is working")
    visitor.press("n")
    expect(dialog.get_by_role("textbox").first).to_be_visible()
