"""Streams of runs, as the browser's list of requests shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.process import Process
    from tests.ui.visitor import Visitor

RUNS = "/teams/support-desk/runs"
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
