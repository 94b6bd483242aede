"""A temporary NATS cluster: servers on loopback that store each message together."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import nats
from nats.js import JetStreamContext, api
from nats.js.errors import Error as JetStreamError

from tests.support.nats import NatsServer

PROBE = api.StreamConfig(name="probe", subjects=["probe"], num_replicas=3)
RETRY_SECONDS = 0.1


class NatsCluster:
    """Three servers.

    :ivar servers: by their names in the cluster.
    """

    def __init__(self) -> None:
        ports = dict(zip(("n1", "n2", "n3"), free_ports(3), strict=True))
        routes = ",".join(f"nats://127.0.0.1:{port}" for port in ports.values())
        self.servers = {
            name: NatsServer(
                *("--server_name", name, "--cluster_name", "test"),
                *("--cluster", f"nats://127.0.0.1:{port}", "--routes", routes),
            )
            for name, port in ports.items()
        }

    @property
    def url(self) -> str:
        """Where they listen."""
        return ",".join(server.url for server in self.servers.values())

    async def usable(self) -> None:
        """Wait until they have found each other, and store messages together."""
        async with self._jetstream() as jetstream:
            while True:
                try:
                    await jetstream.add_stream(PROBE)
                    await jetstream.delete_stream(PROBE.name or "")
                except (JetStreamError, TimeoutError, nats.errors.Error):  # no leader yet
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    return

    async def leader_of(self, stream: str) -> str:
        """The name of the server that leads a stream."""
        async with self._jetstream() as jetstream:
            while True:
                try:
                    info = await jetstream.stream_info(stream)
                except (JetStreamError, TimeoutError, nats.errors.Error):
                    info = None
                if info is not None and info.cluster is not None and info.cluster.leader:
                    return str(info.cluster.leader)
                await asyncio.sleep(RETRY_SECONDS)

    def close(self) -> None:
        """Kill them for good."""
        for server in self.servers.values():
            server.close()

    @contextlib.asynccontextmanager
    async def _jetstream(self) -> AsyncIterator[JetStreamContext]:
        client = await nats.connect(self.url.split(","))
        try:
            yield client.jetstream(timeout=2)
        finally:
            await client.close()


def free_ports(count: int) -> list[int]:
    """Ports that are free now. All are held until the last one is known, so no two are equal."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def nats_cluster() -> Iterator[NatsCluster]:
    """A cluster of its own for a test."""
    cluster = NatsCluster()
    try:
        yield cluster
    finally:
        cluster.close()
