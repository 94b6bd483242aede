"""Encrypted connections to NATS, and the reasons of failed ones."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from musterd import Agent, Settings
from musterd.core.errors import StartError
from musterd.core.states import RunState
from musterd.engine.bus_nats import NatsBus
from tests.support.certificates import Authority
from tests.support.engine import harness_on, running
from tests.support.held_model import HeldModel
from tests.support.nats import START_SECONDS, NatsServer
from tests.support.nats_cluster import free_ports

pytestmark = pytest.mark.usefixtures("nats_program")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def encrypted(authority: Authority) -> Iterator[NatsServer]:
    """A server with TLS, which accepts only clients with a certificate of the authority."""
    own, trusted = str(authority.issue("server")), str(authority.file)
    server = NatsServer("--tls", "--tlscert", own, "--tlskey", own, "--tlsverify", "--tlscacert", trusted)
    yield server
    server.close()


async def connect(url: str, **settings: Any) -> None:
    """Connect, and disconnect."""
    from musterd.engine.nats_connection import NatsServers

    async def ignore(error: Exception) -> None:
        """Ignore the error, because the failed connection also raises it."""

    servers = NatsServers(Settings(bus=url, **settings))
    client = servers.client()
    await servers.connect(client, allow_reconnect=False, error_cb=ignore)
    await client.close()


async def test_both_sides_verify_each_other(encrypted: NatsServer, authority: Authority) -> None:
    certificate = str(authority.issue("client"))
    await connect(encrypted.url, bus_ca_file=str(authority.file), bus_certificate_file=certificate)


async def test_a_client_without_a_certificate_is_refused(encrypted: NatsServer, authority: Authority) -> None:
    with pytest.raises(StartError, match="cannot be reached"):
        await connect(encrypted.url, bus_ca_file=str(authority.file))


async def test_a_server_whose_certificate_is_not_trusted_is_refused(encrypted: NatsServer) -> None:
    with pytest.raises(StartError, match="CERTIFICATE_VERIFY_FAILED"):
        await connect(encrypted.url)


async def test_the_password_of_the_urls_is_used_for_servers_that_others_tell_of() -> None:
    from musterd.engine.nats_connection import NatsServers

    routes, is_back = [f"nats://127.0.0.1:{port}" for port in free_ports(2)], asyncio.Event()
    options = ("--user", "ada", "--pass", "secret", "--cluster_name", "test", "--routes", ",".join(routes))
    first = NatsServer(*options, "--server_name", "n1", "--cluster", routes[0])
    second = NatsServer(*options, "--server_name", "n2", "--cluster", routes[1])

    async def reconnected() -> None:
        is_back.set()

    try:
        url = first.url.replace("//", "//ada:secret@")
        second.start()
        servers = NatsServers(Settings(bus=url))
        client = servers.client()
        await servers.connect(client, reconnected_cb=reconnected, max_reconnect_attempts=-1)
        async with asyncio.timeout(START_SECONDS):
            while not client.discovered_servers:
                await client.flush()
            first.kill()
            await is_back.wait()
        assert client.connected_url is not None
        assert client.connected_url.port == int(second.url.rpartition(":")[2])
        await client.close()
    finally:
        first.close()
        second.close()


@pytest.mark.parametrize("by", ["url", "file"])
async def test_nothing_is_sent_to_a_server_that_does_not_encrypt(
    nats_server: NatsServer, authority: Authority, by: str
) -> None:
    settings = {"bus_ca_file": str(authority.file)} if by == "file" else {}
    url = nats_server.url if by == "file" else nats_server.url.replace("nats:", "tls:")
    with pytest.raises(StartError, match="does not use TLS"):
        await connect(url, **settings)


async def test_a_password_may_have_any_characters() -> None:
    server = NatsServer("--user", "ada", "--pass", "p@ss/w:rd")
    try:
        await connect(server.url.replace("//", "//ada:p%40ss%2Fw%3Ard@"))
    finally:
        server.close()


async def test_files_that_cannot_be_read_are_named(nats_server: NatsServer, tmp_path: Path) -> None:
    missing, text = str(tmp_path / "missing"), tmp_path / "text"
    text.write_text("not PEM")
    with pytest.raises(StartError, match=r"MUSTERD_BUS_CA_FILE: .*missing cannot be read"):
        await connect(nats_server.url, bus_ca_file=missing)
    with pytest.raises(StartError, match="both files must be PEM"):
        await connect(nats_server.url, bus_ca_file=str(text))
    with pytest.raises(StartError, match="MUSTERD_BUS_CREDENTIALS_FILE"):
        await connect(nats_server.url, bus_credentials_file=missing)


async def test_a_process_stops_although_its_connection_is_lost(
    nats_server: NatsServer, postgres_url: str, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvloop raises this if the client closes a connection that NATS has left minutes ago."""
    bus: dict[str, Any] = {"bus": nats_server.url, "bus_prefix": nats_server.prefix()}
    harness = harness_on(postgres_url, [Agent(id="solo", model=model)], model=model, **bus)
    async with running(harness):
        assert (await harness.run("hi")).row.state is RunState.COMPLETED
        assert isinstance(harness.server.bus, NatsBus)
        connection = harness.server.bus._connection
        close = connection.close

        async def close_lost() -> None:
            await close()
            raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

        monkeypatch.setattr(connection, "close", close_lost)
    assert connection.is_closed
