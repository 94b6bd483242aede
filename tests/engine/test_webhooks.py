"""Deliveries are signed, retried across restarts, and sent by one process at a time and only to allowed addresses."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from structlog.testing import capture_logs

from musterd.core import clock
from musterd.core.deliveries import WAITS_SECONDS, Delivery, DeliveryFilter, Outcome, progress_after
from musterd.engine.retention import UNSENT
from musterd.engine.webhook_requests import NOT_REACHED
from musterd.engine.webhooks import SPARE_SECONDS, Webhooks
from musterd.http_client import checked_resolver
from musterd.store import deliveries
from musterd.store.shards import SessionTx
from tests.engine.conftest import Engines
from tests.support.endless_server import endless
from tests.support.engine import NOBODY, EngineHarness
from tests.support.webhook_receiver import SECRET, Receiver, check, receiving

HOUR_SECONDS = 3600.0
QUIET: dict[str, Any] = {"upkeep_seconds": 3600}


class Time:
    """The clock, as the test sets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = clock.now()
        monkeypatch.setattr(clock, "now", lambda: self.now)
        monkeypatch.setattr(clock, "jitter", lambda seconds: seconds)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as listening:
        yield listening


@contextlib.asynccontextmanager
async def telling(engines: Engines, *urls: str, **options: Any) -> AsyncIterator[EngineHarness]:
    """An engine that tells these addresses, when the test says so."""
    own = {"webhook_secret": SECRET, "webhook_urls": urls}
    async with engines(**{**QUIET, **own, **options}) as harness:
        harness.server.webhooks.begin_stop()  # the tests send themselves
        yield harness


def sender(harness: EngineHarness) -> Webhooks:
    """A sender of a process of its own, which looks when it is told to."""
    return Webhooks(harness.database, harness.settings, harness.server.metrics)


async def sent(webhooks: Webhooks) -> None:
    """Send what is due, until nothing is left: what ends while it looks makes room for more."""
    has_looked = False
    while not has_looked or webhooks._wake.is_set():
        webhooks._wake.clear()
        await webhooks.once()
        has_looked = True
        if webhooks._sending:
            await asyncio.wait(set(webhooks._sending))


@contextlib.asynccontextmanager
async def sending(harness: EngineHarness) -> AsyncIterator[Webhooks]:
    """A sender that is closed in the end."""
    webhooks = sender(harness)
    yield webhooks
    await webhooks.stop()


async def listed(harness: EngineHarness, **filters: Any) -> list[Delivery]:
    return await harness.server.deliveries.search(DeliveryFilter(**filters), NOBODY)


async def looked_again(harness: EngineHarness) -> None:
    """Have upkeep look now for what can go."""
    retention = harness.engine.upkeep.retention
    retention._not_before = retention._deliveries_not_before = 0.0
    await retention.once()


async def only(harness: EngineHarness) -> Delivery:
    (delivery,) = await listed(harness)
    return delivery


