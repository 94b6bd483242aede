"""``musterd worker``: drives runs that other processes accept; it answers probes where it is told to, and no more."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager

from musterd.cli.banner import log_stopped, warn_of_unknown_variables
from musterd.cli.exit_timer import exit_after_stop, exit_without_leftovers
from musterd.cli.main import START
from musterd.cli.serve import address_of, begin_stop, is_loopback_host, listen, require_key, stop_at_once
from musterd.cli.settings import settings_from, unknown_variables
from musterd.core import garbage_collection
from musterd.core.settings import Settings
from musterd.declare import Registry
from musterd.http.server import Server
from musterd.store.open_database import shown_url


def work(source: str, *, db: str | None, host: str, port: int | None) -> int:
    """Drive runs until the process is told to stop: once, and it stops in order; twice, and it stops at once.

    :param port: where it answers probes and tells its figures; None: nowhere.
    :raises DeclarationError: what is declared is wrong.
    :raises StartError: it cannot be served as asked.
    """
    from musterd.cli.logs import configure
    from musterd.declare import load
    from musterd.declare.problems import reported_together

    settings = settings_from(db)
    if port is not None:
        require_key(settings, host, is_open=is_loopback_host(host))
    configure(settings)
    warn_of_unknown_variables(unknown_variables(os.environ))
    listening: AbstractAsyncContextManager[str] = contextlib.nullcontext("")
    with reported_together():
        registry = load(source)
        if port is None:
            server = Server(registry, settings)
        else:
            server, listening = _probed(registry, settings, host, port)
    server.prepare()
    asyncio.run(_work(server, listening))
    log_stopped()
    return 0


async def _work(server: Server, listening: AbstractAsyncContextManager[str]) -> None:
    is_told = asyncio.Event()

    def stop() -> None:
        if not is_told.is_set():
            exit_after_stop(server.settings.drain_seconds)
        (stop_at_once if is_told.is_set() else begin_stop)(server)
        is_told.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    async with listening as place, server.running():  # while it drains it answers still
        garbage_collection.keep(START)
        print(f"musterd: working on {shown_url(server.settings.db)}{place}", flush=True)  # noqa: T201 - what a command says
        await is_told.wait()
    exit_without_leftovers()


def _probed(
    registry: Registry, settings: Settings, host: str, port: int
) -> tuple[Server, AbstractAsyncContextManager[str]]:
    """The server, and what answers probes of it; what that gives is where."""
    import uvicorn

    from musterd.app import create_app
    from musterd.http.uvicorn_protocol import protocol_options
    from musterd.http.worker_probes import keep_probes

    app = keep_probes(create_app(registry=registry, settings=settings, is_loopback=is_loopback_host(host)))
    listener = listen(host, port)

    class Answering(uvicorn.Server):
        """Answers until it is told to stop by the worker: signals are the worker's."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    @contextlib.asynccontextmanager
    async def listening() -> AsyncIterator[str]:
        config = uvicorn.Config(app, lifespan="off", **protocol_options(settings))
        answering = Answering(config)
        task = asyncio.create_task(answering.serve(sockets=[listener]))
        try:
            yield f", probes on {address_of(listener)}"
        finally:
            answering.should_exit = True
            await task

    return app.state.server, listening()
