"""Streams of runs, as the browser's list of requests shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.support.process import Deployment, Process
    from tests.ui.visitor import Visitor

RUNS = "/teams/support-desk/runs"
TRACK = '[[DELEGATE shipping: <TOOL track_parcel {"tracking_no": "SE1"}>]]'
REFUND = '[[TOOL refund_payment {"order_id": "4417", "amount_eur": 14.9, "reason": "lost"}]]'
WINDOWS = 4
"""Two streams each: more than the six connections that browsers allow."""
READ = """async ([method, path, form]) => {
  const body = form && new URLSearchParams(form);
  const answer = await fetch(path, { method, body, headers: { Accept: "text/event-stream" } });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text;
    text += value;
  }
}"""
"""Reads a stream to its end, as pages do."""
READS = 10
"""The browser called about every second read failed when streams had another header."""
STREAMS = {
    "start": ("POST", RUNS, {"message": "[[SAY hi]]", "session_id": "s2", "stream": "true"}),
    "resume": ("POST", f"{RUNS}/r1/resume", {"session_id": "s1"}),
    "events": ("GET", f"{RUNS}/r1/events?session_id=s1", None),
}


@pytest.fixture(scope="module")
def server_with_a_run(shared_server: Process) -> None:
    """A completed run."""
    shared_server.accepted("[[SAY hi]]", "r1", "teams/support-desk")
    shared_server.ended("r1", "teams/support-desk")


@pytest.mark.usefixtures("server_with_a_run")
@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_that_was_read_to_its_end_is_finished(visitor: Visitor, stream: str) -> None:
    method, path, form = STREAMS[stream]
    visitor.open()
    for _ in range(READS):
        # It waits in vain if the browser calls the request failed (net::ERR_ABORTED).
        with visitor.page.expect_event("requestfinished", lambda request: request.url == visitor.address + path):
            text = visitor.page.evaluate(READ, [method, path, form])
        assert "event: TeamRunCompleted\n" in text


def test_each_of_many_windows_follows_and_decides(site: Deployment, server: Process, visitor: Visitor) -> None:
    server.accepted(f"{TRACK} {REFUND}", "both", "teams/support-desk", "s1")
    site.reached("SE1")
    windows = [visitor.page] + [visitor.page.context.new_page() for _ in range(WINDOWS - 1)]
    for window in windows:
        window.goto(f"{visitor.address}/ui/#/runs/both")
        expect(window.get_by_role("region", name="Question for you")).to_be_visible()
    windows[-1].get_by_role("button", name="Approve").click()
    site.release("SE1")
    server.ended("both", "teams/support-desk")
    for window in windows:
        expect(window.locator(".run-meta")).to_contain_text("Completed")
    visitor.check()
