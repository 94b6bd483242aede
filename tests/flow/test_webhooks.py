"""Webhooks over HTTP: which a run may have, what became of what they were told, and sending it again."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog

from musterd.core.callers import Caller
from musterd.core.deliveries import DeliveryFilter
from musterd.core.errors import NotFound
from musterd.store.database import Statement, Tx
from tests.support.app import Serve
from tests.support.http import ServerClient, problem, wrong_fields
from tests.support.webhook_receiver import SECRET, Receiver, receiving

PRIVATE = "points to a private network"
NUMBER = "numeric but not a valid IP address"
REFUSED = {
    "http://127.0.0.1/": PRIVATE,
    "http://127.1.2.3:8080/x": PRIVATE,
    "http://localhost/": PRIVATE,
    "http://LocalHost.:8080/": PRIVATE,
    "http://a.localhost/": PRIVATE,
    "http://0.0.0.0/": PRIVATE,
    "http://10.1.2.3/": PRIVATE,
    "http://172.16.0.1/": PRIVATE,
    "http://192.168.0.1/": PRIVATE,
    "http://100.64.0.1/": PRIVATE,
    "http://168.63.129.16/": PRIVATE,
    "http://192.88.99.1/": PRIVATE,
    "http://169.254.169.254/latest/meta-data": PRIVATE,
    "http://224.0.0.1/": PRIVATE,
    "http://255.255.255.255/": PRIVATE,
    "http://[::1]/": PRIVATE,
    "http://[::]/": PRIVATE,
    "http://[::ffff:127.0.0.1]/": PRIVATE,
    "http://[::ffff:7f00:1]/": PRIVATE,
    "http://[::127.0.0.1]/": PRIVATE,
    "http://[64:ff9b::127.0.0.1]/": PRIVATE,
    "http://[2002:7f00:1::]/": PRIVATE,
    "http://[fe80::1]/": PRIVATE,
    "http://[fe80::1%25eth0]/": PRIVATE,
    "http://[fc00::1]/": PRIVATE,
    "http://[fec0::1]/": PRIVATE,
    "http://[ff02::1]/": PRIVATE,
    "http://2130706433/": NUMBER,
    "http://0x7f000001/": NUMBER,
    "http://0X7F.1/": NUMBER,
    "http://017700000001/": NUMBER,
    "http://0177.0.0.1/": NUMBER,
    "http://127.1/": NUMBER,
    "http://1.2.3.4.5/": NUMBER,
    "http://127%2e0.0.1/": NUMBER,
    "http://127%2e0.0%2e1/": "host is not a valid name",
    "http://１２７.0.0.1/": "characters",
    "http://example.com\\@127.0.0.1/": "characters",
    "http://exa mple.com/": "characters",
    "http://example.com/\r\nHost: x": "characters",
    "http://ana:pw@example.com/": "a user name or a password",
    "http://example.com@127.0.0.1/": "a user name or a password",
    "http://example.com:25/": "port",
    "http://example.com:0/": "port",
    "http://example.com:99999/": "valid URL",
    "http://[::1/": "valid URL",
    "http:///path": "no host",
    "ftp://example.com/": "http:// or https://",
    "file:///etc/passwd": "http:// or https://",
    "javascript:alert(1)": "http:// or https://",
    "example.com": "http:// or https://",
    "http://example.com/" + "a" * 2048: "2048 characters",
}


@contextlib.asynccontextmanager
async def telling(serve: Serve, **options: Any) -> AsyncIterator[ServerClient]:
    """A server that may send webhooks to this machine."""
    own = {"webhook_secret": SECRET, "webhook_private_hosts": ("127.0.0.1",)}
    async with serve(**{**own, **options}) as client:
        yield client


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as listening:
        yield listening


async def ended(client: ServerClient, count: int) -> list[dict[str, Any]]:
    """The deliveries, once so many are sent and noted."""
    while True:
        deliveries: list[dict[str, Any]] = (await client.get("/webhooks/deliveries"))["data"]
        if sum(one["ended_at"] is not None for one in deliveries) == count:
            return deliveries


# --- which a run may have --------------------------------------------------------------------------------


async def test_an_address_that_leads_inside_is_refused(serve: Serve) -> None:
    async with serve(webhook_secret=SECRET) as client:
        for url, words in REFUSED.items():
            answer = await client.post(webhook_url=url, run_id="r1", session_id="s1")
            assert wrong_fields(answer) == [("body", "webhook_url")], url
            assert words in problem(answer, 422, "VALIDATION_ERROR"), url
            assert url not in answer.text, "it may hold a secret"
        assert (await client.get("/sessions"))["meta"]["total_count"] == 0


@pytest.mark.parametrize("way", ["form", "json"])
@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://8.8.8.8:8080/x?y=z",
        "https://[2606:4700::1111]/",
        "https://xn--bcher-kva.example/",
    ],
)
async def test_any_other_is_taken(serve: Serve, url: str, way: str) -> None:
    async with serve(webhook_secret=SECRET, upkeep_seconds=3600) as client:
        client.server.webhooks.begin_stop()  # nothing is to leave this machine
        fields = {"message": "hi", "stream": "false", "run_id": "r1", "webhook_url": url}
        body: dict[str, Any] = {"data": fields} if way == "form" else {"json": {**fields, "stream": False}}
        answer = await client.http.post("/agents/solo-agent/runs", **body)
        assert answer.status_code == 200, answer.text
        (delivery,) = (await client.get("/webhooks/deliveries"))["data"]
    assert (delivery["run_id"], delivery["state"], delivery["attempts"]) == ("r1", "pending", 0)


async def test_an_export_does_not_show_its_address(serve: Serve) -> None:
    async with serve(webhook_secret=SECRET, upkeep_seconds=3600) as client:
        client.server.webhooks.begin_stop()  # nothing is to leave this machine
        await client.run("hi", run_id="r1", webhook_url="https://example.com/hooks/confidential")
        export = await client.http.get("/runs/r1/export")
    assert export.json()["replay"]["input"]["message"] == "hi"
    assert "confidential" not in export.text


async def test_without_a_secret_there_are_none(client: ServerClient) -> None:
    answer = await client.post(webhook_url="https://example.com/")
    assert wrong_fields(answer) == [("body", "webhook_url")]
    assert "MUSTERD_WEBHOOK_SECRET" in problem(answer, 422, "VALIDATION_ERROR")


async def test_it_belongs_to_the_request(serve: Serve, receiver: Receiver) -> None:
    async with telling(serve) as client:
        first = {"run_id": "r1", "session_id": "s1", "webhook_url": receiver.url}
        assert (await client.run(**first))["run_id"] == "r1"
        assert (await client.run(**first))["run_id"] == "r1", "the same request is the same run"
        answer = await client.post(**{**first, "webhook_url": receiver.url + "2", "stream": "false"})
        problem(answer, 409, "CONFLICT")
        await ended(client, 1)
    assert receiver.event_types == ["run.completed"]


# --- what became of them ---------------------------------------------------------------------------------


async def test_a_run_tells_its_own_webhook_and_the_servers(serve: Serve, receiver: Receiver) -> None:
    async with receiving() as servers:
        urls = (servers.url, receiver.url)
        async with telling(serve, webhook_urls=urls) as client:
            await client.run(run_id="r1", session_id="s 1", user_id="ana", webhook_url=receiver.url)
            deliveries = await ended(client, 2)
        assert (len(receiver.taken), len(servers.taken)) == (1, 1), "each address is told once"
    assert {one["url"] for one in deliveries} == {url.split("hooks")[0] + "…" for url in urls}
    (taken,) = receiver.taken
    assert taken.message["data"]["team_id"] == "demo-team"
    assert taken.message["data"]["path"] == "/teams/demo-team/runs/r1?session_id=s%201"


async def test_the_path_in_a_message_leads_to_the_run(serve: Serve, receiver: Receiver) -> None:
    async with telling(serve) as client:
        await client.run("[[ERROR 402]]", run_id="a/b", webhook_url=receiver.url)
        (taken,) = await receiver.has(1)
        run = await client.get(taken.message["data"]["path"])
    assert (run["run_id"], run["status"], taken.type) == ("a/b", "ERROR", "run.error")


async def test_pages_and_filters(serve: Serve, receiver: Receiver) -> None:
    async with telling(serve) as client:
        receiver.answers = [(410, {})]
        for number in range(5):
            await client.run(run_id=f"r{number}", webhook_url=receiver.url)
            await ended(client, number + 1)
        page = await client.get("/webhooks/deliveries", limit=2)
        assert [one["run_id"] for one in page["data"]] == ["r4", "r3"]
        page = await client.get("/webhooks/deliveries", limit=2, before=page["meta"]["next_before"])
        assert [one["run_id"] for one in page["data"]] == ["r2", "r1"]
        page = await client.get("/webhooks/deliveries", limit=2, before=page["meta"]["next_before"])
        assert ([one["run_id"] for one in page["data"]], page["meta"]["next_before"]) == (["r0"], None)
        assert (await client.get("/webhooks/deliveries", limit=5))["meta"]["next_before"] is None, "there are five"
        assert [one["run_id"] for one in (await client.get("/webhooks/deliveries", state="failed"))["data"]] == ["r0"]
        assert [one["run_id"] for one in (await client.get("/webhooks/deliveries", run_id="r3"))["data"]] == ["r3"]
        assert (await client.get("/webhooks/deliveries", run_id="none"))["data"] == []
        assert (await client.get("/webhooks/deliveries", before="none"))["data"] == []
        for query in ({"state": "sent"}, {"limit": "0"}, {"limit": "1001"}, {"before": "a\nb"}):
            answer = await client.http.get("/webhooks/deliveries", params=query)
            assert wrong_fields(answer) == [("query", next(iter(query)))]


async def test_one_is_looked_at_and_sent_again(serve: Serve, receiver: Receiver) -> None:
    async with telling(serve) as client:
        receiver.answers = [(410, {})]
        await client.run(run_id="r1", webhook_url=receiver.url)
        (failed,) = await ended(client, 1)
        assert (failed["state"], failed["last_status"], failed["last_error"]) == ("failed", 410, "410: answer 410 more")
        one = f"/webhooks/deliveries/{failed['id']}"
        assert await client.get(one) == {**failed, "payload": receiver.taken[0].message}
        answer = await client.http.post(f"{one}/redeliver")
        assert answer.status_code == 202
        assert (answer.json()["state"], answer.json()["attempts"]) == ("pending", 0)
        await receiver.has(2)
        (delivered,) = await ended(client, 1)
        assert (delivered["state"], delivered["last_error"]) == ("delivered", None)
        assert receiver.taken[0].id == receiver.taken[1].id == failed["id"]
        assert receiver.taken[0].message == receiver.taken[1].message
        for answer in (await client.http.get("/webhooks/deliveries/x"), await client.http.post(f"{one}x/redeliver")):
            assert problem(answer, 404, "NOT_FOUND") == "Delivery not found"


async def test_whoever_sees_only_their_own_sees_no_others(serve: Serve, receiver: Receiver) -> None:
    async def own(tx: Tx) -> None:
        await tx.run(Statement("test own", "UPDATE runs SET owner = 'ana' WHERE run_id = 'r1'"), {})

    async with telling(serve) as client:
        for run_id in ("r1", "r2"):
            await client.run(run_id=run_id, webhook_url=receiver.url)
        await ended(client, 2)
        await client.server.database.write(own)
        deliveries = client.server.deliveries
        ana, bob = Caller(user_id="ana", label="ana"), Caller(user_id="bob", label="bob")
        (hers,) = await deliveries.search(DeliveryFilter(), ana)
        assert hers.run_id == "r1"
        assert await deliveries.search(DeliveryFilter(), bob) == []
        assert await deliveries.search(DeliveryFilter(run_id="r1"), bob) == []
        assert await deliveries.search(DeliveryFilter(before=hers.id), bob) == []
        assert len(await deliveries.search(DeliveryFilter(), Caller(user_id="bob", is_admin=True))) == 2
        for act in (deliveries.view, deliveries.redeliver):
            with pytest.raises(NotFound):
                await act(hers.id, bob)


async def test_a_deleted_session_takes_its_deliveries_along(serve: Serve, receiver: Receiver) -> None:
    receiver.answers = [(500, {})]
    async with telling(serve) as client:
        await client.run(run_id="r1", session_id="s1", webhook_url=receiver.url)
        await receiver.has(1)
        await client.run(run_id="r2", session_id="s2", webhook_url=receiver.url)
        await receiver.has(2)
        assert (await client.http.delete("/sessions/s1")).status_code == 204
        deliveries = (await client.get("/webhooks/deliveries"))["data"]
        assert [one["run_id"] for one in deliveries] == ["r2"]
        while (left := await client.server.database.scan(_runs_with_deliveries)) != ["r2"]:  # rows go behind the answer
            assert "r2" in left


async def _runs_with_deliveries(tx: Tx) -> list[str]:
    return [row["run_id"] for row in await tx.all(Statement("test deliveries", "SELECT run_id FROM deliveries"), {})]


async def test_neither_secret_nor_query_is_logged(serve: Serve, receiver: Receiver) -> None:
    receiver.answers = [(500, {}), (410, {})]
    with structlog.testing.capture_logs() as lines:
        async with telling(serve) as client:
            for number, run_id in enumerate(("r1", "r2"), 1):
                await client.run(run_id=run_id, webhook_url=receiver.url)
                while sum("webhook" in line["event"] for line in lines) < number:
                    await client.get("/webhooks/deliveries", run_id=run_id)
    about = [line["event"] for line in lines if "webhook" in line["event"]]
    assert about == ["webhook was not delivered", "webhook given up"]
    assert "key=secret" not in str(lines)
    assert "/hooks" not in str(lines)
    assert SECRET not in str(lines)


async def test_what_the_servers_addresses_are_told_is_not_its_users_business(serve: Serve, receiver: Receiver) -> None:
    """They may stand in a private network, and answer in words that are for the operator."""

    async def own(tx: Tx) -> None:
        await tx.run(Statement("test own", "UPDATE runs SET owner = 'ana'"), {})

    async with receiving() as servers, telling(serve, webhook_urls=(servers.url,)) as client:
        await client.run(run_id="r1", webhook_url=receiver.url)
        every = await ended(client, 2)
        await client.server.database.write(own)
        deliveries, ana = client.server.deliveries, Caller(user_id="ana", label="ana")
        (hers,) = await deliveries.search(DeliveryFilter(), ana)
        assert hers.url == receiver.url
        (other,) = [one["id"] for one in every if one["id"] != hers.id]
        assert await deliveries.search(DeliveryFilter(before=other), ana) == []
        for act in (deliveries.view, deliveries.redeliver):
            with pytest.raises(NotFound):
                await act(other, ana)
            assert (await act(hers.id, ana)).id == hers.id
        assert len(await deliveries.search(DeliveryFilter(), Caller(user_id="root", is_admin=True))) == 2
