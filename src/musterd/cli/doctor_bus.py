"""The checks of ``musterd doctor`` on NATS. They change nothing."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from musterd.cli.doctor_check import Check, fail, ok, warn
from musterd.cli.output import counted
from musterd.core import clock
from musterd.core.errors import StartError
from musterd.core.settings import Settings
from musterd.engine.open_bus import require_usable

if TYPE_CHECKING:
    from nats.aio.client import Client

ANSWER_SECONDS = 5.0
SKEW_SECONDS = 5.0
NOT_FOUND = 404
REPLICAS = 3
"""The number of servers that have to store a message so that one of them may fail."""


def bus_checks(settings: Settings) -> Iterator[Check]:
    """All checks of NATS, in order.

    :raises StartError: NATS cannot be used, so the remaining checks are not possible.
    """
    if settings.bus:
        require_usable(settings)
        yield from asyncio.run(_checks(settings))


async def _checks(settings: Settings) -> list[Check]:
    # Imported here, because the client need not be installed without MUSTERD_BUS.
    from musterd.engine.nats_connection import NatsServers, version_of
    from musterd.engine.nats_subjects import Subjects

    servers = NatsServers(settings)
    connection = await _connection(settings)
    try:
        encryption = "TLS" if servers.is_encrypted else "no TLS"
        finding = f"NATS {version_of(connection)} at {servers.places}, {encryption}"
        checks = [ok("bus", finding)]
        account = await _answer(connection, "$JS.API.INFO")
        if account is None or "error" in account:
            return [*checks, fail("streams", "JetStream is not enabled", "start nats-server with -js")]
        name = Subjects(settings.bus_prefix).stream
        stream = await _answer(connection, f"$JS.API.STREAM.INFO.{name}")
        return [*checks, *_stream_checks(name, stream, len(connection.servers), settings)]
    finally:
        await connection.close()


async def _connection(settings: Settings) -> "Client":
    """A connection to the first server that answers.

    :raises StartError: none can be used; the message says why the last one cannot.
    """
    from musterd.engine.nats_connection import NatsServers

    *urls, last = settings.bus.split(",")
    for url in urls:
        with contextlib.suppress(StartError):
            return await _connection(settings.model_copy(update={"bus": url}))
    servers = NatsServers(settings.model_copy(update={"bus": last}))
    connection = servers.client()
    await servers.connect(connection, allow_reconnect=False, error_cb=_ignore)
    return connection


def _stream_checks(name: str, stream: dict[str, Any] | None, servers: int, settings: Settings) -> Iterator[Check]:
    if stream is None:
        yield fail("streams", f"NATS does not answer whether {name} exists", "check the permissions of this user")
    elif stream.get("error", {}).get("code") == NOT_FOUND:
        replicas = settings.bus_replicas
        finding = f"the first start creates {name}, replicas: {replicas}"
        yield _replicas(finding, replicas, servers, "set MUSTERD_BUS_REPLICAS=3")
    elif "error" in stream:
        yield fail("streams", f"{name}: {stream['error'].get('description')}", "check the permissions of this user")
    else:
        replicas, state = stream["config"]["num_replicas"], stream["state"]
        finding = f"{name}: {counted(state['messages'], 'message')}, {counted(state['consumer_count'], 'consumer')}"
        finding += f", replicas: {replicas}"
        copies = (stream.get("cluster") or {}).get("replicas") or ()
        # Not "offline", which NATS notices minutes later.
        if stale := [copy["name"] for copy in copies if not copy["current"]]:
            cure = "start these servers again, or wait until they have caught up"
            yield warn("streams", f"{finding}; down or behind: {', '.join(stale)}", cure)
        else:
            yield _replicas(finding, replicas, servers, f"nats stream edit {name} --replicas 3")
        if "ts" in stream:
            yield _clock(stream["ts"])


def _replicas(finding: str, replicas: int, servers: int, cure: str) -> Check:
    if replicas < min(servers, REPLICAS):
        return warn("streams", f"{finding}; if one server fails, runs start up to a second later", cure)
    return ok("streams", finding)


def _clock(at: str) -> Check:
    from datetime import datetime

    skew_seconds = abs(clock.now() - datetime.fromisoformat(at).timestamp())
    finding = f"{skew_seconds:.1f} s between this machine and NATS"
    if skew_seconds > SKEW_SECONDS:
        return warn("bus clock", finding, "synchronize both clocks")
    return ok("bus clock", finding)


async def _answer(connection: "Client", subject: str) -> dict[str, Any] | None:
    """The answer to a request of JetStream's API; None if there is none."""
    from nats.errors import Error as NatsError

    try:
        message = await connection.request(subject, timeout=ANSWER_SECONDS)
    except (NatsError, TimeoutError):
        return None
    answer: dict[str, Any] = json.loads(message.data)
    return answer


async def _ignore(error: Exception) -> None:
    """Ignore the error, because the failed connection also raises it."""
