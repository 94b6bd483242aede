"""Large outputs of steps over HTTP: every door shows them whole, live and replayed, from each process."""

from typing import Any

import pytest

from musterd import Parallel, Step, StepInput, Workflow
from musterd.engine.broadcaster import Stored
from musterd.service import subscription
from tests.support.app import Sample, Serve
from tests.support.http import ServerClient, read_stream

LARGE = 6_000
PATH = "workflows/large"


def work(step_input: StepInput) -> str:
    return f"{step_input.previous_step_content or step_input.input}".ljust(LARGE, "x")


@pytest.fixture
async def client(serve: Serve) -> Any:
    branches = Parallel(Step(name="left", executor=work), Step(name="right", executor=work), name="both")
    inner = Workflow(id="inner", steps=[Step(name="deep", executor=work)])
    flow = Workflow(id="large", steps=[Step(name="first", executor=work), branches, Step(name="last", workflow=inner)])
    async with serve(served=Sample([], [], [flow])) as serving:
        yield serving


async def test_a_run_is_shown_whole_by_every_operation(client: ServerClient) -> None:
    stream = await client.stream("hello", to=PATH, session_id="s1")
    end = stream.all("WorkflowCompleted")[-1]
    run_id = end["run_id"]
    run = await client.get(f"/{PATH}/runs/{run_id}", session_id="s1")
    first, both, last = run["step_results"]
    text = "hello".ljust(LARGE, "x")
    assert [first["content"], last["content"], run["content"], end["content"]] == [text] * 4
    assert both["content"] == (
        f"## Parallel Execution Results\n\n### ✅ SUCCESS: left\n{text}\n\n### ✅ SUCCESS: right\n{text}"
    )
    assert end["step_results"] == run["step_results"]
    nested = next(below for below in run["step_executor_runs"] if below["workflow_id"] == "inner")
    assert [step["content"] for step in nested["step_results"]] == [text]
    (listed,) = await client.get(f"/{PATH}/runs", session_id="s1")
    (of_session,) = await client.get("/sessions/s1/runs")
    alone = await client.get(f"/sessions/s1/runs/{run_id}")
    (of_all,) = (await client.get("/runs"))["data"]
    for answer in (listed, of_session, alone, of_all):
        assert [step["content"] for step in answer["step_results"]] == [text, both["content"], text]
    exported = await client.get(f"/runs/{run_id}/export")
    assert exported["run"]["step_results"] == run["step_results"]
    recorded = {step["path"]: step["recorded"] for step in exported["steps"]}
    assert recorded["s0"]["result"] == recorded["s2"]["result"] == text
    (step,) = await client.get(f"/{PATH}/runs/{run_id}/steps?session_id=s1&path=s0")
    assert (step["result"], step["result_characters"]) == (text, LARGE)
    assert "content_at" not in f"{run}{listed}{of_session}{alone}{of_all}{exported}"


async def test_streams_and_pages_show_the_same(client: ServerClient) -> None:
    live = await client.stream("hello", to=PATH, session_id="s1")
    run_id = live.events[0]["run_id"]
    page = await client.get(f"/{PATH}/runs/{run_id}/events", session_id="s1")
    resumed = await client.http.post(
        f"/{PATH}/runs/{run_id}/resume", data={"session_id": "s1", "last_event_index": "3"}
    )
    replayed = [event for event in read_stream(resumed.text) if "event_index" in event]
    assert page["events"] == live.events
    assert replayed == live.events[4:]
    assert {len(event["content"]) for event in live.all("StepCompleted")} == {LARGE}


async def test_pages_of_large_contents_end_early(client: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    live = await client.stream("hello", to=PATH, session_id="s1")
    run_id = live.events[0]["run_id"]
    read = list[int]()
    stored_after = subscription.stored_after

    async def counted(*args: Any) -> Stored:
        page = await stored_after(*args)
        read.append(len(page.flushes))
        return page

    monkeypatch.setattr(subscription, "CONTENT_CHARACTERS", 1)
    monkeypatch.setattr(subscription, "stored_after", counted)
    resumed = await client.http.post(
        f"/{PATH}/runs/{run_id}/resume", data={"session_id": "s1", "last_event_index": "-1"}
    )
    assert [event for event in read_stream(resumed.text) if "event_index" in event] == live.events
    assert len(read) > 1  # without the limit it is one page


async def test_a_poll_with_the_tag_of_a_run_reads_nothing_large(client: ServerClient) -> None:
    run = await client.run("hello", to=PATH, session_id="s1")
    url = f"/{PATH}/runs/{run['run_id']}?session_id=s1"
    first = await client.http.get(url)
    again = await client.http.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert first.json()["step_results"] == run["step_results"]
    assert (again.status_code, again.content) == (304, b"")


async def test_a_running_run_shows_what_its_steps_returned(serve: Serve) -> None:
    flow = Workflow(
        id="large",
        steps=[Step(name="first", executor=work), Step(name="asks", executor=work, requires_confirmation=True)],
    )
    async with serve(served=Sample([], [], [flow])) as client:
        paused = await client.run("hello", to=PATH, session_id="s1")
        (question,) = paused["step_requirements"]
        assert [len(step["content"]) for step in paused["step_results"]] == [LARGE]
        before = question["step_input"]["previous_step_outputs"]["first"]
        assert (before["content"], "content_at" in before) == ("hello".ljust(LARGE, "x"), False)
