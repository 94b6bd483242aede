"""The checks of ``musterd doctor`` on NATS."""

import asyncio
import json
import re

import pytest

from musterd.cli.main import main
from tests.support.nats import NatsServer
from tests.support.nats_cluster import nats_cluster

pytestmark = pytest.mark.usefixtures("nats_program")


@pytest.fixture
def url(nats_server: NatsServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of NATS; the settings have it with a password, which NATS does not need."""
    monkeypatch.setenv("MUSTERD_DB", postgres_url)
    monkeypatch.setenv("MUSTERD_BUS", nats_server.url.replace("//", "//ada:topsecret@"))
    monkeypatch.setenv("MUSTERD_BUS_PREFIX", nats_server.prefix())
    return nats_server.url


def examine(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    main(["doctor", "--port", "0", "--json"])
    text = capsys.readouterr().out
    assert "topsecret" not in text
    return {check["name"]: check for check in json.loads(text)["checks"]}


def test_nats_without_a_stream(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    checks = examine(capsys)
    assert checks["bus"]["level"] == "ok"
    at = re.escape(url.removeprefix("nats://"))
    assert re.fullmatch(rf"NATS \d+\.\d+\.\d+ at {at}, no TLS", checks["bus"]["found"])
    assert checks["streams"]["level"] == "ok"
    assert checks["streams"]["found"].startswith("the first start creates")


def test_the_stream_and_the_clock_are_checked(
    url: str, nats_server: NatsServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import nats

    async def add_stream() -> None:
        async with await nats.connect(url) as connection:
            await connection.jetstream().add_stream(name="own_ready", subjects=["own.ready.>"])

    asyncio.run(add_stream())
    monkeypatch.setenv("MUSTERD_BUS_PREFIX", "own")
    # A busy machine may stand still between the answer of NATS and the look at its own clock.
    monkeypatch.setattr("musterd.cli.doctor_bus.SKEW_SECONDS", 60.0)
    checks = examine(capsys)
    assert checks["streams"]["found"] == "own_ready: 0 messages, 0 consumers, replicas: 1"
    assert checks["bus clock"]["level"] == "ok"


def test_a_copy_whose_server_is_down(
    postgres_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import nats

    async def add_stream() -> str:
        await cluster.usable()
        async with await nats.connect(cluster.url.split(",")) as connection:
            await connection.jetstream(timeout=60).add_stream(name="own_ready", subjects=["own"], num_replicas=3)
        return await cluster.leader_of("own_ready")

    with nats_cluster() as cluster:
        monkeypatch.setenv("MUSTERD_DB", postgres_url)
        monkeypatch.setenv("MUSTERD_BUS", cluster.url)
        monkeypatch.setenv("MUSTERD_BUS_PREFIX", "own")
        leader = asyncio.run(add_stream())
        down = next(name for name in cluster.servers if name != leader)
        cluster.servers[down].kill()
        stream = {"level": "ok"}
        while stream["level"] != "warn":  # the others do not know yet, or choose a leader and do not answer meanwhile
            stream = examine(capsys).get("streams", stream)
        assert stream["found"].endswith(f"; down or behind: {down}")
        assert stream["cure"].startswith("start these servers again")


def test_nats_that_cannot_be_reached(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.engine.nats_connection.CONNECT_SECONDS", 0.5)
    monkeypatch.setenv("MUSTERD_BUS", "nats://127.0.0.1:9")
    checks = examine(capsys)
    assert checks["bus"]["level"] == "fail"
    assert checks["bus"]["cure"] == "check MUSTERD_BUS"


def test_nats_with_sqlite(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTERD_DB", "sqlite:///own.db")
    assert examine(capsys)["bus"]["cure"] == "use Postgres"
