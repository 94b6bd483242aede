"""``musterd serve``: serve HTTP and drive runs in this process."""

import asyncio
import contextlib
import math
import os
import signal
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

from musterd.cli.banner import log_stop, log_stop_now, log_stopped, print_startup, warn_of_unknown_variables
from musterd.cli.exit_timer import exit_after_stop, exit_without_leftovers
from musterd.cli.file_limits import fit_to_file_limit
from musterd.cli.listening import listen, url_of
from musterd.cli.main import START
from musterd.cli.settings import settings_from, unknown_variables
from musterd.cli.stop_signals import SIGNALS, in_this_process
from musterd.cli.thread_switching import shorten_waits_for_threads
from musterd.core import garbage_collection
from musterd.core.approvals import ApprovalFilter
from musterd.core.callers import Caller
from musterd.core.errors import StartError, Unavailable
from musterd.core.loopback import is_loopback
from musterd.core.settings import Settings
from musterd.engine.process_role import ProcessRole
from musterd.http.auth.modes import auth_mode
from musterd.http.server import Server

GRACE_SECONDS = 5


def serve(source: str, *, host: str, port: int, db: str | None, insecure: bool, role: ProcessRole) -> int:
    """Serve until a signal arrives. The first signal stops gracefully, the second one immediately.

    :raises DeclarationError: a declaration is wrong.
    :raises StartError: the server cannot start with these settings.
    """
    from musterd.app import create_app
    from musterd.cli.logs import configure
    from musterd.cli.source import load_source, log_differences, log_open_routes, require_declared_access
    from musterd.declare.problems import reported_together
    from musterd.http.uvicorn_protocol import protocol_options

    shorten_waits_for_threads()
    settings = settings_from(db)
    is_local = is_loopback(host)
    configure(settings)
    warn_of_unknown_variables(unknown_variables(os.environ))
    with reported_together():
        loaded = load_source(source, settings)
        settings = loaded.settings
        # After the file is loaded, because it may declare the keys.
        require_key(settings, host, is_open=is_local or insecure, opening="--insecure (or MUSTERD_INSECURE=true)")
        app = create_app(registry=loaded.registry, settings=settings, is_loopback=is_local, process_role=role)
        if loaded.report.host is not None:
            app = loaded.report.host.serve_inside(app)
    require_declared_access(loaded.report, settings)
    log_differences(loaded)
    log_open_routes(loaded.report)
    # Before it listens: no client connects to a server whose database cannot be used.
    app.state.server.prepare()
    listener = listen(host, port)
    server = _UvicornServer(
        app,
        uvicorn.Config(
            app,
            timeout_graceful_shutdown=max(GRACE_SECONDS, math.ceil(settings.drain_seconds)),
            lifespan="off",
            **protocol_options(fit_to_file_limit(settings)),
        ),
        listener,
    )
    server.run(sockets=[listener])
    log_stopped()
    return 0 if server.started else 1


def require_key(settings: Settings, host: str, *, is_open: bool, opening: str = "MUSTERD_INSECURE=true") -> None:
    """Refuse to serve on a public address without authentication, unless that is explicitly allowed.

    :param opening: the option or variable that allows it, for the message.
    :raises StartError: neither authentication nor permission to serve without it is configured.
    """
    if not is_open and not settings.insecure and auth_mode(settings) == "none":
        raise StartError(
            f"--host {host} is reachable from other machines, but neither a key nor token keys are set — "
            f"set OS_SECURITY_KEY or JWT_VERIFICATION_KEY, or {opening} to serve without authentication"
        )


def begin_stop(server: Server) -> None:
    """Begin a graceful stop, and log which runs it waits for."""
    server.begin_stop()
    log_stop(server)


def stop_now(server: Server) -> None:
    """Stop without waiting for anything, and log that."""
    log_stop_now(server)
    server.leave_now()


class _UvicornServer(uvicorn.Server):
    """Prints what it serves once it listens, and passes signals on to the server."""

    def __init__(self, app: Starlette, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener
        self._server: Server = app.state.server
        self._lifespan = app.router.lifespan_context(app)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self._lifespan.__aenter__()  # not uvicorn's lifespan: that prints a traceback for a StartError
        await super().startup(sockets)
        if self.started:
            garbage_collection.freeze_and_resume(START)
            print_startup(self._server, url_of(self._listener), await self._waiting())

    async def _waiting(self) -> int:
        """How many calls and steps wait for a person; 0 if the database cannot say it now."""
        try:
            return await self._server.approvals.count(ApprovalFilter(status="pending"), Caller())
        except Unavailable:
            return 0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM. uvicorn would raise the signal again, but a graceful stop must exit with 0."""
        loop = asyncio.get_running_loop()

        def stop() -> None:
            # Start the timer first: it must also end a process whose event loop is blocked.
            if not self.should_exit:
                exit_after_stop(self._server.settings.drain_seconds)
            self.force_exit = self.should_exit
            self.should_exit = True
            # A signal handler may interrupt the event loop at any instruction, and has to wake it if it sleeps.
            loop.call_soon_threadsafe(stop_now if self.force_exit else begin_stop, self._server)

        on_signal = in_this_process(stop)
        old_handlers = {signal_number: signal.signal(signal_number, on_signal) for signal_number in SIGNALS}
        try:
            yield
        finally:
            for signal_number, handler in old_handlers.items():
                signal.signal(signal_number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # First, because uvicorn waits for open requests: this ends the streams and answers the requests that wait.
        self._server.begin_stop()
        await super().shutdown(sockets)
        # After the connections: requests that are being answered still need the database.
        await self._lifespan.__aexit__(None, None, None)
        exit_without_leftovers()
