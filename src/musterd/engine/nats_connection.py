"""The connection to NATS that the settings describe."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import TypedDict, Unpack
from urllib.parse import unquote

from nats.aio.client import Client
from nats.errors import Error as NatsError

from musterd.core.errors import StartError
from musterd.core.nats_addresses import split_servers
from musterd.core.settings import Settings

CONNECT_SECONDS = 10.0
RECONNECT_SECONDS = 1
OLDEST_VERSION = (2, 12)


class ConnectOptions(TypedDict, total=False):
    """Options of :meth:`nats.aio.client.Client.connect`."""

    name: str
    no_echo: bool
    allow_reconnect: bool
    max_reconnect_attempts: int
    ping_interval: int
    max_outstanding_pings: int
    disconnected_cb: Callable[[], Awaitable[None]]
    reconnected_cb: Callable[[], Awaitable[None]]
    error_cb: Callable[[Exception], Awaitable[None]]
    user: str
    password: str
    token: str
    user_credentials: str
    tls: ssl.SSLContext


class EncryptedClient(Client):
    """A client that sends nothing, not even credentials, to a server that does not encrypt.

    Without this, a connection is encrypted only if the server requests it, which an attacker in between can prevent.
    """

    async def _process_info(self, info: dict[str, object], initial_connection: bool = False) -> None:
        # Called with the server's greeting, before this client sends anything, also at each reconnection.
        if initial_connection and not info.get("tls_required"):
            raise NatsError("the server does not use TLS")
        await super()._process_info(info, initial_connection)


class NatsServers:
    """The configured servers, and how to connect to them.

    :ivar places: hosts and ports for messages, without passwords.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._servers = split_servers(settings.bus)
        self.places = ", ".join(server.netloc.rpartition("@")[2] for server in self._servers)

    @property
    def is_encrypted(self) -> bool:
        """Whether only servers with TLS may be used."""
        settings = self._settings
        return bool(settings.bus_ca_file or settings.bus_certificate_file) or any(
            server.scheme == "tls" for server in self._servers
        )

    def client(self) -> Client:
        """Create a client, which is not connected yet."""
        return EncryptedClient() if self.is_encrypted else Client()

    async def connect(self, client: Client, **options: Unpack[ConnectOptions]) -> None:
        """Connect, and check the server's version.

        :raises StartError: no server can be reached, or it cannot be used; the message says why.
        """
        options = {**options, **self._credentials(), **self._tls()}
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await client.connect(
                    [server.geturl() for server in self._servers], reconnect_time_wait=RECONNECT_SECONDS, **options
                )
        except (TimeoutError, OSError, NatsError) as error:
            reason = str(error) or f"no answer in {CONNECT_SECONDS:g} s"
            raise StartError(f"NATS at {self.places} cannot be reached ({reason}) — check MUSTERD_BUS") from error
        version = client.connected_server_version
        if (version.major, version.minor) < OLDEST_VERSION:
            raise StartError(f"NATS at {self.places} is version {version_of(client)} — musterd needs 2.12 or newer")

    def _credentials(self) -> ConnectOptions:
        path = self._settings.bus_credentials_file
        if not path:
            return self._login()
        if find_spec("nkeys") is None:  # checked here because nats-py imports it only when it signs
            raise StartError("MUSTERD_BUS_CREDENTIALS_FILE requires nkeys — pip install 'musterd[nats]'")
        _require_readable("MUSTERD_BUS_CREDENTIALS_FILE", path)
        return {"user_credentials": path}

    def _login(self) -> ConnectOptions:
        """The user and password of the URLs, if all have the same: for servers of which other servers tell as well."""
        logins = {(server.username, server.password) for server in self._servers}
        name, password = logins.pop()
        if logins or not name:
            return {}  # the client sends each server what its URL has
        if password is None:
            return {"token": unquote(name)}
        return {"user": unquote(name), "password": unquote(password)}

    def _tls(self) -> ConnectOptions:
        if not self.is_encrypted:
            return {}
        settings = self._settings
        for name in ("bus_ca_file", "bus_certificate_file"):
            if path := getattr(settings, name):
                _require_readable(f"MUSTERD_{name.upper()}", path)
        try:
            context = ssl.create_default_context(cafile=settings.bus_ca_file or None)
            if settings.bus_certificate_file:
                context.load_cert_chain(settings.bus_certificate_file)
        except ssl.SSLError as error:
            reason = error.reason or "not PEM"
            problem = f"MUSTERD_BUS_CA_FILE or MUSTERD_BUS_CERTIFICATE_FILE cannot be used ({reason})"
            raise StartError(f"{problem} — both files must be PEM") from error
        return {"tls": context}


def version_of(client: Client) -> str:
    """The version of the server to which it is connected."""
    version = client.connected_server_version
    return f"{version.major}.{version.minor}.{version.patch}"


def _require_readable(variable: str, path: str) -> None:
    try:
        open(path, "rb").close()
    except OSError as error:
        raise StartError(f"{variable}: {path} cannot be read ({error.strerror})") from error
