"""Streams over several processes: whichever is asked, and whichever dies, a reader is told the same."""

import threading
from typing import Any

from tests.support.http import read_frames, read_stream
from tests.support.process import ALL_LIVE, SOON_DEAD, Deployment, Process, until

WAIT = '[[TOOL wait {"name": "go"}]]'
SSE = {"Accept": "text/event-stream"}


class Listener:
    """Reads a stream in a thread of its own."""

    def __init__(self, process: Process, path: str, last_id: str = "", ends_with: str = "") -> None:
        self._process, self._path, self._ends_with = process, path, ends_with
        self._headers = {**SSE, **({"Last-Event-ID": last_id} if last_id else {})}
        self.text = ""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with self._process.http.stream("GET", self._path, headers=self._headers) as answer:
            assert answer.status_code == 200
            for text in answer.iter_text():
                self.text += text
                if self._ends_with and self._ends_with in self.text and self.text.endswith("\n\n"):
                    return

    def wait_for(self, what: str) -> None:
        until(lambda: what in self.text, f"{what} is told")

    def rest(self) -> str:
        self._thread.join()
        return self.text


def page(process: Process, run_id: str = "r1", after: int = -1) -> list[Any]:
    query = {"session_id": "s1", "after": str(after)}
    answer = process.http.get(f"/agents/solo/runs/{run_id}/events", params=query)
    assert answer.json()["has_more"] is False
    events: list[Any] = answer.json()["events"]
    return events


def test_a_run_at_work_in_another_process_is_read_and_followed(site: Deployment) -> None:
    first, second = site.serve(**ALL_LIVE), site.serve(**ALL_LIVE)
    first.accepted("[[SAY over]]", "r0")
    first.ended("r0")
    follower = Listener(second, "/sessions/s1/events", ends_with="event: RunCompleted\n")
    first.accepted(WAIT, "r1")
    site.reached("go")
    reader = Listener(second, "/agents/solo/runs/r1/events?session_id=s1")
    for listener in (reader, follower):
        listener.wait_for("event: ToolCallStarted\n")
    with second.http.stream("POST", "/agents/solo/runs/r1/resume", data={"session_id": "s1"}) as resumed:
        texts = resumed.iter_text()
        text = ""
        while "event: subscribed\n" not in text:
            text += next(texts)
        site.release("go")
        text += "".join(texts)
    whole = read_stream(reader.rest())
    assert whole[-1]["event"] == "RunCompleted"
    assert [event for event in read_stream(text) if "event_index" in event] == whole
    assert [event for event, _ in read_frames(follower.rest())] == whole
    assert page(first) == page(second) == whole


def test_readers_go_on_where_the_process_was_killed(site: Deployment) -> None:
    first, second = site.serve(**SOON_DEAD), site.serve(**SOON_DEAD)
    first.accepted(WAIT, "r1")
    site.reached("go")
    reader, follower = (
        Listener(second, path, ends_with="event: RunCompleted\n")
        for path in ("/agents/solo/runs/r1/events?session_id=s1", "/sessions/s1/events")
    )
    for listener in (reader, follower):
        listener.wait_for("event: ToolCallStarted\n")
    before = page(first)
    first.kill()
    site.release("go")
    whole = read_stream(reader.rest())
    followed = read_frames(follower.rest())
    assert [event for event, _ in followed] == whole == page(second)
    assert whole[: len(before)] == before
    assert [event["event"] for event in whole].count("RunContinued") == 1
    third = site.serve()
    last = before[-1]["event_index"]
    again = Listener(third, "/agents/solo/runs/r1/events?session_id=s1", last_id=str(last))
    assert read_stream(again.rest()) == whole[last + 1 :]
    cursor = followed[last].id
    assert cursor is not None
    again = Listener(third, "/sessions/s1/events", last_id=cursor, ends_with="event: RunCompleted\n")
    assert [event for event, _ in read_frames(again.rest())] == whole[last + 1 :]
