"""The keys of each page, and switching them off."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.ui.long_run import LongRun

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.process import Process
    from tests.ui.visitor import Visitor

TEAM = "teams/support-desk"
COLOURED = """() => {
  const canvas = document.querySelector(".timeline-bars")
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
  let count = 0
  for (let i = 0; i < data.length; i += 4) {
    const [red, green, blue] = [data[i], data[i + 1], data[i + 2]]
    if (Math.max(red, green, blue) - Math.min(red, green, blue) > 60) count += 1
  }
  return count
}"""
"""Counts the pixels that bars cover."""


def finish(server: Process, message: str, run_id: str, session_id: str = "s1") -> None:
    server.accepted(message, run_id, TEAM, session_id)
    server.ended(run_id, TEAM, session_id)


@pytest.mark.usefixtures("shared_server")
def test_keys_choose_the_view_and_what_it_shows(server: Process, visitor: Visitor) -> None:
    finish(server, '[[TOOL get_order {"order_id": "4417"}]]', "order")
    page = visitor.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.open("/runs/order")
    visitor.see("done: ")
    visitor.press("2")
    expect(page.get_by_role("tab", name="Transcript")).to_have_attribute("aria-selected", "true")
    visitor.press("1")
    expect(page.get_by_role("tab", name="Timeline")).to_have_attribute("aria-selected", "true")
    visitor.press("w")
    expect(page).to_have_url(re.compile(r"only=waiting$"))
    visitor.press("3")
    visitor.see("No such events")
    visitor.check()
    visitor.press("1")
    visitor.press("c")
    page.wait_for_function("async () => (await navigator.clipboard.readText()) === location.href")
    visitor.press("w")
    expect(page).not_to_have_url(re.compile("only="))


@pytest.mark.usefixtures("shared_server")
def test_keys_zoom_and_fold_idle_time(visitor: Visitor) -> None:
    LongRun(50, idle_seconds=3600).serve(visitor.page)
    visitor.open("/runs/long")
    expect(visitor.page.get_by_role("row").nth(1)).to_contain_text("2 steps")  # with them it knows what is idle
    whole = visitor.page.get_by_role("button", name="Show the whole run")
    expect(whole).to_be_disabled()
    visitor.press("+")
    expect(whole).to_be_enabled()
    visitor.press("-")
    expect(whole).to_be_disabled()
    visitor.press("+", "+", "0")
    expect(whole).to_be_disabled()
    visitor.page.wait_for_function(f"() => ({COLOURED})() > 0")
    folded = visitor.page.evaluate(COLOURED)
    visitor.press("e")
    visitor.page.wait_for_function(f"most => ({COLOURED})() < most", arg=folded / 2)
    visitor.press("e")
    visitor.page.wait_for_function(f"least => ({COLOURED})() > least", arg=folded / 2)


def test_keys_follow_and_pause_a_run_at_work(server: Process, open_visitor: Callable[..., Visitor]) -> None:
    server.accepted("[[WORDS 20000 20]]", "r1", TEAM)
    reader, other = open_visitor(server), open_visitor(server)
    reader.open("/runs/r1?view=transcript")
    reader.see("word3 ")
    following = reader.page.get_by_role("button", name="Follow")
    expect(following).to_have_attribute("aria-pressed", "true")
    reader.press("f")
    expect(following).to_have_attribute("aria-pressed", "false")
    reader.press("f")
    expect(following).to_have_attribute("aria-pressed", "true")
    reader.press("p")
    expect(reader.page.get_by_role("button", name="Paused")).to_be_visible()
    reader.check()
    text = reader.page.locator(".transcript .entry-text")
    kept = text.inner_text()
    next_word = f"word{len(kept.split()) + 20} "
    other.open("/runs/r1?view=transcript")
    other.see(next_word)
    assert text.inner_text() == kept
    reader.press("p")
    reader.see(next_word)
    expect(following).to_have_attribute("aria-pressed", "true")


@pytest.mark.usefixtures("shared_server")
def test_keys_move_through_sessions_and_find_one(server: Process, visitor: Visitor) -> None:
    for number in (1, 2, 3):
        finish(server, f"Question {number} [[SAY yes]]", f"r{number}", f"keys-{number}")
    visitor.open("/sessions?q=question")
    sessions = visitor.page.get_by_role("navigation", name="Sessions")
    names = sessions.get_by_text(re.compile(r"^Question \d"))
    expect(names).to_have_count(3)
    first, second, third = names.all_inner_texts()
    current = sessions.locator("[aria-current]")
    expect(current).to_contain_text(first)
    for key, name in (("j", second), ("j", third), ("k", second)):
        visitor.press(key)
        expect(current).to_contain_text(name)
    visitor.press("/")
    field = visitor.page.get_by_label("Find sessions")
    expect(field).to_be_focused()
    visitor.press("j")
    expect(field).to_have_value("questionj")


@pytest.mark.usefixtures("shared_server")
def test_keys_move_through_teams(visitor: Visitor) -> None:
    visitor.open("/teams")
    names = visitor.page.get_by_role("navigation", name="Teams, agents and workflows")
    current = names.locator("[aria-current]")
    expect(current).to_contain_text("Support desk")
    second = names.get_by_role("link").nth(1).inner_text()
    visitor.press("j")
    expect(current).to_have_text(second, use_inner_text=True)
    visitor.press("k")
    expect(current).to_contain_text("Support desk")


@pytest.mark.usefixtures("shared_server")
def test_single_keys_are_switched_off_and_on_again(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/health")
    page.get_by_role("main").get_by_role("heading").first.wait_for()
    visitor.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    keys.get_by_label("Use single keys").uncheck()
    visitor.check()
    visitor.press("Escape")
    expect(keys).to_be_hidden()
    visitor.press("n", "g", "r")
    page.get_by_role("button", name="Search or jump to").click()
    expect(page.get_by_role("dialog")).to_have_count(1)
    expect(page).to_have_url(f"{visitor.address}/ui/#/health")
    visitor.press("Escape")
    page.reload()
    page.get_by_role("main").get_by_role("heading").first.wait_for()
    visitor.press("?")
    expect(keys.get_by_label("Use single keys")).not_to_be_checked()
    keys.get_by_label("Use single keys").check()
    visitor.press("Escape")
    expect(keys).to_be_hidden()
    visitor.press("n")
    expect(page.get_by_role("dialog", name="Start a run")).to_be_visible()
