"""Runs unmodified AgentOS clients in processes of their own and controls them with lines of JSON.

A driver reads ``{"id": n, "do": name, "args": [...], "with": {...}}`` and writes ``{"id": n, "event": …}`` for each
event of a stream, then ``{"id": n, "result": …}`` or ``{"id": n, "error": {...}}``. It handles several calls at once.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PATIENCE_SECONDS = 120.0


@dataclass
class ClientFailed(Exception):
    """An exception that the client raised.

    :param kind: the name of its exception.
    :param status: the HTTP status, if there was one.
    :param body: the answer's JSON, if there was one.
    """

    kind: str
    words: str
    status: int | None = None
    body: Any = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.words} {self.body or ''}"


@dataclass
class PendingCall:
    """A call that the client has not finished."""

    name: str
    answers: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)
    events: list[Any] = field(default_factory=list)

    def _next(self) -> dict[str, Any]:
        try:
            answer = self.answers.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            raise AssertionError(f"{self.name}: no answer within {PATIENCE_SECONDS} s, so far {self.events}") from None
        if error := answer.get("error"):
            raise ClientFailed(**error)
        if "event" in answer:
            self.events.append(answer["event"])
        return answer

    def until(self, name: str) -> Any:
        """The next event of this name (or type)."""
        while "event" in (answer := self._next()):
            event = answer["event"]
            if name in (event.get("event"), event.get("$type")):
                return event
        raise AssertionError(f"{self.name}: ended without {name}: {self.events}")

    def result(self) -> Any:
        """The result of the call; for a stream, the list of its events."""
        while "event" in (answer := self._next()):
            pass
        return self.events if answer.get("is_stream") else answer["result"]


class Driver:
    """A process that contains a client.

    Calls look like those of the client: ``driver.run_team("demo-team", "hello")``. A call that continues while the test
    does something else is started with ``driver.begin("run_team_stream", "demo-team", "hello")``.
    """

    def __init__(self, words: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> None:
        self._popen = subprocess.Popen(
            [str(word) for word in words],
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._numbers = itertools.count(1)
        self._calls: dict[int, PendingCall] = {}
        self._ended = ""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        words = "the driver has ended"
        for line in self._popen.stdout:
            if not line.startswith("{"):
                words = f"the driver said {line!r}"
                break
            answer = json.loads(line)
            self._calls[answer.pop("id")].answers.put(answer)
        self._ended = words
        for call in list(self._calls.values()):
            call.answers.put({"error": {"kind": "Ended", "words": words}})

    def begin(self, name: str, /, *args: Any, **keywords: Any) -> PendingCall:
        """Ask the client to do something, and go on."""
        assert not self._ended, self._ended
        number = next(self._numbers)
        call = self._calls[number] = PendingCall(name)
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps({"id": number, "do": name, "args": args, "with": keywords}) + "\n")
        self._popen.stdin.flush()
        return call

    def ask(self, name: str, /, *args: Any, **keywords: Any) -> Any:
        """Ask the client to do something, and wait for what comes of it."""
        return self.begin(name, *args, **keywords).result()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*args: Any, **keywords: Any) -> Any:
            return self.ask(name, *args, **keywords)

        return call

    def close(self) -> None:
        """End the process."""
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        try:
            self._popen.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._reading.join()
