"""``musterd worker``: drives runs that other processes accept, and listens nowhere."""

import asyncio
import signal

from musterd.cli.main import START
from musterd.cli.settings import settings_from
from musterd.core import collector
from musterd.http.server import Server


def work(source: str, *, db: str | None) -> int:
    """Drive runs until the process is told to stop: once, and it stops in order; twice, and it stops at once.

    :raises DeclarationError: what is declared is wrong.
    :raises StartError: it cannot be served as asked.
    """
    from musterd.cli.logs import configure
    from musterd.specs import load

    settings = settings_from(db)
    configure(settings)
    server = Server(load(source), settings)
    server.prepare()
    asyncio.run(_work(server))
    return 0


async def _work(server: Server) -> None:
    is_told = asyncio.Event()

    def stop() -> None:
        if is_told.is_set():
            server.leave_now()
        is_told.set()
        server.begin_stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    async with server.running():
        collector.started(START)
        print(f"musterd: working on {server.settings.db}", flush=True)  # noqa: T201 - what a command says
        await is_told.wait()
