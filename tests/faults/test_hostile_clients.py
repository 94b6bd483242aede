"""A process that hostile clients visit, many at once: it answers others all the while and needs no more memory."""

import contextlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.process import Deployment, Process, deployment_of, until

HOST = b"Host: localhost\r\n"
HEAD = b"GET /health HTTP/1.1\r\n" + HOST
FORM = b"POST /agents/solo/runs HTTP/1.1\r\n" + HOST + b"Content-Type: application/x-www-form-urlencoded\r\n"
BIG = 2 * 1024 * 1024
MAX_MEBIBYTES = 100
"""What the process may have grown by: uploads are bounded by far less, and freed memory is not always given back."""


@pytest.fixture
def served(sqlite_file: Path, tmp_path: Path) -> Iterator[Process]:
    """A process with small limits, as ``musterd serve`` starts it."""
    for site in deployment_of(f"sqlite:///{sqlite_file}", tmp_path, Path(__file__).with_name("components.py")):
        yield _serve(site)


def _serve(site: Deployment) -> Process:
    limits: dict[str, Any] = {"connections": 100, "header_seconds": 6, "body_seconds": 6, "write_seconds": 6}
    return site.serve(uploads_bytes=4 * BIG, **limits)


def answers(process: Process) -> int:
    """The status that another client gets, on a connection of its own."""
    return httpx2.get(process.http.base_url.join("/health"), timeout=60, trust_env=False).status_code


def memory(process: Process) -> float:
    """What the process needs, in MiB."""
    match = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.popen.pid}/status").read_text())
    assert match
    return int(match[1]) / 1024


class Crowd:
    """Clients that each have a connection."""

    def __init__(self, process: Process, stack: contextlib.ExitStack) -> None:
        self._address = (process.http.base_url.host, process.http.base_url.port or 80)
        self._stack = stack

    def say(self, data: bytes) -> socket.socket:
        """One more, which says this and nothing else."""
        line = self._stack.enter_context(socket.create_connection(self._address, timeout=60))
        with contextlib.suppress(ConnectionError):
            line.sendall(data)
        return line


def receive_all(line: socket.socket) -> bytes:
    """All that it is told until it is cut off."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := line.recv(65536):
            data += piece
    return data


def test_a_process_that_hostile_clients_visit(served: Process) -> None:
    assert answers(served) == 200
    before = memory(served)
    with contextlib.ExitStack() as stack:
        crowd = Crowd(served, stack)
        slow_heads = [crowd.say(HEAD + b"X-A: ") for _ in range(250)]  # more than there may be connections
        assert answers(served) == 200
        slow_bodies = [crowd.say(FORM + b"Content-Length: 100\r\n\r\nmessage=") for _ in range(50)]
        assert answers(served) == 200
        endless = [crowd.say(HEAD + b"X-A: " + b"x" * BIG) for _ in range(10)]
        uploads = [crowd.say(FORM + b"Content-Length: %d\r\n\r\nimages=" % BIG + b"x" * (BIG // 2)) for _ in range(20)]
        assert answers(served) == 200
        assert {receive_all(line)[9:12] for line in slow_bodies} == {b"408"}
        assert {receive_all(line)[9:12] for line in slow_heads} <= {b"408", b"503", b""}  # some made room for others
        assert {receive_all(line)[9:12] for line in endless} <= {b"431", b""}
        assert {receive_all(line)[9:12] for line in uploads} <= {b"408", b"503"}
        assert memory(served) - before < MAX_MEBIBYTES
    served.accepted("hello", "r1")
    assert served.ended("r1")["status"] == "COMPLETED"
    assert "Traceback" not in served.log
    assert "request failed" not in served.log


def test_many_readers_that_take_nothing(served: Process) -> None:
    image = b"\x89PNG" + bytes(3 * BIG)
    fields = {"message": "hi", "stream": "false", "session_id": "s1", "run_id": "big"}
    answer = served.http.post("/agents/solo/runs", data=fields, files={"files": ("a.png", image, "image/png")})
    assert answer.status_code == 200, answer.text
    with contextlib.ExitStack() as stack:
        crowd = Crowd(served, stack)
        path = b"/agents/solo/runs/big?session_id=s1"
        for _ in range(5):
            crowd.say(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        until(lambda: served.log.count("does not read its response") == 5, "they are dropped")
        assert answers(served) == 200
