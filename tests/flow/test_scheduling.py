"""When a run gets its turn: busy sessions, priorities, delays and deadlines, as a client sees them."""

import asyncio
from typing import Any

import pytest

from musterd.core import clock
from musterd.store import delays
from tests.support.app import Sample, Serve, sample
from tests.support.held_model import HeldModel
from tests.support.http import Receipt, ServerClient, problem

BACKGROUND = {"stream": "false", "background": "true"}
FORMS = [{"stream": "false"}, {"stream": "true"}, BACKGROUND]


async def at_work(client: ServerClient, run_id: str = "r1", message: str = "wait here") -> Receipt:
    """A run of session s1 that has said a word and goes on when the model is released."""
    hold = client.model.hold(message.split()[0], after=1)
    receipt = await client.begin(message, run_id=run_id, session_id="s1")
    await hold.reached.wait()
    return receipt


def of(run_id: str) -> Receipt:
    return Receipt(run_id, "s1", "")


async def upkeep(client: ServerClient, ahead_seconds: float = 0) -> None:
    """What upkeep does, as if it were later."""
    database, engine = client.server.database, client.server.worker
    for move in (delays.join_due, delays.expire_pending):
        moved = await database.write(lambda tx, move=move: move(tx, clock.now() + ahead_seconds))  # type: ignore[misc]
        for done in moved.stopped:
            engine.run_stopped(done)
        for run in moved.ready:
            client.server.bus.send_ready(run)


# On busy


async def test_a_run_waits_unless_it_says_otherwise(client: ServerClient) -> None:
    first = await at_work(client)
    second = await client.begin("two", session_id="s1", run_id="r2")
    third = await client.begin("three", session_id="s1", run_id="r3", on_busy="enqueue")
    assert [(await client.poll(run))["queue_position"] for run in (second, third)] == [1, 2]
    assert [(await client.get(f"/runs/{run.run_id}"))["runs_behind"] for run in (first, second, third)] == [2, 1, 0]
    client.model.release()
    ends = [await client.ended(run) for run in (first, second, third)]
    assert [end["status"] for end in ends] == ["COMPLETED"] * 3
    assert ends[1]["started_at"] >= ends[0]["ended_at"]


@pytest.mark.parametrize("form", FORMS, ids=str)
async def test_a_busy_session_refuses_who_does_not_want_to_wait(client: ServerClient, form: dict[str, str]) -> None:
    first = await at_work(client)
    answer = await client.post("two", session_id="s1", run_id="r2", on_busy="reject", **form)
    assert "r1" in problem(answer, 409, "CONFLICT")
    assert len(await client.get("/sessions/s1/runs")) == 1
    client.model.release()
    await client.ended(first)
    answer = await client.post("two", session_id="s1", run_id="r2", on_busy="reject", **form)
    assert answer.status_code in (200, 202)
    assert (await client.ended(of("r2")))["status"] == "COMPLETED"


async def test_an_interrupter_cancels_the_live_one_and_comes_next(client: ServerClient) -> None:
    first = await at_work(client)
    queued = await client.begin("queued", session_id="s1", run_id="r2")
    done = await client.run("now", session_id="s1", run_id="r3", on_busy="interrupt")
    assert (done["status"], done["content"]) == ("COMPLETED", "Echo: now")
    over = await client.ended(first)
    assert (over["status"], over["content"], over["cancel"]["by"]) == ("CANCELLED", "Echo: ", "interrupt")
    last = await client.ended(queued)
    assert last["status"] == "COMPLETED"
    assert last["started_at"] >= done["ended_at"] >= over["ended_at"]


async def test_parallel_runs_overlap(client: ServerClient) -> None:
    first = await at_work(client)
    done = await client.run("beside", session_id="s1", run_id="r2", on_busy="parallel")
    assert done["status"] == "COMPLETED"
    assert (await client.poll(first))["status"] == "RUNNING"
    client.model.release()
    assert (await client.ended(first))["status"] == "COMPLETED"


