"""Sessions as conversations: read, write, watch, answer, rename, fork, change the state, delete."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import DESK, PHONE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.process import Deployment, Process
    from tests.ui.visitor import Visitor

TEAM = "teams/support-desk"
REFUND = '[[TOOL refund_payment {"order_id": "4417", "amount_eur": 14.9, "reason": "lost"}]]'
HELD = '[[TOOL track_parcel {"tracking_no": "SE1"}]]'


def converse(server: Process, session_id: str = "s1", question: str = "Can I return it?") -> None:
    """A session with an answer in Markdown, a failed run and one that waits for a person."""
    for number, message in enumerate(
        (f"{question} [[SAY Until **12 December**.]]", "And the ledger? [[ERROR 400]]", f"Then refund it. {REFUND}")
    ):
        run_id = f"{session_id}-{number}"
        server.accepted(message, run_id, TEAM, session_id)
        server.ended(run_id, TEAM, session_id)


@pytest.mark.usefixtures("shared_server")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_session_reads_as_a_conversation(
    server: Process, open_visitor: Callable[..., Visitor], size: tuple[int, int], theme: str
) -> None:
    question = f"Can I return a {theme} one of {size[0]} pixels?"
    converse(server, f"{theme}-{size[0]}", question)
    visitor = open_visitor(server, size=size, theme=theme)
    visitor.open("/sessions")
    item = visitor.page.get_by_role("link", name=question)
    expect(item).to_contain_text("Needs you")
    visitor.check()
    item.click()
    expect(visitor.page.locator("strong", has_text="12 December")).to_be_visible()
    turns = visitor.page.get_by_role("article")
    expect(turns).to_have_count(3)
    expect(turns.nth(1)).to_contain_text("Failed")
    expect(turns.nth(2).get_by_role("heading", name="May Support desk")).to_be_in_viewport(ratio=1)
    visitor.check()
    if size == PHONE:
        assert visitor.small_targets() == []
    turns.nth(2).get_by_role("button", name="Approve").click()
    expect(turns.nth(2)).to_contain_text("refunded 14.9")
    expect(turns.nth(2)).to_contain_text("refund_payment approved")
    visitor.check()


def test_a_message_starts_a_run_and_its_text_is_shown_live(site: Deployment, server: Process, visitor: Visitor) -> None:
    converse(server)
    visitor.open("/sessions/s1")
    field = visitor.page.get_by_label("Message Support desk")
    field.fill("Tell me more. [[WORDS 60 200]]")
    field.press("Enter")
    turn = visitor.page.get_by_role("article").nth(3)
    expect(turn).to_contain_text(re.compile("Tell me more.*Running.*word3 ", re.DOTALL))
    expect(field).to_have_value("")
    expect(turn).to_contain_text("word59")
    expect(turn.get_by_text("Running")).to_be_hidden()
    assert turn.inner_text().count("word59") == 1
    visitor.check()


def test_parallel_runs_leave_connections_for_what_a_person_sends(server: Process, visitor: Visitor) -> None:
    streams: list[str] = []
    visitor.page.on("request", lambda request: streams.append(request.url) if "/events" in request.url else None)
    for number in range(6):  # as many as a browser has connections to one host
        answer = server.post(f"Run {number}. [[WORDS 6000 50]]", f"r{number}", TEAM, on_busy="parallel")
        assert answer is not None
        assert answer.status_code == 202
    visitor.open("/sessions/s1")
    turns = visitor.page.get_by_role("article")
    expect(turns).to_have_count(6)
    for number in range(6):
        expect(turns.nth(number)).to_contain_text("word3 ")
    visitor.page.get_by_label("Message Support desk").fill("Is there room?")
    visitor.page.get_by_role("button", name="Send").click()
    expect(turns.nth(6)).to_contain_text("Is there room?")
    assert len(streams) == 1, streams
    visitor.check()


def test_what_is_typed_stays_if_another_session_is_used(server: Process, visitor: Visitor) -> None:
    questions = {"s1": "First question", "s2": "Second question"}
    for session_id, question in questions.items():
        server.accepted(f"{question} [[SAY yes]]", f"run-{session_id}", TEAM, session_id)
        server.ended(f"run-{session_id}", TEAM, session_id)
    visitor.open("/sessions")
    expect(visitor.page).to_have_url(re.compile(r"/sessions/s[12]$"))
    field = visitor.page.get_by_label("Message Support desk")
    field.fill("Where is")
    place = visitor.page.url
    other = "s1" if place.endswith("s2") else "s2"
    server.accepted("Once more [[SAY yes]]", "later", TEAM, other)
    items = visitor.page.get_by_role("navigation", name="Sessions").get_by_role("link")
    expect(items.first).to_contain_text(questions[other])
    expect(field).to_have_value("Where is")
    expect(field).to_be_focused()
    assert visitor.page.url == place


@pytest.mark.usefixtures("shared_server")
def test_files_are_sent_with_a_message(server: Process, visitor: Visitor, tmp_path: Path) -> None:
    converse(server, "files")
    note = tmp_path / "note.txt"
    note.write_text("a note")
    visitor.open("/sessions/files")
    visitor.page.get_by_label("Message Support desk").fill("[[SAY read]]")
    visitor.page.locator("input[type=file]").set_input_files(note)
    visitor.see("note.txt")
    visitor.check()
    visitor.page.get_by_role("button", name="Send").click()
    expect(visitor.page.get_by_role("article").nth(3)).to_contain_text("read")
    expect(visitor.page.get_by_text("note.txt")).to_be_hidden()


def test_a_session_is_renamed_forked_and_deleted(server: Process, open_visitor: Callable[..., Visitor]) -> None:
    converse(server)
    visitor = open_visitor(server, theme="dark")
    visitor.open("/sessions/s1")
    visitor.page.get_by_role("button", name="Rename").click()
    visitor.page.get_by_label("Name", exact=True).fill("Order 4398")
    visitor.check()
    visitor.press("Enter")
    expect(visitor.page.get_by_role("link", name="Order 4398")).to_be_visible()
    visitor.page.get_by_role("button", name="Fork").click()
    visitor.see("Forked from")
    expect(visitor.page.get_by_role("article")).to_have_count(2)
    visitor.page.get_by_role("button", name="Delete session").click()
    visitor.check()
    visitor.page.get_by_role("button", name="Delete", exact=True).click()
    expect(visitor.page.get_by_role("navigation", name="Sessions").get_by_role("link")).to_have_count(1)
    expect(visitor.page).to_have_url(f"{visitor.address}/ui/#/sessions/s1")
    visitor.check()


@pytest.mark.usefixtures("shared_server")
def test_the_state_is_changed(server: Process, visitor: Visitor) -> None:
    converse(server, "state")
    visitor.open("/sessions/state")
    visitor.page.get_by_role("button", name="Edit state").click()
    field = visitor.page.get_by_role("dialog").get_by_role("textbox")
    field.fill("[1]")
    visitor.page.get_by_role("button", name="Save").click()
    visitor.see("Enter a JSON object.")
    visitor.check()
    field.fill('{"city": "Oslo"}')
    visitor.page.get_by_role("button", name="Save").click()
    expect(visitor.page.get_by_role("dialog")).to_be_hidden()
    visitor.see('"Oslo"')
    assert server.http.get("/sessions/state").json()["session_state"] == {"city": "Oslo"}


def test_sessions_are_found_by_name_and_message(server: Process, visitor: Visitor) -> None:
    converse(server)
    server.accepted("Something else [[SAY yes]]", "r4", TEAM, "s2")
    visitor.open("/sessions")
    items = visitor.page.get_by_role("navigation", name="Sessions").get_by_role("link")
    expect(items).to_have_count(2)
    visitor.page.get_by_label("Find sessions").fill("something")
    expect(items).to_have_count(1)
    assert visitor.page.url.endswith("?q=something")
    visitor.page.reload()
    expect(items).to_have_count(1)
    visitor.page.get_by_label("Find sessions").fill("nothing of this")
    show_all = visitor.page.get_by_role("button", name="Show all sessions")
    show_all.wait_for()
    visitor.check()
    show_all.click()
    expect(items).to_have_count(2)


def test_sessions_are_listed_by_the_status_of_their_last_run(server: Process, visitor: Visitor) -> None:
    converse(server)
    server.accepted("Something else [[SAY yes]]", "r4", TEAM, "s2")
    server.http.get("/runs/r4", params={"wait": 60})
    visitor.open("/sessions")
    items = visitor.page.get_by_role("navigation", name="Sessions").get_by_role("link")
    expect(items).to_have_count(2)
    status = visitor.page.get_by_label("Status", exact=True)
    status.select_option("Needs you")
    expect(items).to_have_count(1)
    expect(items).to_contain_text("Can I return it?")
    visitor.check()
    visitor.page.reload()
    expect(items).to_have_count(1)
    expect(status).to_have_value("PAUSED")
    items.click()
    expect(visitor.page).to_have_url(re.compile(r"/sessions/s1\?status=paused$"))
    status.select_option("Failed")
    visitor.see("No session has the status “Failed”")
    visitor.page.get_by_role("button", name="Show all sessions").click()
    expect(items).to_have_count(2)


@pytest.mark.usefixtures("shared_server")
def test_hostile_text_stays_text(server: Process, visitor: Visitor) -> None:
    hostile = '<img src="https://evil.example/x.png" onerror="window.hacked = 1"><script>window.hacked = 1</script>'
    link = "[click](javascript:window.hacked=1) ![x](https://evil.example/y.png)"
    server.accepted(f"{hostile} [[SAY {hostile} {link} **end**]]", "hostile", TEAM)
    server.ended("hostile", TEAM)
    visitor.open("/sessions/s1")
    expect(visitor.page.locator("strong", has_text="end")).to_be_visible()
    visitor.check()
    assert visitor.page.evaluate("() => window.hacked") is None
    assert visitor.page.locator(".turns img, .turns script, .turns a[href^=javascript]").count() == 0
