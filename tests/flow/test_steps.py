"""The steps of a run over HTTP, in pages and one by one; and what the run shows of itself while it is at work."""

from typing import Any

from dirty_equals import IsFloat, IsPartialDict

from tests.support.app import Serve
from tests.support.http import ServerClient

URL = "/teams/demo-team/runs/r1"


async def step(client: ServerClient, path: str, url: str = URL) -> dict[str, Any]:
    answer = await client.http.get(f"{url}/steps", params={"session_id": "s1", "path": path})
    (step,) = answer.json()
    return dict(step)


async def test_pages_of_steps_make_the_list(client: ServerClient) -> None:
    await client.run("[[DELEGATE weather-agent: hello || DELEGATE writer-agent: hi]]", session_id="s1", run_id="r1")
    steps = await client.get(f"{URL}/steps", session_id="s1")
    pages, after = list[Any](), dict[str, str]()
    while page := await client.get(f"{URL}/steps", session_id="s1", limit="3", **after):
        pages += page
        after = {"after_path": page[-1]["path"]}
    assert pages == steps
    assert len(steps) >= 8


async def test_one_step_has_its_content(client: ServerClient) -> None:
    run = await client.run("[[DELEGATE weather-agent: <SAY Sunny>]]", session_id="s1", run_id="r1")
    call, model = await step(client, "t0/c0"), await step(client, "t0/c0/t0/m")
    assert call == IsPartialDict(
        name="delegate_task_to_member",
        arguments={"member_id": "weather-agent", "task": "[[SAY Sunny]]"},
        result="Sunny",
        result_characters=5,
        child_run_ids=[run["tools"][0]["child_run_id"]],
        tool_call_id=run["tools"][0]["tool_call_id"],
    )
    assert model == IsPartialDict(
        run_id=run["tools"][0]["child_run_id"], parent_path="t0/c0", arguments=None, result="Sunny", tries=1
    )
    steps = await client.get(f"{URL}/steps", session_id="s1")
    assert "result" not in steps[0]
    assert "arguments" not in steps[0]


async def test_a_member_shows_only_its_own_steps(client: ServerClient) -> None:
    run = await client.run("[[DELEGATE weather-agent: hello]]", session_id="s1", run_id="r1")
    url = f"/teams/demo-team/runs/{run['tools'][0]['child_run_id']}"
    assert (await step(client, "t0/c0/t0/m", url))["path"] == "t0/c0/t0/m"
    for path in ("t0/m", "t0/c0", "nothing"):
        answer = await client.http.get(f"{url}/steps", params={"session_id": "s1", "path": path})
        assert answer.status_code == 404
        assert answer.json()["detail"] == f"The run has no step {path}"


async def test_limits_are_checked(client: ServerClient) -> None:
    await client.run("hello", session_id="s1", run_id="r1")
    for wrong in ({"limit": "0"}, {"limit": "10001"}, {"limit": "x"}):
        answer = await client.http.get(f"{URL}/steps", params={"session_id": "s1", **wrong})
        assert answer.status_code == 422
    assert await client.get(f"{URL}/steps", session_id="s1", after_path="nothing") == []


async def test_a_run_shows_what_it_does_and_has_used(serve: Serve) -> None:
    async with serve() as client:
        hold = client.model.hold("[[WORDS", after=2)
        run = await client.begin("[[DELEGATE weather-agent: <WORDS 4>]]", session_id="s1", run_id="r1")
        await hold.reached.wait()
        reading = client.server.runs.subscribe("r1")
        params = {"session_id": "s1"}
        answer = await client.http.get(URL, params=params)
        while answer.json().get("activity", {}).get("kind") != "writing":
            assert await reading.wait(120)
            reading.take()
            unchanged = await client.http.get(URL, params=params, headers={"If-None-Match": answer.headers["etag"]})
            answer = answer if unchanged.status_code == 304 else unchanged
        reading.close()
        body = answer.json()
        assert body["activity"] == IsPartialDict(kind="writing", member="Weather Agent", tool=None, since=IsFloat)
        assert body["activity"]["run_id"] != "r1"
        assert body["totals"] == IsPartialDict(model_calls=1, tool_calls=0, failed_calls=0, input_tokens=10)
        client.model.release()
        ended = await client.poll(run, wait=60)
    assert ended["totals"] == IsPartialDict(model_calls=3, tool_calls=1, input_tokens=30, output_tokens=15)
    assert list(ended)[-1] == "totals"
    assert "activity" not in ended
