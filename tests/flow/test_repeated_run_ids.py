"""Run ids that clients choose: the same request again is the same run again, any other is refused and told nothing."""

import asyncio

import pytest

from tests.support.app import Serve
from tests.support.http import ServerClient, problem, read_stream

PNG = ("a.png", b"\x89PNG\r\n\x1a\n", "image/png")


async def runs_in(client: ServerClient, session_id: str = "s1") -> int:
    return len(await client.get(f"/sessions/{session_id}/runs"))


async def test_a_finished_run_again(client: ServerClient) -> None:
    first = await client.run("hello", run_id="r1", session_id="s1", session_state='{"a": 1}')
    again = await client.run("hello", run_id="r1", session_id="s1", session_state='{"a": 1}')
    assert again == first
    assert (await runs_in(client), len(client.model.calls)) == (1, 1)


async def test_a_failed_run_again_is_not_tried_again(client: ServerClient) -> None:
    first = await client.run("[[ERROR 400]]", run_id="r1", session_id="s1")
    assert await client.run("[[ERROR 400]]", run_id="r1", session_id="s1") == first
    assert len(client.model.calls) == 1


async def test_without_a_session_id_it_is_the_first_ones_session(client: ServerClient) -> None:
    first = await client.run("hello", run_id="r1")
    assert await client.run("hello", run_id="r1") == first
    assert await client.run("hello", run_id="r1", session_id="") == first


async def test_a_finished_run_again_as_a_stream_is_its_events_again(client: ServerClient) -> None:
    first = await client.stream("[[DELEGATE writer-agent: x]]", run_id="r1", session_id="s1")
    again = await client.stream("[[DELEGATE writer-agent: x]]", run_id="r1", session_id="s1")
    assert again.events == first.events
    assert again.response.text == first.response.text
    assert await runs_in(client) == 2


async def test_a_finished_run_again_as_a_receipt_tells_its_state(client: ServerClient) -> None:
    await client.run("hello", run_id="r1", session_id="s1")
    answer = await client.post("hello", run_id="r1", session_id="s1", background="true")
    assert answer.status_code == 202
    assert answer.json() == {"run_id": "r1", "session_id": "s1", "status": "COMPLETED"}
    assert answer.headers["location"] == "/teams/demo-team/runs/r1?session_id=s1"


async def test_a_running_run_again_waits_for_the_same_end(client: ServerClient) -> None:
    hold = client.model.hold("wait")
    first = asyncio.ensure_future(client.run("wait", run_id="r1", session_id="s1"))
    await hold.reached.wait()
    receipt = await client.post("wait", run_id="r1", session_id="s1", background="true")
    assert receipt.json() == {"run_id": "r1", "session_id": "s1", "status": "RUNNING"}
    again = asyncio.ensure_future(client.run("wait", run_id="r1", session_id="s1"))
    other_kind = asyncio.ensure_future(client.run("wait", run_id="r1", session_id="s1", stream_events="false"))
    hold.release()
    assert await first == await again == await other_kind
    assert len(client.model.calls) == 1


async def test_a_running_run_again_as_a_stream_attaches(serve_live: Serve) -> None:
    async with serve_live() as client:
        hold = client.model.hold("wait", after=1)
        async with client.reading("wait", run_id="r1", session_id="s1") as first:
            await first.until("TeamRunContent")
            async with client.reading("wait", run_id="r1", session_id="s1") as again:
                await again.until("TeamRunContent")
                hold.release()
                await first.rest()
                await again.rest()
        assert first.events == again.events
        assert again.events[-1]["event"] == "TeamRunCompleted"
        assert len(client.model.calls) == 1


async def test_the_same_request_twice_at_once_is_one_run(client: ServerClient) -> None:
    answers = await asyncio.gather(*[client.run("hello", run_id="r1", session_id="s1") for _ in range(5)])
    assert all(answer == answers[0] for answer in answers)
    assert await runs_in(client) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"message": "other"},
        {"session_id": "s2"},
        {"session_id": ""},
        {"user_id": "u2"},
        {"session_state": '{"a": 2}'},
        {"metadata": '{"a": 2}'},
        {"add_history_to_context": "true"},
        {"to": "teams/other-team"},
        {"to": "agents/solo-agent"},
        {"files": {"files": PNG}},
    ],
    ids=lambda other: ",".join(other),
)
@pytest.mark.parametrize("form", [{"stream": "false"}, {"stream": "true"}, {"background": "true"}])
async def test_another_request_under_the_same_id(
    client: ServerClient, other: dict[str, str], form: dict[str, str]
) -> None:
    fields = {"message": "the secret", "run_id": "r1", "session_id": "s1", "user_id": "u1"}
    await client.run(**fields)
    answer = await client.post(**{**fields, **other, **form})
    detail = problem(answer, 409, "CONFLICT")
    assert "secret" not in answer.text
    assert "s1" not in answer.text
    assert "demo-team" not in detail
    assert await runs_in(client) == 1
    assert (await client.http.get("/sessions/s2")).status_code == 404


async def test_files_are_part_of_the_request(client: ServerClient) -> None:
    form = {"message": "hi", "run_id": "r1", "session_id": "s1"}
    first = await client.post(**form, stream="false", files={"files": PNG})
    again = await client.post(**form, stream="false", files={"files": PNG})
    assert first.json() == again.json()
    other = await client.post(**form, stream="false", files={"files": ("a.png", PNG[1] + b"x", "image/png")})
    problem(other, 409, "CONFLICT")
    problem(await client.post(**form, stream="false"), 409, "CONFLICT")


async def test_how_the_answer_is_asked_for_is_not(client: ServerClient) -> None:
    await client.run("hello", run_id="r1", session_id="s1", debug_mode="true", monitor="true")
    stream = await client.stream("hello", run_id="r1", session_id="s1", stream_events="false")
    assert stream.names == ["TeamRunContent", "TeamRunCompleted"]
    body = {"message": "hello", "run_id": "r1", "session_id": "s1", "stream": False}
    assert (await client.http.post("/teams/demo-team/runs", json=body)).json()["run_id"] == "r1"


async def test_a_members_run_id_is_taken_too(client: ServerClient) -> None:
    done = await client.run("[[DELEGATE writer-agent: x]]", session_id="s1")
    answer = await client.post("hello", run_id=done["tools"][0]["child_run_id"], stream="false")
    problem(answer, 409, "CONFLICT")


async def test_the_server_chose_an_id_that_a_client_now_chooses(client: ServerClient) -> None:
    done = await client.run("hello", session_id="s1")
    problem(await client.post("hello", session_id="s1", run_id=done["run_id"], stream="false"), 409, "CONFLICT")


async def test_a_stream_that_is_refused_leaves_no_reader(client: ServerClient) -> None:
    await client.run("hello", run_id="r1", session_id="s1")
    problem(await client.post("other", run_id="r1", session_id="s1", stream="true"), 409, "CONFLICT")
    assert not client.server.broadcaster.has_subscribers("r1")
    assert read_stream((await client.post("hello", run_id="r1", session_id="s1")).text)
    assert not client.server.broadcaster.has_subscribers("r1")
