"""A process is killed while it tells a webhook; the next one tells it again, under the same id."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.process import Deployment, until
from tests.support.webhook_receiver import SECRET

SETTINGS = {"webhook_secret": SECRET, "webhook_private_hosts": "127.0.0.1"}


class Hooks(ThreadingHTTPServer):
    """Takes messages in a thread; the ids of those that it took."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hook)
        self.ids: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"


class _Hook(BaseHTTPRequestHandler):
    server: Hooks

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.ids.append(self.headers["webhook-id"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with Hooks() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("fault", "times"), [("sending", 1), ("sent", 2)])
def test_killed_while_it_tells(site: Deployment, hooks: Hooks, fault: str, times: int) -> None:
    first = site.serve(fault=f"{fault}:1:kill", **SETTINGS)
    first.post("hello", "r1", webhook_url=hooks.url)
    first.died()
    (row,) = site.select("SELECT state, attempts, due_at FROM deliveries")
    assert (row["state"], row["attempts"]) == ("pending", 1), "the end stands, and that it is to be told"
    site.execute("UPDATE deliveries SET due_at = due_at - 3600")  # its lease is over
    site.serve(**SETTINGS)
    until(lambda: site.select("SELECT 1 AS n FROM deliveries WHERE state = 'delivered'"), "it is told")
    assert len(hooks.ids) == times
    assert len(set(hooks.ids)) == 1


def test_killed_before_it_is_claimed(site: Deployment, hooks: Hooks) -> None:
    first = site.serve(fault="settled:1:kill", **SETTINGS)
    first.post("hello", "r1", webhook_url=hooks.url)
    first.died()
    copy = site.serve("--no-recover", **SETTINGS)
    assert copy.http.get("/webhooks/deliveries").json()["data"][0]["state"] == "pending", "a copy tells nobody"
    copy.end()
    assert hooks.ids == []
    site.serve(**SETTINGS)
    until(lambda: site.select("SELECT 1 AS n FROM deliveries WHERE state = 'delivered'"), "it is told")
    assert len(hooks.ids) == 1