async def test_a_team_has_a_default_and_a_request_the_last_word(serve: Serve) -> None:
    model = HeldModel()
    served = sample(model)
    strict = _with(served, on_busy="reject")
    async with serve(model=model, served=strict) as client:
        first = await at_work(client)
        problem(await client.post("two", session_id="s1", stream="false"), 409, "CONFLICT")
        second = await client.begin("two", session_id="s1", run_id="r2", on_busy="enqueue")
        client.model.release()
        assert (await client.ended(first))["status"] == (await client.ended(second))["status"] == "COMPLETED"


def _with(served: Sample, **options: Any) -> Sample:
    from musterd import Team

    demo, *others = served.teams
    again = Team(id=demo.id, name=demo.name, members=demo.members, model=demo.model, **options)
    return Sample([again, *others], served.agents)


# Priority, delay, deadline


async def test_the_urgent_come_first_where_runs_wait_for_a_worker(serve: Serve) -> None:
    async with serve(concurrency=1) as client:
        first = await at_work(client)
        plain = [await client.begin("x", session_id=f"p{number}") for number in range(3)]
        urgent = await client.begin("x", session_id="u", priority="5")
        least = await client.begin("x", session_id="l", priority="-5")
        client.model.release()
        ends = [await client.ended(run) for run in (first, urgent, *plain, least)]
        started = [end["started_at"] for end in ends]
        assert started == sorted(started)


async def test_a_delayed_run_is_pending_until_it_is_due(client: ServerClient) -> None:
    delayed = await client.begin("later", session_id="s1", run_id="r1", delay_seconds="3600")
    before = await client.poll(delayed)
    assert (before["status"], before["queue_position"], "queued_at" in before) == ("PENDING", 0, False)
    assert (await client.run("now", session_id="s1"))["status"] == "COMPLETED"
    await upkeep(client)
    assert (await client.poll(delayed))["status"] == "PENDING"
    await upkeep(client, 3600)
    after = await client.ended(delayed)
    assert (after["status"], after["content"]) == ("COMPLETED", "Echo: later")


async def test_a_delayed_run_can_be_cancelled(client: ServerClient) -> None:
    delayed = await client.begin("later", session_id="s1", run_id="r1", delay_seconds="3600")
    assert (await client.cancel("r1")).json()["status"] == "CANCELLED"
    await upkeep(client, 3600)
    assert (await client.poll(delayed))["status"] == "CANCELLED"
    assert client.model.calls == []


async def test_a_delayed_interrupter_interrupts_when_due(client: ServerClient) -> None:
    delayed = await client.begin("later", session_id="s1", run_id="r2", delay_seconds="3600", on_busy="interrupt")
    first = await at_work(client)
    await upkeep(client, 3600)
    assert (await client.ended(first))["status"] == "CANCELLED"
    assert (await client.ended(delayed))["status"] == "COMPLETED"


async def test_a_pending_run_ends_at_its_deadline(client: ServerClient) -> None:
    first = await at_work(client)
    waiting = asyncio.ensure_future(client.run("two", session_id="s1", run_id="r2", timeout_seconds="60"))
    streamed = asyncio.ensure_future(client.stream("three", session_id="s1", run_id="r3", timeout_seconds="60"))
    while len(await client.get("/sessions/s1/runs")) < 3:
        pass
    await upkeep(client, 61)
    done = await waiting
    assert (done["status"], done["error"]["code"], done["error"]["retryable"]) == ("ERROR", "deadline", False)
    assert (await streamed).names == ["TeamRunError"]
    assert (await streamed).one("TeamRunError")["error_type"] == "deadline"
    assert done["content"] == "The run's deadline passed while it waited."
    client.model.release()
    assert (await client.ended(first))["status"] == "COMPLETED"


async def test_a_running_one_ends_itself_at_its_deadline(client: ServerClient) -> None:
    client.model.hold("wait", after=1)
    done = await client.run("wait here", session_id="s1", timeout_seconds="0.2")
    assert (done["status"], done["error"]["code"]) == ("ERROR", "deadline")
    assert (await client.run("next", session_id="s1", timeout_seconds="60"))["status"] == "COMPLETED"
