"""``musterd serve``: one process, the one that was started."""

import contextlib
import ipaddress
import socket
from collections.abc import Callable, Iterator

import uvicorn

from musterd.core.errors import StartError
from musterd.core.settings import Settings

GRACE_SECONDS = 5


def serve(source: str, *, host: str, port: int, db: str | None, insecure: bool) -> int:
    """Serve until the process is told to stop.

    :raises DeclarationError: what is declared is wrong.
    :raises StartError: it cannot be served as asked.
    """
    from musterd.cli.logs import configure
    from musterd.http.app import create_app
    from musterd.specs import load

    settings = _settings(db)
    is_loopback = _is_loopback(host)
    if not is_loopback and not settings.security_key and not (insecure or settings.insecure):
        raise StartError(
            f"--host {host} is reachable from elsewhere and no key is set — set OS_SECURITY_KEY, "
            "or say --insecure to serve everybody"
        )
    configure(as_json=settings.log_json)
    app = create_app(registry=load(source), settings=settings, is_loopback=is_loopback)
    app.state.server.prepare()
    listener = _listen(host, port)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            lifespan="on",
        ),
        listener,
        on_stop=app.state.server.begin_stop,
    )
    server.run(sockets=[listener])
    return 0 if server.started else 1


class _Server(uvicorn.Server):
    """Says where it serves once it does, and tells the application when it begins to stop."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._listener = listener
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self._listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"musterd: serving on http://{shown}:{port}", flush=True)  # noqa: T201 - what a command says

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            self._captured_signals.clear()  # obeyed: uvicorn would raise them again, and the process die of them

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)


def _settings(db: str | None) -> Settings:
    from pydantic import ValidationError

    try:
        return Settings() if db is None else Settings(db=db)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]).upper()
        variable = name if name in ("OS_SECURITY_KEY", "DOCS_ENABLED") else f"MUSTERD_{name}"
        raise StartError(f"{variable}: {first['msg']} — correct or unset the variable") from error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
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
    listener.set_inheritable(True)
    return listener
