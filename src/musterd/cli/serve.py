"""``musterd serve``: one process, the one that was started."""

import asyncio
import contextlib
import ipaddress
import math
import os
import signal
import socket
from collections.abc import Iterator
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from musterd.cli.banner import log_stop, log_stop_at_once, log_stopped, startup_lines, warn_of_unknown_variables
from musterd.cli.exit_timer import exit_after_stop, exit_without_leftovers
from musterd.cli.file_limits import fitting
from musterd.cli.main import START
from musterd.cli.settings import settings_from, unknown_variables
from musterd.core import garbage_collection
from musterd.core.child_processes import close_in_children
from musterd.core.errors import StartError
from musterd.core.settings import Settings
from musterd.engine.process_role import ProcessRole
from musterd.http.auth.modes import auth_mode
from musterd.http.server import Server

GRACE_SECONDS = 5


def serve(source: str, *, host: str, port: int, db: str | None, insecure: bool, duties: ProcessRole) -> int:
    """Serve until the process is told to stop: once, and it stops in order; twice, and it stops at once.

    :raises DeclarationError: what is declared is wrong.
    :raises StartError: it cannot be served as asked.
    """
    from musterd.app import create_app
    from musterd.cli.logs import configure
    from musterd.declare import load
    from musterd.declare.problems import reported_together
    from musterd.http.uvicorn_protocol import protocol_options

    settings = settings_from(db)
    is_loopback = is_loopback_host(host)
    require_key(settings, host, is_open=is_loopback or insecure, opening="--insecure (or MUSTERD_INSECURE=true)")
    configure(settings)
    warn_of_unknown_variables(unknown_variables(os.environ))
    with reported_together():
        app = create_app(registry=load(source), settings=settings, is_loopback=is_loopback, duties=duties)
    app.state.server.prepare()
    listener = listen(host, port)
    server = _Listening(
        app,
        uvicorn.Config(
            app,
            timeout_graceful_shutdown=max(GRACE_SECONDS, math.ceil(settings.drain_seconds)),
            lifespan="off",
            **protocol_options(fitting(settings)),
        ),
        listener,
    )
    server.run(sockets=[listener])
    log_stopped()
    return 0 if server.started else 1


def require_key(settings: Settings, host: str, *, is_open: bool, opening: str = "MUSTERD_INSECURE=true") -> None:
    """Refuse to serve everybody unasked.

    :param opening: how this command is told to serve without a key.
    :raises StartError: nobody said that it is meant.
    """
    if not is_open and not settings.insecure and auth_mode(settings) == "none":
        raise StartError(
            f"--host {host} is reachable from elsewhere and neither a key nor keys of tokens are set — "
            f"set OS_SECURITY_KEY or JWT_VERIFICATION_KEY, or {opening} to serve everybody"
        )


def begin_stop(server: Server) -> None:
    """Stop in order, and say what that waits for."""
    server.begin_stop()
    log_stop(server)


def stop_at_once(server: Server) -> None:
    """Stop without waiting for anything, and say so."""
    log_stop_at_once(server)
    server.leave_now()


class _Listening(uvicorn.Server):
    """Says where it serves once it does, and tells the server when it is to stop, and when at once."""

    def __init__(self, app: Starlette, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener
        self._server: Server = app.state.server
        self._running = app.router.lifespan_context(app)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self._running.__aenter__()  # uvicorn would answer a StartError with a traceback
        await super().startup(sockets)
        if self.started:
            garbage_collection.keep(START)
            said = "\n".join(startup_lines(self._server, address_of(self._listener)))
            print(said, flush=True)  # noqa: T201 - what a command says

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM. A stop in order is no failure: the signal is not raised again at the end."""
        loop = asyncio.get_running_loop()

        def stop(sig: int, frame: FrameType | None) -> None:
            if not self.should_exit:
                exit_after_stop(self._server.settings.drain_seconds)
            self.force_exit = self.should_exit
            self.should_exit = True
            loop.call_soon_threadsafe(stop_at_once if self.force_exit else begin_stop, self._server)

        before = {sig: signal.signal(sig, stop) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._server.begin_stop()
        await super().shutdown(sockets)
        await self._running.__aexit__(None, None, None)
        exit_without_leftovers()


def is_loopback_host(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address_of(listener: socket.socket) -> str:
    """Where it listens, as clients write it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    :raises StartError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise StartError(
            f"{host}:{port} cannot be listened on ({error}) — choose another with --host and --port"
        ) from error
    _notice_dead_clients(listener)
    close_in_children(listener)
    return listener


def _notice_dead_clients(listener: socket.socket) -> None:
    """Have the system ask after clients that say nothing: a wait for a run must not outlive who waits by hours.

    Connections take these options over from who accepts them.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
