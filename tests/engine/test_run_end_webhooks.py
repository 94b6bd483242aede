"""Each way that a run can end or pause is told: once, in the transaction that makes it so, by whoever makes it so."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from musterd import Agent, tool
from musterd.core.queueing import OnBusy, QueueingOptions
from musterd.service.forks import ForkRequest
from musterd.service.run_ref import RunRef
from musterd.service.steering import SentMessage
from tests.engine.conftest import Engines
from tests.support.engine import NOBODY, EngineHarness
from tests.support.held_model import HeldModel
from tests.support.webhook_receiver import SECRET, Receiver, receiving

PATIENT: dict[str, Any] = {"upkeep_seconds": 3600, "dead_seconds": 0}
"""Nothing happens by itself but what a commit wakes; whoever else is there is taken for dead at the first look."""


@tool(requires_confirmation=True)
async def pay(n: int) -> str:
    """Pay."""
    return f"paid {n}"


@tool(approval="audit", requires_confirmation=True)
async def note(n: int) -> str:
    """Note."""
    return f"noted {n}"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as listening:
        yield listening


@contextlib.asynccontextmanager
async def telling(
    engines: Engines, receiver: Receiver, model: HeldModel, **options: Any
) -> AsyncIterator[EngineHarness]:
    """An engine whose server tells the receiver of every run."""
    agents = [Agent(id="solo", model=model, tools=[pay, note])]
    own = {"webhook_secret": SECRET, "webhook_urls": (receiver.url,)}
    async with engines(agents=agents, **{**PATIENT, **own, **options}) as harness:
        yield harness


async def test_an_answer(engines: Engines, receiver: Receiver, model: HeldModel) -> None:
    async with telling(engines, receiver, model) as harness:
        await harness.run("hello", "r1", user_id="ana")
        (taken,) = await receiver.has(1)
    path = "/agents/solo/runs/r1?session_id=s1"
    data = {"run_id": "r1", "session_id": "s1", "agent_id": "solo", "user_id": "ana", "status": "COMPLETED"}
    assert taken.type == "run.completed"
    assert taken.message["data"] == {**data, "attempts": 1, "path": path}, "the answer is not told"


async def test_an_answer_is_told_where_the_operator_says_so(
    engines: Engines, receiver: Receiver, model: HeldModel
) -> None:
    async with telling(engines, receiver, model, webhook_content=True) as harness:
        await harness.run("hello", "r1")
        (taken,) = await receiver.has(1)
    assert taken.message["data"]["content"] == "Echo: hello"


async def test_a_failure(engines: Engines, receiver: Receiver, model: HeldModel) -> None:
    async with telling(engines, receiver, model) as harness:
        view = await harness.run("[[ERROR 402]]", "r1")
        (taken,) = await receiver.has(1)
    assert view.output is not None
    assert (taken.type, taken.message["data"]["error"]) == ("run.error", view.output.error)


async def test_a_cancel_at_work_and_while_it_waits(engines: Engines, receiver: Receiver, model: HeldModel) -> None:
    async with telling(engines, receiver, model) as harness:
        hold = model.hold("[[SAY first]]")
        await harness.start("[[SAY first]]", "r1")
        await hold.reached.wait()
        await harness.start("[[SAY second]]", "r2")
        await harness.cancel("r2")
        await receiver.has(1)
        await harness.cancel("r1")
        taken = await receiver.has(2)
        assert [(one.type, one.message["data"]["run_id"]) for one in taken] == [
            ("run.cancelled", "r2"),
            ("run.cancelled", "r1"),
        ]
        hold.release()


async def test_an_interrupted_run(engines: Engines, receiver: Receiver, model: HeldModel) -> None:
    async with telling(engines, receiver, model) as harness:
        hold = model.hold("[[SAY first]]")
        await harness.start("[[SAY first]]", "r1")
        await hold.reached.wait()
        await harness.start("[[SAY second]]", "r2", queueing=QueueingOptions(on_busy=OnBusy.INTERRUPT))
        taken = await receiver.has(2)
    types = {one.message["data"]["run_id"]: one.type for one in taken}
    assert types == {"r1": "run.cancelled", "r2": "run.completed"}


async def test_a_question_and_the_pause(engines: Engines, receiver: Receiver, model: HeldModel) -> None:
    async with telling(engines, receiver, model) as harness:
        await harness.run('[[TOOL pay {"n": 1}]] [[TOOL note {"n": 2}]]', "r1")
        taken = {one.type: one.message["data"] for one in await receiver.has(2)}
        assert set(taken) == {"approval.pending", "run.paused"}, "an audit is shown once it is decided"
        assert taken["run.paused"]["status"] == "PAUSED"
        assert {one["tool_execution"]["tool_name"] for one in taken["run.paused"]["requirements"]} == {"pay", "note"}
        approval = taken["approval.pending"]["approval"]
        (row,) = await harness.records.select("SELECT id FROM approvals WHERE approval_type IS NULL")
        assert (approval["id"], approval["status"], approval["tool_args"]) == (row["id"], "pending", {"n": 1})
        await harness.cancel("r1")
        await receiver.has(3)
    assert receiver.event_types[2:] == ["run.cancelled"]


async def test_a_pause_that_nobody_ended(engines: Engines, receiver: Receiver, model: HeldModel) -> None:
    async with telling(engines, receiver, model) as harness:
        await harness.run('[[TOOL note {"n": 1}]]', "r1")
        await harness.records.execute("UPDATE runs SET expires_at = 1")
        await harness.engine.upkeep.once()
        taken = await receiver.has(2)
    assert sorted(receiver.event_types) == ["run.error", "run.paused"]
    (error,) = [one.message["data"]["error"] for one in taken if one.type == "run.error"]
    assert error["code"] == "expired"


async def test_a_deadline(engines: Engines, receiver: Receiver, model: HeldModel) -> None:
    async with telling(engines, receiver, model) as harness:
        hold = model.hold("[[SAY first]]")
        await harness.start("[[SAY first]]", "r1")
        await hold.reached.wait()
        await harness.start("[[SAY second]]", "r2", queueing=QueueingOptions(timeout_seconds=60))
        await harness.records.execute("UPDATE runs SET deadline_at = 1 WHERE run_id = 'r2'")
        await harness.engine.upkeep.once()
        (taken,) = await receiver.has(1)
        hold.release()
        await harness.end_of("r1")
    assert (taken.message["data"]["run_id"], taken.message["data"]["error"]["code"]) == ("r2", "deadline")


@pytest.mark.parametrize("is_to_be_cancelled", [True, False], ids=["cancelled", "given up"])
async def test_a_run_of_a_dead_worker(
    engines: Engines, receiver: Receiver, model: HeldModel, is_to_be_cancelled: bool
) -> None:
    async with telling(engines, receiver, model) as harness:
        harness.records.worker = "gone"
        run = await harness.records.started("r1", row={"webhooks": receiver.url})
        await harness.records.append(run)
        await harness.records.execute("UPDATE runs SET crashes = 4, crashes_in_all = 4")
        if is_to_be_cancelled:
            await harness.records.cancel("r1")
        await harness.engine.upkeep.once()
        (taken,) = await receiver.has(1)
    assert taken.type == ("run.cancelled" if is_to_be_cancelled else "run.error")
    assert is_to_be_cancelled or taken.message["data"]["error"]["code"] == "crashed"


async def test_a_fork_keeps_the_runs_own_webhook(engines: Engines, receiver: Receiver, model: HeldModel) -> None:
    own = receiver.url + "&own=1"
    async with telling(engines, receiver, model, webhook_private_hosts=("127.0.0.1",)) as harness:
        await harness.run("[[ERROR 402]]", "r1", options={"webhook_url": own})
        failed = await harness.server.forks.find_failed(RunRef(harness.component(), "r1", "s1", NOBODY), None)
        assert failed is not None
        await harness.server.forks.start(harness.component(), failed, ForkRequest(run_id="r2"), NOBODY)
        taken = await receiver.has(4)
    deliveries = sorted((one.message["data"]["run_id"], one.path.endswith("own=1")) for one in taken)
    assert deliveries == [("r1", False), ("r1", True), ("r2", False), ("r2", True)]


async def test_a_run_of_words_that_no_call_read_keeps_it(
    engines: Engines, receiver: Receiver, model: HeldModel
) -> None:
    own = receiver.url + "&own=1"
    async with telling(engines, receiver, model, webhook_urls=(), webhook_private_hosts=("127.0.0.1",)) as harness:
        await harness.run('[[TOOL pay {"n": 1}]]', "r1", options={"webhook_url": own})
        await harness.runs.steering.send(
            RunRef(harness.component(), "r1", None, NOBODY), SentMessage(text="Well?"), None
        )
        await harness.records.execute("UPDATE runs SET expires_at = 1")
        await harness.engine.upkeep.once()
        taken = await receiver.has(4)
    deliveries = {(one.type, one.message["data"]["run_id"] == "r1") for one in taken}
    assert deliveries == {
        ("approval.pending", True),
        ("run.paused", True),
        ("run.error", True),
        ("run.completed", False),
    }


async def test_without_webhooks_nothing_is_written(engines: Engines, receiver: Receiver, model: HeldModel) -> None:
    async with telling(engines, receiver, model, webhook_urls=()) as harness:
        await harness.run("hello", "r1")
        await harness.run('[[TOOL pay {"n": 1}]]', "r2")
        await harness.cancel("r2")
        assert await harness.records.select("SELECT id FROM deliveries") == []
    assert receiver.taken == []
