"""llama.cpp in a process of its own, with one socket for each generation.

The bindings hold Python's global lock while they load the weights, for 10 to 20 seconds. In the server's own process
that would stop every request, stream and heartbeat. A crash of llama.cpp does not end the server either.
"""

import json
import queue
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from musterd.core.errors import DeclarationError
from musterd.core.jsontypes import JsonObject
from musterd.core.settings import Settings
from musterd.models.local.server_child import STOP_BYTE

_COMMAND = (sys.executable, "-P", "-m", "musterd.models.local.server_child")


class ServerProcess:
    """A process that runs :mod:`musterd.models.local.server_child`. It ends when this object or this process does.

    Creating it blocks until the model is loaded.

    :param slots: how many generations may run at once.
    :param command: starts the process; the descriptors of its sockets are added.
    :raises DeclarationError: the weights are missing or wrong.
    :raises RuntimeError: the model cannot be loaded.
    """

    def __init__(self, settings: Settings, slots: int, command: Sequence[str] = _COMMAND) -> None:
        pairs = [socket.socketpair() for _ in range(slots + 1)]
        theirs = [pair[1] for pair in pairs]
        self._process = subprocess.Popen(
            [*command, *(str(end.fileno()) for end in theirs)],
            pass_fds=[end.fileno() for end in theirs],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for end in theirs:
            end.close()  # so that reading here ends if the process does
        self._control, *connections = [_Connection(pair[0]) for pair in pairs]
        self._free: queue.SimpleQueue[_Connection] = queue.SimpleQueue()
        for connection in connections:
            self._free.put(connection)
        self._control.send({"local_model": settings.local_model, "local_cache": settings.local_cache})
        loaded = self._control.receive()
        if loaded:
            self._process.wait()
        if message := loaded.get("declaration_error"):
            raise DeclarationError(message)
        if message := loaded.get("error"):
            raise RuntimeError(message)

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def close(self) -> None:
        """End the process."""
        self._control.close()

    def wait(self) -> int:
        """Wait until the process has ended, and return its exit code."""
        return self._process.wait()

    def handle_chat_completions(self, body: JsonObject, callback: Callable[[Any], bool]) -> None:
        """Answer a chat completion. ``callback`` gets each chunk and returns True to end the generation.

        :raises RuntimeError: the generation failed, or the process has ended.
        """
        connection = self._free.get()
        try:
            connection.send(body)
            is_stopped = False
            while "end" not in (message := connection.receive()):
                if error := message.get("error"):
                    raise RuntimeError(error)
                if not is_stopped and callback(message["chunk"]):
                    connection.stop()
                    is_stopped = True
        finally:
            self._free.put(connection)


class _Connection:
    """One end of a socket pair that carries JSON, one value in a line."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._lines = end.makefile("rb")

    def send(self, value: JsonObject) -> None:
        try:
            self._socket.sendall(json.dumps(value).encode() + b"\n")
        except OSError as error:
            raise RuntimeError("the process of the local model has ended") from error

    def stop(self) -> None:
        self._socket.sendall(STOP_BYTE)

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def receive(self) -> JsonObject:
        try:
            line = self._lines.readline()
        except OSError:  # it ended with bytes unread
            line = b""
        if not line:
            raise RuntimeError("the process of the local model has ended")
        value: JsonObject = json.loads(line)
        return value
