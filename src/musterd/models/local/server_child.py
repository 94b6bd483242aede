"""The process that runs llama.cpp; started by :mod:`musterd.models.local.server_process`.

Its arguments are the descriptors of sockets: the first tells what to load and says when it is loaded, each other one
serves one generation at a time. It ends when the first is closed, which the end of the server does, however it ends.
"""

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from musterd.core.errors import DeclarationError
from musterd.models.local.llama import Completions, load_server

STOP_BYTE = b"."
"""What the server sends to end the generation under way. No request begins with it."""


def main(descriptors: list[int], load: Callable[[Any], Completions] = load_server) -> None:
    """Load the model, and answer on the sockets until the first of them is closed."""
    # Ctrl+C and a service manager signal the whole group of processes. This one goes on until the server ends: runs at
    # work may finish their step.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    control, *connections = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    lines = control.makefile("rb")
    try:
        server = load(SimpleNamespace(**json.loads(lines.readline())))
    except DeclarationError as error:
        _send(control, {"declaration_error": error.message})
    except (OSError, RuntimeError, ValueError, MemoryError, ImportError) as error:
        _send(control, {"error": f"{type(error).__name__}: {error}"})
    else:
        for connection in connections:
            threading.Thread(target=_serve, args=(server, connection), daemon=True).start()
        _send(control, {})
        lines.read()
    os._exit(0)  # threads in llama.cpp may still generate


def _serve(server: Completions, connection: socket.socket) -> None:
    """Answer one request after the other."""
    pending = b""
    while True:
        while b"\n" not in pending:
            received = connection.recv(65536)
            if not received:
                return
            pending += received
        line, _, pending = pending.partition(b"\n")
        # A stop may come too late for its generation. It is a byte before the next request.
        body = json.loads(line.lstrip(STOP_BYTE))

        def on_chunk(chunk: Any) -> bool:
            _send(connection, {"chunk": chunk})
            return _is_stopped(connection)

        try:
            server.handle_chat_completions(body, on_chunk)
        except Exception as error:  # noqa: BLE001 - the server reports it
            _send(connection, {"error": f"{type(error).__name__}: {error}"})
        else:
            _send(connection, {"end": True})


def _is_stopped(connection: socket.socket) -> bool:
    """Whether the server wants the generation to end; taken from the socket."""
    try:
        return bool(connection.recv(1, socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False


def _send(connection: socket.socket, value: dict[str, Any]) -> None:
    connection.sendall(json.dumps(value).encode() + b"\n")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]])
