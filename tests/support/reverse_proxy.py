"""A reverse proxy that serves a server below a prefix and removes the prefix, as nginx and Traefik do."""

from __future__ import annotations

import contextlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from email.message import Message
    from types import TracebackType

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})
PIECE_BYTES = 65536


class ReverseProxy(ThreadingHTTPServer):
    """Serves from the start of the ``with`` block to its end, on a free port.

    :param port: the port of the server behind it, on loopback.
    :param prefix: where the server is found, like ``/tools``. Other paths are 404.
    """

    daemon_threads = True

    def __init__(self, port: int, prefix: str) -> None:
        super().__init__(("127.0.0.1", 0), _Exchange)
        self.upstream_port = port
        self.prefix = prefix
        self.address = f"http://127.0.0.1:{self.server_port}{prefix}"
        self.paths: list[str] = []
        """The paths of all requests."""

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ReverseProxy

    def _forward(self) -> None:
        self.server.paths.append(self.path)
        self.close_connection = True
        if not self.path.startswith(f"{self.server.prefix}/"):
            self.send_error(404)
            return
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream_port)
        # Either side may go away in the middle of a stream.
        with contextlib.closing(upstream), contextlib.suppress(OSError, http.client.HTTPException):
            upstream.request(self.command, self.path.removeprefix(self.server.prefix), body, self._own(self.headers))
            self._answer(upstream.getresponse())

    def _answer(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status)
        for name, value in self._own(answer.headers).items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        while piece := answer.read1(PIECE_BYTES):
            self.wfile.write(piece)

    def _own(self, headers: Message) -> dict[str, str]:
        return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}

    do_GET = do_POST = do_PATCH = do_DELETE = _forward  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:
        """Write no log."""
