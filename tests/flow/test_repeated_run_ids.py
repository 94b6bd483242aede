"""Run ids that clients choose: the same request again is the same run again, any other is refused and told nothing."""

import asyncio

import pytest

from tests.support.app import Serve
from tests.support.http import House, problem, read_stream

PNG = ("a.png", b"\x89PNG\r\n\x1a\n", "image/png")


async def runs_in(house: House, session_id: str = "s1") -> int:
    return len(await house.get(f"/sessions/{session_id}/runs"))


async def test_a_finished_run_again(house: House) -> None:
    first = await house.run("hello", run_id="r1", session_id="s1", session_state='{"a": 1}')
    again = await house.run("hello", run_id="r1", session_id="s1", session_state='{"a": 1}')
    assert again == first
    assert (await runs_in(house), len(house.model.calls)) == (1, 1)


async def test_a_failed_run_again_is_not_tried_again(house: House) -> None:
    first = await house.run("[[ERROR 400]]", run_id="r1", session_id="s1")
    assert await house.run("[[ERROR 400]]", run_id="r1", session_id="s1") == first
    assert len(house.model.calls) == 1


async def test_without_a_session_id_it_is_the_first_ones_session(house: House) -> None:
    first = await house.run("hello", run_id="r1")
    assert await house.run("hello", run_id="r1") == first
    assert await house.run("hello", run_id="r1", session_id="") == first


async def test_a_finished_run_again_as_a_stream_is_its_events_again(house: House) -> None:
    first = await house.stream("[[DELEGATE writer-agent: x]]", run_id="r1", session_id="s1")
    again = await house.stream("[[DELEGATE writer-agent: x]]", run_id="r1", session_id="s1")
    assert again.events == first.events
    assert again.response.text == first.response.text
    assert await runs_in(house) == 2


async def test_a_finished_run_again_as_a_receipt_tells_its_state(house: House) -> None:
    await house.run("hello", run_id="r1", session_id="s1")
    answer = await house.post("hello", run_id="r1", session_id="s1", background="true")
    assert answer.status_code == 202
    assert answer.json() == {"run_id": "r1", "session_id": "s1", "status": "COMPLETED"}
    assert answer.headers["location"] == "/teams/demo-team/runs/r1?session_id=s1"


async def test_a_running_run_again_waits_for_the_same_end(house: House) -> None:
    hold = house.model.hold("wait")
    first = asyncio.ensure_future(house.run("wait", run_id="r1", session_id="s1"))
    await hold.reached.wait()
    receipt = await house.post("wait", run_id="r1", session_id="s1", background="true")
    assert receipt.json() == {"run_id": "r1", "session_id": "s1", "status": "RUNNING"}
    again = asyncio.ensure_future(house.run("wait", run_id="r1", session_id="s1"))
    other_kind = asyncio.ensure_future(house.run("wait", run_id="r1", session_id="s1", stream_events="false"))
    hold.release()
    assert await first == await again == await other_kind
    assert len(house.model.calls) == 1


async def test_a_running_run_again_as_a_stream_attaches(serve_live: Serve) -> None:
    async with serve_live() as house:
        hold = house.model.hold("wait", after=1)
        async with house.reading("wait", run_id="r1", session_id="s1") as first:
            await first.until("TeamRunContent")
            async with house.reading("wait", run_id="r1", session_id="s1") as again:
                await again.until("TeamRunContent")
                hold.release()
                await first.rest()
                await again.rest()
        assert first.events == again.events
        assert again.events[-1]["event"] == "TeamRunCompleted"
        assert len(house.model.calls) == 1


async def test_the_same_request_twice_at_once_is_one_run(house: House) -> None:
    answers = await asyncio.gather(*[house.run("hello", run_id="r1", session_id="s1") for _ in range(5)])
    assert all(answer == answers[0] for answer in answers)
    assert await runs_in(house) == 1


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
async def test_another_request_under_the_same_id(house: House, other: dict[str, str], form: dict[str, str]) -> None:
    given = {"message": "the secret", "run_id": "r1", "session_id": "s1", "user_id": "u1"}
    await house.run(**given)
    answer = await house.post(**{**given, **other, **form})
    detail = problem(answer, 409, "CONFLICT")
    assert "secret" not in answer.text
    assert "s1" not in answer.text
    assert "demo-team" not in detail
    assert await runs_in(house) == 1
    assert (await house.http.get("/sessions/s2")).status_code == 404


async def test_files_are_part_of_the_request(house: House) -> None:
    given = {"message": "hi", "run_id": "r1", "session_id": "s1"}
    first = await house.post(**given, stream="false", files={"files": PNG})
    again = await house.post(**given, stream="false", files={"files": PNG})
    assert first.json() == again.json()
    other = await house.post(**given, stream="false", files={"files": ("a.png", PNG[1] + b"x", "image/png")})
    problem(other, 409, "CONFLICT")
    problem(await house.post(**given, stream="false"), 409, "CONFLICT")


async def test_how_the_answer_is_asked_for_is_not(house: House) -> None:
    await house.run("hello", run_id="r1", session_id="s1", debug_mode="true", monitor="true")
    stream = await house.stream("hello", run_id="r1", session_id="s1", stream_events="false")
    assert stream.names == ["TeamRunContent", "TeamRunCompleted"]
    body = {"message": "hello", "run_id": "r1", "session_id": "s1", "stream": False}
    assert (await house.http.post("/teams/demo-team/runs", json=body)).json()["run_id"] == "r1"


async def test_a_members_run_id_is_taken_too(house: House) -> None:
    done = await house.run("[[DELEGATE writer-agent: x]]", session_id="s1")
    answer = await house.post("hello", run_id=done["tools"][0]["child_run_id"], stream="false")
    problem(answer, 409, "CONFLICT")


async def test_the_server_chose_an_id_that_a_client_now_chooses(house: House) -> None:
    done = await house.run("hello", session_id="s1")
    problem(await house.post("hello", session_id="s1", run_id=done["run_id"], stream="false"), 409, "CONFLICT")


async def test_a_stream_that_is_refused_leaves_no_reader(house: House) -> None:
    await house.run("hello", run_id="r1", session_id="s1")
    problem(await house.post("other", run_id="r1", session_id="s1", stream="true"), 409, "CONFLICT")
    assert not house.server.broadcaster.has_subscribers("r1")
    assert read_stream((await house.post("hello", run_id="r1", session_id="s1")).text)
    assert not house.server.broadcaster.has_subscribers("r1")