async def test_what_is_taken_is_delivered(
    engines: Engines, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # it is not used
    async with telling(engines, receiver.url) as harness, sending(harness) as webhooks:
        await harness.run("hello", "r1")
        await sent(webhooks)
        delivery = await only(harness)
    (taken,) = receiver.taken
    assert (delivery.state, delivery.last_status, delivery.attempts, delivery.ended_at is None) == (
        "delivered",
        204,
        1,
        False,
    )
    assert taken.id == delivery.id
    assert taken.headers["Content-Type"] == "application/json"


async def test_the_library_verifies_it(engines: Engines) -> None:
    bodies: list[tuple[str, dict[str, str]]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = await reader.readexactly(int(headers["Content-Length"]))
        bodies.append((body.decode(), headers))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    secrets = [SECRET, "a-text-of-my-own-making"]
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
    async with telling(engines, url, webhook_secret=" ".join(secrets)) as harness, sending(harness) as webhooks:
        await harness.run("hello", "r1")
        await sent(webhooks)
        assert (await only(harness)).state == "delivered"
    server.close()
    ((body, headers),) = bodies
    for secret in (secrets[0], secrets[1].encode()):
        assert Webhook(secret).verify(body, headers)["data"]["run_id"] == "r1"
        check(body, {name.lower(): value for name, value in headers.items()}, secret)


async def test_a_failure_is_tried_again_over_hours_and_restarts(
    engines: Engines, receiver: Receiver, time: Time
) -> None:
    receiver.answers = [(500, {})] * len(WAITS_SECONDS)
    async with telling(engines, receiver.url) as harness:
        await harness.run("hello", "r1")
    for number, wait in enumerate(WAITS_SECONDS, 1):
        async with telling(engines, receiver.url) as harness, sending(harness) as webhooks:
            await sent(webhooks)
            delivery = await only(harness)
            assert (delivery.state, delivery.attempts, delivery.last_status) == ("pending", number, 500)
            assert delivery.last_error == "500: answer 500 more"
            assert delivery.due_at == pytest.approx(time.now + wait)
            time.now += wait - 1
            await sent(webhooks)
            assert len(receiver.taken) == number, "it is not sent before its time"
            time.now += 1
    async with telling(engines, receiver.url) as harness, sending(harness) as webhooks:
        await sent(webhooks)
        assert (await only(harness)).state == "delivered"
    assert len({one.id for one in receiver.taken}) == 1, "it has one id"
    assert len({str(one.message) for one in receiver.taken}) == 1, "and says the same"


async def test_after_the_last_try_it_is_given_up_and_sent_again_when_somebody_asks(
    engines: Engines, receiver: Receiver, time: Time
) -> None:
    receiver.answers = [(500, {})] * (len(WAITS_SECONDS) + 1)
    async with telling(engines, receiver.url) as harness, sending(harness) as webhooks:
        await harness.run("hello", "r1")
        for wait in (*WAITS_SECONDS, 0.0):
            await sent(webhooks)
            time.now += wait
        delivery = await only(harness)
        assert (str(delivery.state), delivery.attempts, delivery.ended_at) == ("failed", 10, time.now)
        time.now += 100 * HOUR_SECONDS
        await sent(webhooks)
        assert len(receiver.taken) == 10
        receiver.answers = [(500, {})]
        again = await harness.server.deliveries.redeliver(delivery.id, NOBODY)
        assert (again.state, again.attempts, again.ended_at) == ("pending", 0, None)
        await sent(webhooks)
        assert (await only(harness)).state == "pending", "its tries are counted anew"
        time.now += WAITS_SECONDS[0]
        await sent(webhooks)
        assert (await only(harness)).state == "delivered"


async def test_gone_is_gone(engines: Engines, receiver: Receiver) -> None:
    receiver.answers = [(410, {})]
    async with telling(engines, receiver.url) as harness, sending(harness) as webhooks:
        await harness.run("hello", "r1")
        await sent(webhooks)
        delivery = await only(harness)
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("failed", 1, 410)


@pytest.mark.parametrize(
    ("status", "retry_after", "wait"),
    [
        (429, "120", 120),
        (503, "Wed, 01 Jan 2020 00:00:00 GMT", WAITS_SECONDS[0]),
        (503, "9" * 30, 86400),
        (429, "soon", WAITS_SECONDS[0]),
        (503, "Mon, 01 Jan 2024 00:00:00 +99999999999999", WAITS_SECONDS[0]),
    ],
)
async def test_a_receiver_says_when(
    engines: Engines, receiver: Receiver, time: Time, status: int, retry_after: str, wait: float
) -> None:
    receiver.answers = [(status, {"Retry-After": retry_after})]
    async with telling(engines, receiver.url) as harness, sending(harness) as webhooks:
        await harness.run("hello", "r1")
        await sent(webhooks)
        assert (await only(harness)).due_at == pytest.approx(time.now + wait)


async def test_a_redirect_is_a_failure(engines: Engines, receiver: Receiver) -> None:
    receiver.answers = [(307, {"Location": receiver.url})]
    async with telling(engines, receiver.url) as harness, sending(harness) as webhooks:
        await harness.run("hello", "r1")
        await sent(webhooks)
        delivery = await only(harness)
    assert (delivery.state, delivery.last_error) == ("pending", "307: redirects are not followed")
    assert len(receiver.taken) == 1


async def test_a_receiver_that_does_not_answer(engines: Engines, receiver: Receiver) -> None:
    receiver.gate.clear()
    async with telling(engines, receiver.url, webhook_seconds=0.1) as harness, sending(harness) as webhooks:
        await harness.run("hello", "r1")
        await sent(webhooks)
        delivery = await only(harness)
    assert (delivery.state, delivery.last_status, delivery.last_error) == ("pending", None, "No response within 0.1 s")


@pytest.mark.parametrize("kind", ["interim responses", "one chunk extension"])
async def test_a_receiver_whose_answer_has_no_end_is_hung_up_on(engines: Engines, kind: str) -> None:
    async with endless(kind) as (url, is_left), telling(engines, url, webhook_seconds=60) as harness:
        async with sending(harness) as webhooks:
            await harness.run("hello", "r1")
            await sent(webhooks)
        await is_left.wait()
        delivery = await only(harness)
    assert (delivery.state, delivery.last_error) == (
        ("delivered", None)  # its status is what counts
        if kind == "one chunk extension"
        else ("pending", "The server sent more than 16 interim responses (1xx) before the response.")
    )


async def test_a_success_need_not_come_to_its_end(engines: Engines) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot ")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with telling(engines, url) as harness, sending(harness) as webhooks:
        await harness.run("hello", "r1")
        await sent(webhooks)
        assert (await only(harness)).state == "delivered"
    server.close()


async def test_nobody_listens(engines: Engines) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with telling(engines, f"http://127.0.0.1:{port}/") as harness, sending(harness) as webhooks:
        await harness.run("hello", "r1")
        await sent(webhooks)
        assert (await only(harness)).last_error == "The connection failed"


async def test_of_two_processes_one_sends(engines: Engines, receiver: Receiver, time: Time) -> None:
    receiver.gate.clear()
    async with telling(engines, receiver.url) as harness, sending(harness) as one, sending(harness) as other:
        await harness.run("hello", "r1")
        await asyncio.gather(one.once(), other.once())
        await receiver.has(1)
        time.now += harness.settings.webhook_seconds + SPARE_SECONDS - 1
        await one.once()
        await other.once()
        assert len(one._sending) + len(other._sending) == 1, "the lease is not over"
        time.now += 1
        late, free = (one, other) if one._sending else (other, one)
        await free.once()
        await receiver.has(2)
        receiver.gate.set()
        await sent(late)
        await sent(free)
        delivery = await only(harness)
    assert (delivery.state, delivery.attempts) == ("delivered", 2)
    assert len({taken.id for taken in receiver.taken}) == 1


async def test_one_host_does_not_hold_up_another(engines: Engines, receiver: Receiver) -> None:
    async with receiving() as slow:
        slow.gate.clear()
        limits = {"webhook_posts": 3, "webhook_posts_per_host": 2}
        async with telling(engines, slow.url, receiver.url, **limits) as harness, sending(harness) as webhooks:
            for number in range(4):
                await harness.run("hello", f"r{number}")
            await webhooks.once()
            while len(receiver.taken) < 4:
                await asyncio.wait(set(webhooks._sending), return_when=asyncio.FIRST_COMPLETED)
                await webhooks.once()
            await slow.has(2)
            await webhooks.once()
            assert (slow.waiting, len(slow.taken)) == (2, 2), "two at once, and no more"
            slow.gate.set()
            await sent(webhooks)
            assert len(slow.taken) == 4
            assert {one.state for one in await listed(harness)} == {"delivered"}


async def test_one_users_webhooks_leave_slots_for_those_of_others(
    engines: Engines, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.engine.webhooks.LOOKED_AT", 2)  # so that the oldest ones are all of one user
    receiver.gate.clear()
    async with (
        telling(engines, receiver.url, webhook_posts=4, webhook_posts_per_host=10) as harness,
        sending(harness) as webhooks,
    ):
        for run_id, owner in (("r1", "ada"), ("r2", "ada"), ("r3", "ada"), ("r4", "ada"), ("r5", "bob")):
            await harness.run("hello", run_id)
            await harness.records.execute("UPDATE runs SET owner = :owner WHERE run_id = :id", owner=owner, id=run_id)
        await webhooks.once()
        assert sorted(delivery.run_id for delivery in webhooks._sending.values()) == ["r1", "r2", "r5"]
        receiver.gate.set()
        while {one.state for one in await listed(harness)} != {"delivered"}:
            await sent(webhooks)
            await webhooks.once()


async def test_a_stop_waits_for_what_is_being_sent(engines: Engines, receiver: Receiver) -> None:
    receiver.gate.clear()
    async with telling(engines, receiver.url, drain_seconds=30) as harness:
        await harness.run("hello", "r1")
        await harness.run("hello", "r2")
        webhooks = sender(harness)
        await webhooks.once()
        await receiver.has(2)
        await harness.run("hello", "r3")
        stopping = asyncio.ensure_future(webhooks.stop())
        await asyncio.wait([stopping], timeout=0)
        receiver.gate.set()
        await stopping
        assert sorted(one.state for one in await listed(harness)) == ["delivered", "delivered", "pending"]


async def test_what_ended_long_ago_is_forgotten(engines: Engines, receiver: Receiver, time: Time) -> None:
    async with telling(engines, receiver.url, webhook_days=2) as harness:
        await harness.run("hello", "r1")
        async with sending(harness) as webhooks:
            await sent(webhooks)
        time.now += 47 * HOUR_SECONDS
        async with sending(harness) as webhooks:
            await webhooks.once()
        assert len(await listed(harness)) == 1
        time.now += HOUR_SECONDS
        await harness.run("hello", "r2")
        await looked_again(harness)
        assert [one.run_id for one in await listed(harness)] == ["r2"]


async def test_what_ended_is_forgotten_without_a_secret_too(engines: Engines, receiver: Receiver, time: Time) -> None:
    async with telling(engines, receiver.url) as harness:
        await harness.run("hello", "r1")
        async with sending(harness) as webhooks:
            await sent(webhooks)
    time.now += 31 * 24 * HOUR_SECONDS
    async with engines(**QUIET) as harness:
        await looked_again(harness)
        assert await listed(harness) == []


async def test_what_nobody_sends_for_a_week_is_given_up_and_says_so(engines: Engines, time: Time) -> None:
    async with telling(engines, "http://127.0.0.1:9/") as harness:
        await harness.run("hello", "r1")
    time.now += 7 * 24 * HOUR_SECONDS - 1
    async with engines(**QUIET) as harness:
        await looked_again(harness)
        assert (await only(harness)).state == "pending"
        time.now += 2
        await looked_again(harness)
        delivery = await only(harness)
        assert (delivery.state, delivery.last_error) == ("failed", UNSENT)


async def test_retention_leaves_a_run_that_is_still_to_be_told(
    engines: Engines, receiver: Receiver, time: Time
) -> None:
    async with telling(engines, receiver.url, retention_days=1) as harness:
        receiver.answers.append((503, {"Retry-After": "1"}))
        await harness.run("hello", "r1")
        async with sending(harness) as webhooks:
            await sent(webhooks)
        time.now += 25 * HOUR_SECONDS
        await looked_again(harness)
        assert (await only(harness)).state == "pending"
        async with sending(harness) as webhooks:
            await sent(webhooks)
        await looked_again(harness)
        assert await listed(harness) == []
        assert await harness.records.states() == {}


async def test_a_late_outcome_is_not_noted(engines: Engines) -> None:
    async with telling(engines, "http://127.0.0.1:9/") as harness:
        await harness.run("hello", "r1")
        delivery = await only(harness)
        now, done, write = clock.now(), Outcome(status=200), harness.database.write
        await write(lambda tx: deliveries.claim(tx, [delivery.id], "old", now, now))
        await write(lambda tx: deliveries.claim(tx, [delivery.id], "new", now, now + 9))
        assert not await write(
            lambda tx: deliveries.record_outcome(
                SessionTx(tx, delivery.session_id), delivery.id, "old", done, progress_after(done, 1, now)
            )
        )
        assert (await only(harness)).state == "pending"


# --- where they may go -----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def resolving(*addresses: str) -> AsyncIterator[list[str]]:
    """Have every name resolve to these addresses; without any it is unknown."""
    names = list[str]()

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        names.append(host)
        if not addresses:
            raise socket.gaierror
        kind = socket.SOCK_STREAM
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, kind, socket.IPPROTO_TCP, "", (one, port))
            for one in addresses
        ]

    async def on_loop(host: str, port: int, **options: Any) -> list[Any]:
        return getaddrinfo(host, port, **options)

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(checked_resolver, "getaddrinfo", getaddrinfo)
        patches.setattr(asyncio.get_running_loop(), "getaddrinfo", on_loop)  # for the server's own receivers
        yield names


def reasons(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why webhooks were not delivered, as the log has it."""
    return [line["reason"] for line in lines if line["event"] == "webhook was not delivered"]


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("169.254.169.254",)])
async def test_a_name_that_leads_inside_is_refused_at_each_delivery(
    engines: Engines, receiver: Receiver, addresses: tuple[str, ...]
) -> None:
    with capture_logs() as lines:
        async with telling(engines) as harness, sending(harness) as webhooks, resolving(*addresses) as names:
            await harness.run("hello", "r1", options={"webhook_url": f"http://hooks.example:{receiver.port}/"})
            await sent(webhooks)
            delivery = await only(harness)
    assert (delivery.state, delivery.attempts, delivery.last_error) == ("pending", 1, NOT_REACHED)
    assert reasons(lines) == ["The name points to a private network, which is not allowed"]
    assert names == ["hooks.example"]
    assert receiver.taken == []


@pytest.mark.parametrize(
    ("addresses", "private_hosts", "reason"),
    [
        (("127.0.0.1",), (), "The name points to a private network, which is not allowed"),
        ((), (), "The host name could not be resolved"),
        (("127.0.0.1",), ("hooks.example",), "The connection failed"),
    ],
)
async def test_only_the_log_says_why_a_host_was_not_reached(
    engines: Engines, addresses: tuple[str, ...], private_hosts: tuple[str, ...], reason: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://hooks.example:{closed.getsockname()[1]}/"
    settings = {"webhook_private_hosts": private_hosts}
    with capture_logs() as lines:
        async with telling(engines, **settings) as harness, sending(harness) as webhooks, resolving(*addresses):
            await harness.run("hello", "r1", options={"webhook_url": url})
            await sent(webhooks)
            delivery = await only(harness)
    received = (delivery.state, delivery.attempts, delivery.last_error, delivery.last_status)
    assert received == ("pending", 1, NOT_REACHED, None)
    assert reasons(lines) == [reason]


async def test_a_name_that_is_allowed_may_lead_inside_and_is_asked_once(engines: Engines, receiver: Receiver) -> None:
    url = f"http://hooks.example:{receiver.port}/"
    settings = {"webhook_private_hosts": ("hooks.example",)}
    async with telling(engines, **settings) as harness, sending(harness) as webhooks, resolving("127.0.0.1") as names:
        await harness.run("hello", "r1", options={"webhook_url": url})
        await sent(webhooks)
        assert (await only(harness)).state == "delivered"
    assert names == ["hooks.example"], "the connection goes to the address that was judged"
    assert receiver.taken[0].headers["Host"] == f"hooks.example:{receiver.port}"


async def test_the_servers_own_connections_are_not_lent(engines: Engines, receiver: Receiver) -> None:
    url = f"http://hooks.example:{receiver.port}/"
    async with telling(engines, url) as harness, sending(harness) as webhooks, resolving("127.0.0.1"):
        await harness.run("hello", "r1")
        await sent(webhooks)
        await harness.run("hello", "r2", options={"webhook_url": url + "other"})
        await sent(webhooks)
        states = {one.url: one.state for one in await listed(harness, run_id="r2")}
    assert states == {url: "delivered", url + "other": "pending"}
    assert [one.path for one in receiver.taken] == ["/", "/"]


async def test_an_address_that_is_not_allowed_any_more_is_not_sent_to(engines: Engines, receiver: Receiver) -> None:
    async with telling(engines, webhook_private_hosts=("127.0.0.1",)) as harness:
        await harness.run("hello", "r1", options={"webhook_url": receiver.url})
    async with telling(engines) as harness, sending(harness) as webhooks:
        await sent(webhooks)
        assert (await only(harness)).state == "failed"
    assert receiver.taken == []
