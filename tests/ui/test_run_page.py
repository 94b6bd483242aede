"""The Run page: lanes and their keyboard grid, live text, questions, details, controls, resuming, and long runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import DESK, PHONE
from tests.ui.long_run import LongRun
from tests.ui.visitor import machine_is_quiet

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.process import Deployment, Process
    from tests.ui.visitor import Visitor

SUPPORT = "teams/support-desk"
TRACK = '[[DELEGATE shipping: <TOOL track_parcel {{"tracking_no": "{}"}}>]]'
REFUND = '[[DELEGATE billing: <TOOL refund_payment {"order_id": "4417", "amount_eur": 14.9, "reason": "lost"}>]]'
HOSTILE = '<img src="https://evil.example/x.png" onerror="window.hacked = 1"><script>window.hacked = 1</script>'
SMOOTH = 20.0
"""Milliseconds between two frames, at the 95th percentile."""
SCREEN_FRAME = 1000 / 60
"""Milliseconds per frame of a screen."""
BUSY = 13.0
"""Average milliseconds of processor time per frame of a screen. With 12 of a slow core, frames still come every 16.8 ms
(95th percentile)."""
COUNT_FRAMES = """() => {
  const frames = []
  let last = performance.now()
  let isOver = false
  const count = now => { frames.push(now - last); last = now; if (!isOver) requestAnimationFrame(count) }
  requestAnimationFrame(count)
  window.endFrames = () => { isOver = true; return frames }
}"""


def start(server: Process, message: str, run_id: str = "r1") -> None:
    server.accepted(message, run_id, SUPPORT, "s1")


def finish(server: Process, message: str, run_id: str = "r1") -> None:
    start(server, message, run_id)
    server.ended(run_id, SUPPORT)


@pytest.fixture(scope="module")
def waiting_run(shared_server: Process) -> None:
    """A run that waits for a person."""
    finish(shared_server, REFUND, "waits")


@pytest.fixture(scope="module")
def order_run(shared_server: Process) -> None:
    """A completed run of three steps."""
    finish(shared_server, '[[TOOL get_order {"order_id": "4417"}]]', "order")


@pytest.mark.usefixtures("waiting_run")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_run_that_waits_shows_its_lanes_and_its_question(
    server: Process, open_visitor: Callable[..., Visitor], size: tuple[int, int], theme: str
) -> None:
    visitor = open_visitor(server, size=size, theme=theme)
    visitor.open("/runs/waits")
    visitor.see("needs you: refund_payment")
    cut_off = "notes => notes.filter(note => note.scrollWidth > note.clientWidth).map(note => note.textContent)"
    assert visitor.page.locator(".lane-note, .lane-note *").evaluate_all(cut_off) == []
    question = visitor.page.get_by_role("region", name="Question for you")
    expect(question).to_contain_text("May Billing call refund_payment?")
    expect(question).to_contain_text(re.compile(r"waiting \d"))
    expect(visitor.page.get_by_role("grid", name="Steps by member").get_by_role("row")).to_have_count(2)
    expect(visitor.page.locator(".figures")).to_contain_text("Tokens")
    visitor.check()
    if size == PHONE:
        assert visitor.small_targets() == []


@pytest.mark.usefixtures("shared_server")
def test_approving_lets_the_run_go_on_in_place(server: Process, visitor: Visitor) -> None:
    finish(server, REFUND, "approved")
    visitor.open("/runs/approved")
    visitor.page.get_by_role("button", name="Approve").click()
    expect(visitor.page.locator(".run-meta")).to_contain_text("Completed")
    expect(visitor.page.locator(".run-meta")).not_to_contain_text("attempt")
    expect(visitor.page.get_by_role("region", name="Answer")).to_be_visible()
    visitor.check()


def test_keys_decide_the_question_of_a_run(server: Process, visitor: Visitor) -> None:
    finish(server, REFUND)
    visitor.open("/runs/r1")
    question = visitor.page.get_by_role("region", name="Question for you")
    expect(question).to_contain_text("May Billing call refund_payment?")
    expect(question.get_by_role("button", name="Approve").locator("kbd")).to_have_text("A")
    expect(question.get_by_role("button", name="Reject").locator("kbd")).to_have_text("R")
    visitor.press("?")
    keys = visitor.page.get_by_role("dialog", name="Keys")
    expect(keys).to_contain_text("Reject, with a note")
    visitor.press("Escape")
    expect(keys).to_be_hidden()
    visitor.press("r")
    expect(question.get_by_label("Note")).to_be_focused()
    visitor.press("Escape")
    expect(question.get_by_role("button", name="Approve")).to_be_visible()
    visitor.press("a")
    expect(visitor.page.locator(".run-meta")).to_contain_text("Completed")
    visitor.see("Approved")
    visitor.check()


def test_text_is_shown_as_it_is_written(site: Deployment, server: Process, visitor: Visitor) -> None:
    start(server, TRACK.format("SE1"))
    site.reached("SE1")
    visitor.open("/runs/r1")
    visitor.see("runs track_parcel")
    visitor.see("waits for Shipping")
    expect(visitor.page.locator(".run-meta")).to_contain_text("Running")
    visitor.press("2")
    visitor.see("track_parcel")
    site.release("SE1")
    visitor.see("SE1 is in Hamburg")
    expect(visitor.page.locator(".run-meta")).to_contain_text("Completed")
    visitor.check()


@pytest.mark.usefixtures("order_run")
def test_keys_walk_the_steps_and_open_one(visitor: Visitor) -> None:
    visitor.open("/runs/order")
    expect(visitor.page.get_by_role("row")).to_contain_text("3 steps")
    current = visitor.page.locator("[role=gridcell][aria-selected=true]")
    visitor.press("ArrowRight", "ArrowRight")
    expect(current).to_contain_text("get_order, tool call: completed")
    visitor.press("Enter")
    details = visitor.page.get_by_role("complementary", name="Selected step")
    expect(details).to_contain_text('"order_id": "4417"')
    expect(details).to_contain_text('"total_eur": 64')
    assert re.search(r"step=t0%2Fc0$", visitor.page.url)
    visitor.check()
    visitor.page.reload()
    expect(details).to_contain_text("get_order")
    visitor.press("x")
    expect(visitor.page).to_have_url(re.compile("only=failed"))
    visitor.press("x", "2")
    expect(visitor.page.get_by_role("region", name="Transcript")).to_be_visible()
    visitor.press("x", "w", "3")  # a transcript is read as a whole
    expect(visitor.page).to_have_url(re.compile(r"view=events$"))
    expect(visitor.page.get_by_role("region", name="Events, newest first")).to_contain_text("TeamRunCompleted")
    visitor.check()


@pytest.mark.usefixtures("order_run")
def test_back_after_a_step_was_closed_leads_to_the_page_before(visitor: Visitor) -> None:
    details = visitor.page.get_by_role("complementary", name="Selected step")
    runs = f"{visitor.address}/ui/#/runs"
    visitor.open("/runs")
    visitor.page.get_by_role("link", name="get_order").click()
    expect(visitor.page.get_by_role("grid", name="Steps by member")).to_contain_text("3 steps")
    visitor.press("ArrowRight", "Enter")
    expect(details).to_be_visible()
    visitor.press("Escape", "Escape")
    expect(details).to_be_hidden()
    expect(visitor.page).to_have_url(f"{runs}/order")
    visitor.page.go_back()
    expect(visitor.page).to_have_url(runs)
    visitor.open("/runs/order?step=t0%2Fc0")
    expect(details).to_be_visible()
    visitor.press("Escape")
    expect(details).to_be_hidden()
    visitor.page.go_back()
    expect(visitor.page).to_have_url(runs)


@pytest.mark.usefixtures("order_run")
def test_the_events_of_a_step_are_shown_though_none_were_read_before(visitor: Visitor) -> None:
    visitor.open("/runs/order?step=t0%2Fc0")
    visitor.page.get_by_role("button", name="Show its events").click()
    events = visitor.page.get_by_role("region", name="Events, newest first")
    opened = events.get_by_role("button", expanded=True)
    expect(opened).to_contain_text("TeamToolCallStarted")
    expect(opened).to_be_in_viewport()
    visitor.check()


def test_a_run_is_forked_from_a_step(server: Process, visitor: Visitor) -> None:
    finish(server, '[[TOOL get_order {"order_id": "4417"}]]')
    visitor.open("/runs/r1?step=t1%2Fm")
    visitor.page.get_by_role("button", name="Fork from here").click()
    expect(visitor.page.get_by_role("dialog")).to_contain_text("These calls are kept")
    visitor.check()
    visitor.page.get_by_role("button", name="Fork the run").click()
    expect(visitor.page).not_to_have_url(re.compile("/runs/r1"))
    expect(visitor.page.locator(".run-meta")).to_contain_text("Completed")
    expect(visitor.page.locator(".run-meta")).to_contain_text("forked from")
    expect(visitor.page.locator(".figures")).to_contain_text("Reused2 steps")
    visitor.check()
    visitor.page.go_back()
    expect(visitor.page).to_have_url(re.compile(r"/runs/r1\?step="))
    expect(visitor.page.locator(".run-meta")).to_contain_text("forked to")
    expect(visitor.page.get_by_role("dialog")).to_be_hidden()


@pytest.mark.usefixtures("order_run")
def test_a_tap_opens_the_step_as_a_sheet(server: Process, open_visitor: Callable[..., Visitor]) -> None:
    visitor = open_visitor(server, size=PHONE)
    visitor.open("/runs/order?step=t0%2Fc0")
    sheet = visitor.page.get_by_role("dialog")
    expect(sheet).to_contain_text('"total_eur": 64')
    visitor.check()
    assert visitor.small_targets() == []
    sheet.get_by_role("button", name="Close").click()
    expect(sheet).to_be_hidden()
    bars = visitor.page.locator(".timeline-bars")
    bars.scroll_into_view_if_needed()
    box = bars.bounding_box()
    assert box is not None
    for x in range(20, 340, 16):  # until a bar of the first row is hit
        visitor.page.touchscreen.tap(box["x"] + x, box["y"] + 61)
        if "step=" in visitor.page.evaluate("() => location.hash"):
            break
    expect(sheet).to_contain_text("Status")


@pytest.mark.usefixtures("shared_server")
def test_a_failed_run_names_its_cause_and_can_be_continued(server: Process, visitor: Visitor) -> None:
    finish(server, "[[ERROR 400]]", "failed")
    visitor.open("/runs/failed")
    expect(visitor.page.get_by_role("alert").first).to_contain_text("model_error")
    visitor.see("failed: ")
    visitor.check()
    visitor.page.get_by_role("button", name="Run again").click()
    dialog = visitor.page.get_by_role("dialog")
    expect(dialog).to_contain_text("[[ERROR 400]]")
    visitor.check()
    dialog.get_by_role("button", name="Run again").click()
    expect(visitor.page).not_to_have_url(re.compile("/runs/failed$"))
    expect(visitor.page.locator(".run-meta")).to_contain_text("Failed")


def test_cancel_is_said_when_it_is_true(site: Deployment, server: Process, visitor: Visitor) -> None:
    start(server, TRACK.format("SE2"))
    site.reached("SE2")
    visitor.open("/runs/r1")
    visitor.page.get_by_role("button", name="Cancel").click()
    visitor.page.get_by_role("button", name="Cancel the run").click()
    expect(visitor.page.locator(".run-meta")).to_contain_text("Cancelled")
    outcomes = visitor.page.locator(".banners .kv")
    expect(outcomes).to_contain_text(re.compile(r"track_parcel\s*outcome unknown"))
    site.release("SE2")
    visitor.check()


def test_a_cancelled_run_shows_the_text_that_it_kept(server: Process, visitor: Visitor) -> None:
    start(server, "[[WORDS 4000 50]]")
    visitor.open("/runs/r1")
    visitor.see("word5 ")
    visitor.page.get_by_role("button", name="Cancel").click()
    visitor.page.get_by_role("button", name="Cancel the run").click()
    expect(visitor.page.get_by_role("region", name="Written before the cancel")).to_contain_text("word5 ")
    expect(visitor.page.locator(".figures")).to_contain_text("1 cut off")
    visitor.check()


def test_runs_that_wait_behind_a_run_are_counted_live(site: Deployment, server: Process, visitor: Visitor) -> None:
    start(server, TRACK.format("SE5"))
    site.reached("SE5")
    visitor.open("/runs/r1")
    visitor.see("runs track_parcel")
    start(server, "[[SAY two]]", "r2")
    start(server, "[[SAY three]]", "r3")
    behind = visitor.page.get_by_role("link", name="2 runs wait for this one")
    behind.wait_for()
    visitor.check()
    server.http.post("/runs/r3/cancel", json={})
    visitor.see("1 run waits for this one").click()
    expect(visitor.page).to_have_url(re.compile(r"/runs\?session=s1$"))
    expect(visitor.page.locator("a[data-row]")).to_have_count(3)
    site.release("SE5")
    visitor.page.go_back()
    expect(visitor.page.locator(".run-meta")).to_contain_text("Completed")
    expect(visitor.page.locator(".run-meta")).not_to_contain_text("for this one")


def test_a_message_reaches_the_run(site: Deployment, server: Process, visitor: Visitor) -> None:
    start(server, TRACK.format("SE3"))
    site.reached("SE3")
    visitor.open("/runs/r1")
    visitor.page.get_by_role("button", name="Message").click()
    visitor.page.get_by_label("Message", exact=True).fill("Use express, please")
    visitor.check()
    visitor.page.get_by_role("button", name="Send", exact=True).click()
    expect(visitor.page.get_by_role("dialog")).to_be_hidden()
    site.release("SE3")
    visitor.press("2")
    visitor.see("Message: Use express, please")


def test_a_run_goes_on_after_the_server_was_killed(
    site: Deployment, server: Process, open_visitor: Callable[..., Visitor]
) -> None:
    visitor = open_visitor(server)
    start(server, TRACK.format("SE4"))
    site.reached("SE4")
    visitor.open("/runs/r1")
    visitor.see("runs track_parcel")
    server.kill()
    site.release("SE4")
    port = str(server.http.base_url.port)
    site.begin("serve", "--port", port, model_retry_seconds=0).started()
    expect(visitor.page.locator(".run-meta")).to_contain_text("Completed")
    expect(visitor.page.locator(".run-meta")).to_contain_text("attempt 2")
    visitor.see("Downtime")
    visitor.press("2")
    expect(visitor.page.get_by_text("SE4 is in Hamburg").first).to_be_visible()
    visitor.check()
    phone = open_visitor(server, size=PHONE)
    phone.open("/runs/r1")
    expect(phone.page.locator(".figures")).to_contain_text("Downtime", use_inner_text=True)
    expect(phone.page.locator(".legend")).to_contain_text("another process went on at", use_inner_text=True)
    phone.check()


@pytest.mark.usefixtures("shared_server")
def test_a_reload_in_the_middle_of_a_text_shows_all_of_it_once(server: Process, visitor: Visitor) -> None:
    start(server, "[[WORDS 200 20]]", "reloaded")
    visitor.open("/runs/reloaded?view=transcript")
    visitor.see("word3 ")
    visitor.page.reload()
    expect(visitor.page.locator(".run-meta")).to_contain_text("Completed")
    expect(visitor.page.locator(".transcript .entry-text")).to_have_text(" ".join(f"word{i}" for i in range(200)))
    visitor.check()


def test_text_that_a_lost_process_wrote_is_struck_and_written_again(
    site: Deployment, server: Process, visitor: Visitor
) -> None:
    visitor.open("/runs")
    visitor.see("No runs yet")  # on a busy machine the page takes as long to load as the run to write
    start(server, "[[WORDS 300 50]]")
    visitor.open("/runs/r1?view=transcript")
    visitor.see("word20 ")
    expect(visitor.page.locator(".transcript .caret")).to_have_count(1)
    server.kill()
    expect(visitor.page.locator(".transcript .caret")).to_have_count(0)
    port = str(server.http.base_url.port)
    site.begin("serve", "--port", port, model_retry_seconds=0).started()
    expect(visitor.page.locator(".run-meta")).to_contain_text("Completed", timeout=60_000)
    texts = visitor.page.locator(".transcript .entry-text")
    expect(texts.first.locator("del")).to_contain_text("word20 ")
    expect(texts.last).to_have_text(" ".join(f"word{i}" for i in range(300)))
    expect(texts).to_have_count(2)
    visitor.see("Went on after the process had stopped")
    visitor.check()


@pytest.mark.usefixtures("shared_server")
def test_a_members_address_leads_to_its_run(server: Process, visitor: Visitor) -> None:
    finish(server, "[[DELEGATE orders: <SAY I am Orders>]]", "delegated")
    members = server.http.get("/runs/delegated").json()["members"]
    visitor.open(f"/runs/{members[0]['run_id']}")
    expect(visitor.page).to_have_url(re.compile(r"/runs/delegated\?view=transcript&member="))
    visitor.see("I am Orders")
    visitor.check()


@pytest.mark.usefixtures("shared_server")
def test_hostile_text_stays_text(server: Process, visitor: Visitor) -> None:
    finish(server, f"[[DELEGATE orders: <TOOL hostile {{}}>]] {HOSTILE}", "hostile")
    visitor.open("/runs/hostile")
    visitor.see("done: ")
    visitor.press("2")
    visitor.see("window.hacked = 1")
    visitor.check()
    assert visitor.page.evaluate("() => window.hacked") is None


@pytest.mark.usefixtures("shared_server")
def test_a_run_of_20_000_events_stays_smooth_and_small(server: Process, visitor: Visitor) -> None:
    page = visitor.page
    LongRun(20_000).serve(page)
    visitor.open("/runs/long")
    expect(page.get_by_role("row").nth(1)).to_contain_text("200 steps", timeout=60_000)
    box = page.locator(".timeline-bars").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 700, box["y"] + 200)

    def zoom_and_pan() -> None:
        page.keyboard.down("Control")
        for _ in range(20):
            page.mouse.wheel(0, -40)
        page.keyboard.up("Control")
        for step in range(40):
            page.mouse.wheel(60 if step < 20 else -60, 0)

    def scroll() -> None:
        for _ in range(60):
            page.mouse.wheel(0, 200)

    check_smooth(visitor, zoom_and_pan)
    visitor.press("0")
    assert heap_megabytes(visitor) <= 150
    visitor.check()
    visitor.press("3")
    visitor.see("TeamRunCompleted")
    visitor.see("from event 19001")
    page.get_by_role("button", name="Load older events").click()
    visitor.see("from event 18001")
    check_smooth(visitor, scroll)
    visitor.press("2")
    visitor.see("Turn 0 of member")
    scroll_to(visitor, 1_000_000, "Turn 99 of member")  # all events have been read
    scroll_to(visitor, -1_000_000, "Turn 0 of member")
    check_smooth(visitor, scroll)
    visitor.press("3")
    visitor.see("from event 18001")
    page.get_by_role("button", name="Load older events").click()
    visitor.see("from event 17001")
    assert heap_megabytes(visitor) <= 150
    visitor.check()


def scroll_to(visitor: Visitor, pixels: int, text: str) -> None:
    """Turn the wheel until a text is visible: rows that are measured meanwhile keep what is in sight where it is."""
    for _ in range(20):
        visitor.page.mouse.wheel(0, pixels)
        visitor.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        if visitor.page.get_by_text(text).first.is_visible():
            return
    visitor.see(text)


def check_smooth(visitor: Visitor, act: Callable[[], None]) -> None:
    """Assert that frames come in time while the reader acts, and that little of each is spent on the main thread.

    On a busy machine other programs take frames too, and the page does the work of several frames in one. Only its
    processor time counts then, for each frame that a screen would have shown.
    """
    rounds = []
    for _ in range(3):
        with visitor.processor_time() as seconds:
            visitor.page.evaluate(COUNT_FRAMES)
            act()
            frames = sorted(visitor.page.evaluate("() => window.endFrames()"))
            screen_frames = max(len(frames), sum(frames) / SCREEN_FRAME)
            rounds.append((frames[int(len(frames) * 0.95)], seconds() * 1000 / screen_frames))
    assert min(milliseconds for _, milliseconds in rounds) <= BUSY, rounds
    if machine_is_quiet():
        assert min(between for between, _ in rounds) <= SMOOTH, rounds


def heap_megabytes(visitor: Visitor) -> float:
    """The heap of the page after a collection."""
    session = visitor.page.context.new_cdp_session(visitor.page)
    session.send("HeapProfiler.collectGarbage")
    used: float = session.send("Runtime.getHeapUsage")["usedSize"]
    return used / 1e6
