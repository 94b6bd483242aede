"""What the server tells whoever watches it."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from musterd.core.metrics import MAX_SERIES, OTHER, Counter, Histogram, Metrics
from musterd.http.metrics import GAUGES, PREFIX
from tests.flow.test_error_answers import gone
from tests.support.app import Serve
from tests.support.http import ServerClient, problem

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
OPERATE = PAGE.parents[1] / "howto" / "operate.md"
KEY = "a-key-of-32-characters-and-more-"


async def metrics(client: ServerClient, **headers: str) -> dict[str, float]:
    """Every sample by its name and labels, as Prometheus reads them."""
    answer = await client.http.get("/-/metrics", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_a_run_is_counted_from_its_acceptance_to_its_end(client: ServerClient) -> None:
    await client.run("[[DELEGATE writer-agent: hi]]")
    samples = await metrics(client)
    of_team = "component=demo-team kind=team"
    assert samples[f"musterd_runs_accepted_total {of_team}"] == 1
    assert samples[f"musterd_runs_ended_total {of_team} state=completed"] == 1
    assert samples[f"musterd_run_duration_seconds_count {of_team} state=completed"] == 1
    assert samples[f"musterd_run_wait_seconds_count {of_team}"] == 1
    assert samples[f"musterd_run_first_text_seconds_count {of_team}"] == 1
    assert samples["musterd_tool_calls_total kind=delegate outcome=completed"] == 1
    assert samples["musterd_attempts_total which=first"] == 1
    calls = {name: value for name, value in samples.items() if name.startswith("musterd_model_calls_total")}
    assert list(calls.values()) == [3.0], "the leader twice, the member once"
    assert samples["musterd_http_requests_total operation=create_team_run status=2xx"] == 1
    assert samples["musterd_store_commit_seconds_count"] > 0
    assert samples["process_resident_memory_bytes"] > 0


async def test_what_waits_is_read_from_the_database(serve: Serve) -> None:
    async with serve(concurrency=1) as client:
        hold = client.model.hold("wait")
        first = await client.begin("wait", session_id="s1")
        await hold.reached.wait()
        await client.begin("hello", session_id="s1")
        await client.begin("hello", session_id="s2")
        samples = await metrics(client)
        states = {state: samples[f"musterd_runs state={state}"] for state in ("running", "queued", "ready", "paused")}
        assert states == {"running": 1, "queued": 1, "ready": 1, "paused": 0}
        assert samples["musterd_runs_driven"] == 1
        assert samples["musterd_run_slots"] == 1
        assert samples["musterd_oldest_ready_seconds"] >= 0
        hold.release()
        await client.ended(first)


async def test_a_cancelled_run_that_never_began_is_counted(serve: Serve) -> None:
    async with serve() as client:
        hold = client.model.hold("wait")
        first = await client.begin("wait", session_id="s1")
        await hold.reached.wait()
        await client.begin("hello", session_id="s1", run_id="r2")
        assert (await client.http.post("/teams/demo-team/runs/r2/cancel")).status_code == 200
        samples = await metrics(client)
        assert samples["musterd_runs_ended_total component=demo-team kind=team state=cancelled"] == 1
        hold.release()
        await client.ended(first)


async def test_the_rest_is_told_while_the_database_is_away(
    client: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.server.database, "scan", gone)
    samples = await metrics(client)
    assert samples["musterd_database_up"] == 0
    assert "musterd_workers" not in samples
    assert "musterd_runs_driven" in samples


async def test_a_key_is_asked_for(serve: Serve) -> None:
    async with serve(security_key=KEY) as client:
        problem(await client.http.get("/-/metrics"), 401, "UNAUTHENTICATED")
        assert await metrics(client, authorization=f"Bearer {KEY}")


async def test_nothing_that_a_client_sends_becomes_a_label(client: ServerClient) -> None:
    for path in ("/teams/secret-team", "/secret/path", "/sessions/secret-session"):
        await client.http.get(path, headers={"x-request-id": "secret-request"})
    await client.http.request("SECRET", "/teams")
    assert "secret" not in (await client.http.get("/-/metrics")).text.lower()


async def test_each_app_of_a_process_counts_alone(serve: Serve, client: ServerClient) -> None:
    await client.run("hello")
    async with serve() as other:
        assert not [name for name in await metrics(other) if name.startswith("musterd_runs_accepted_total")]


def test_the_page_lists_every_figure() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (counter|histogram|gauge) \| (.*?) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    documented = {name: (kind, re.findall(r"`(\w+)`", labels), about) for name, kind, labels, about in rows}
    own = Metrics()
    known = {f"{PREFIX}{one.name}_total": ("counter", [*one.labels], one.about) for one in own.counters}
    known |= {f"{PREFIX}{one.name}": ("histogram", [*one.labels], one.about) for one in own.histograms}
    labels = {"info": ["version"], "runs": ["state"]}
    known |= {f"{PREFIX}{name}": ("gauge", labels.get(name, []), about) for name, about in GAUGES.items()}
    assert documented == known


def test_alerts_speak_of_figures_that_there_are() -> None:
    known = set(re.findall(r"^\| `(musterd_\w+)` \|", PAGE.read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmusterd_\w+", OPERATE.read_text()))
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in named} - known == set()


def test_series_are_bounded() -> None:
    counter, histogram = Counter("c", "", ["name"]), Histogram("h", "", [1.0], ["name"])
    for number in range(MAX_SERIES + 5):
        counter.add(f"n{number}")
        histogram.observe(0.5, f"n{number}")
    assert len(counter.values) == len(histogram.values) == MAX_SERIES + 1
    assert counter.values[OTHER,] == 5
    assert histogram.values[OTHER,].counts == [5, 0]
