"""The clients of the package while a server is killed again and again: their waits and streams go on."""

import asyncio
import threading
from pathlib import Path
from typing import Any

from musterd import AsyncClient, Client
from musterd.client import Event, Run
from tests.support.process import PATIENCE_SECONDS, Deployment, until
from tests.support.terminal import Terminal

KILLS = 10
GATES = [f"gate{number}" for number in range(KILLS)]


class Follower(threading.Thread):
    """Reads a run's stream in a thread of its own."""

    def __init__(self, url: str, run: Run) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._followed = run
        self.events: list[Event] = []

    def run(self) -> None:
        with Client(self._url, retry_seconds=PATIENCE_SECONDS) as client:
            self.events.extend(client.stream(self._followed))

    def has_seen(self, result: str) -> bool:
        """Whether the end of the tool call with this result has come."""
        return any(event.tool and event.tool.get("result") == result for event in self.events)

    def raws(self) -> list[dict[str, Any]]:
        """All events, once the run has finished."""
        self.join(PATIENCE_SECONDS)
        assert not self.is_alive()
        return [event.raw for event in self.events]


class AsyncFollower(Follower):
    """The same with the other client."""

    def run(self) -> None:
        asyncio.run(self._follow())

    async def _follow(self) -> None:
        async with AsyncClient(self._url, retry_seconds=PATIENCE_SECONDS) as client:
            async for event in client.stream(self._followed):
                self.events.append(event)


class Waiter(threading.Thread):
    """Waits for a run's end in a thread of its own."""

    def __init__(self, url: str, run: Run) -> None:
        super().__init__(daemon=True)
        self._url = url
        self.run_at_end = run

    def run(self) -> None:
        with Client(self._url, retry_seconds=PATIENCE_SECONDS) as client:
            self.run_at_end = client.wait(self.run_at_end)


def test_streams_and_waits_go_on_over_ten_kills(site: Deployment) -> None:
    """Each kill comes right after a tool's result was read, so that the run has a new step each time."""
    server = site.serve()
    url, port = str(server.http.base_url), str(server.http.base_url.port)
    message = " ".join(f'[[TOOL wait {{"name": "{gate}"}}]]' for gate in GATES)
    with Client(url, retry_seconds=PATIENCE_SECONDS) as client:
        run = client.start("solo", message, kind="agent")
        followers, waiter = (Follower(url, run), AsyncFollower(url, run)), Waiter(url, run)
        for thread in (*followers, waiter):
            thread.start()
        for gate in GATES:
            site.release(gate)
            for follower in followers:
                until(lambda: follower.has_seen(f"waited {gate}"), f"the result of {gate}")  # noqa: B023
            server.kill()
            server = site.begin("serve", "--port", port).started()
        events = [follower.raws() for follower in followers]
        waiter.join(PATIENCE_SECONDS)
        page = client.runs.events(run)
    assert waiter.run_at_end.status == "COMPLETED"
    assert waiter.run_at_end.content == f"Done: {' | '.join(f'waited {gate}' for gate in GATES)}"
    assert [event["event"] for event in events[0]].count("RunContinued") >= KILLS - 1
    stored = [event.raw for event in page.events]
    assert [len(received) for received in events] == [len(stored)] * 2
    assert events == [stored] * 2, "none is lost, none comes twice"


def test_the_live_view_says_that_it_reconnects_and_goes_on(site: Deployment, tmp_path: Path) -> None:
    server = site.serve()
    url, port = str(server.http.base_url), str(server.http.base_url.port)
    environment = {"MUSTERD_URL": url, "XDG_CONFIG_HOME": str(tmp_path)}
    with Terminal("run", "solo", '[[TOOL wait {"name": "gate"}]]', environment=environment) as terminal:
        terminal.until('calling wait(name="gate")')
        server.kill()
        terminal.until_match(r"reconnecting (\d+)\b.*reconnecting (?!\1\b)\d")  # and the time goes on
        site.begin("serve", "--port", port).started()
        site.release("gate")
        code, out = terminal.end()
    assert (code, out) == (0, "Done: waited gate\n")
