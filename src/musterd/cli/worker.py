"""``musterd worker``: drives runs that other processes accept. With ``--port`` it serves probes."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager

from musterd.cli.banner import log_stopped, warn_of_unknown_variables
from musterd.cli.exit_timer import exit_after_stop, exit_without_leftovers
from musterd.cli.listening import listen, url_of
from musterd.cli.main import START
from musterd.cli.serve import begin_stop, require_key, stop_now
from musterd.cli.settings import settings_from, unknown_variables
from musterd.cli.stop_signals import SIGNALS, in_this_process
from musterd.cli.thread_switching import shorten_waits_for_threads
from musterd.core import garbage_collection
from musterd.core.loopback import is_loopback
from musterd.core.redacted_urls import redacted_url
from musterd.core.settings import Settings
from musterd.declare import Registry
from musterd.engine.process_role import ProcessRole
from musterd.http.server import Server

WORKER = ProcessRole(answers=False)


def work(source: str, *, db: str | None, host: str, port: int | None) -> int:
    """Drive runs until a signal arrives. The first signal stops gracefully, the second one immediately.

    :param port: port for probes and metrics; None to not listen.
    :raises DeclarationError: a declaration is wrong.
    :raises StartError: the worker cannot start with these settings.
    """
    from musterd.app import FEATURES
    from musterd.cli.logs import configure
    from musterd.cli.source import load_source, log_differences
    from musterd.declare.problems import reported_together

    shorten_waits_for_threads()
    settings = settings_from(db)
    configure(settings)
    warn_of_unknown_variables(unknown_variables(os.environ))
    probes: AbstractAsyncContextManager[str] = contextlib.nullcontext("")
    with reported_together():
        loaded = load_source(source, settings)
        if port is None:
            server = Server(loaded.registry, loaded.settings, FEATURES, WORKER)
        else:
            # After the file is loaded, because it may declare the keys.
            require_key(loaded.settings, host, is_open=is_loopback(host))
            server, probes = _with_probes(loaded.registry, loaded.settings, host, port)
    log_differences(loaded)
    server.prepare()
    own_application = loaded.report.host
    lifespan: AbstractAsyncContextManager[object] = (
        contextlib.nullcontext() if own_application is None else own_application.lifespan()
    )
    asyncio.run(_work(server, probes, lifespan))
    log_stopped()
    return 0


async def _work(
    server: Server, probes: AbstractAsyncContextManager[str], lifespan: AbstractAsyncContextManager[object]
) -> None:
    """Drive runs until a signal stops the server.

    :param lifespan: that of the file's own application; the runs may need what it opens.
    """
    stop_requested, is_stopping = asyncio.Event(), False
    loop = asyncio.get_running_loop()

    def begin(stop: Callable[[Server], None]) -> None:
        stop(server)
        stop_requested.set()

    def on_signal() -> None:
        # Not a signal handler of the event loop, and the timer first: it must also end a process whose loop is blocked.
        nonlocal is_stopping
        if not is_stopping:
            exit_after_stop(server.settings.drain_seconds)
        loop.call_soon_threadsafe(begin, stop_now if is_stopping else begin_stop)
        is_stopping = True

    for signal_number in SIGNALS:
        signal.signal(signal_number, in_this_process(on_signal))
    # In this order: probes are answered during the drain, in which runs still need what the lifespan opened.
    async with probes as address, lifespan, server.running():
        garbage_collection.freeze_and_resume(START)
        print(f"musterd: working on {redacted_url(server.settings.db)}{address}", flush=True)  # noqa: T201 - the output
        await stop_requested.wait()
    exit_without_leftovers()


def _with_probes(
    registry: Registry, settings: Settings, host: str, port: int
) -> tuple[Server, AbstractAsyncContextManager[str]]:
    """The server, and a context that answers its probes and gives the text to print about it."""
    import uvicorn

    from musterd.app import create_app, keep_probes
    from musterd.http.uvicorn_protocol import protocol_options

    is_local = is_loopback(host)
    app = create_app(registry=registry, settings=settings, is_loopback=is_local, process_role=WORKER)
    keep_probes(app)
    listener = listen(host, port)

    class ProbeServer(uvicorn.Server):
        """Leaves signals to the worker."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    @contextlib.asynccontextmanager
    async def serve_probes() -> AsyncIterator[str]:
        config = uvicorn.Config(app, lifespan="off", **protocol_options(settings))
        probe_server = ProbeServer(config)
        task = asyncio.create_task(probe_server.serve(sockets=[listener]))
        try:
            yield f", probes on {url_of(listener)}"
        finally:
            # Not cancelled: uvicorn closes its connections and the listener itself.
            probe_server.should_exit = True
            await task

    return app.state.server, serve_probes()
