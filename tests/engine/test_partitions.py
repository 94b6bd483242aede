"""On tables that are partitioned by shard, what a run executes touches one partition of each table.

All Postgres tests of the store and of engines run on such tables, and fail if a statement touches several partitions
without a reason. Those here make sure that the statements of representative runs are among them.
"""

from collections.abc import Iterator

import pytest

from musterd import Agent, Team, tool
from musterd.core.callers import Caller
from musterd.core.deliveries import DeliveryFilter
from musterd.core.queueing import QueueingOptions
from musterd.core.requirements import Decision, Verdict
from musterd.core.states import RunState
from musterd.service.run_ref import RunRef
from musterd.service.steering import SentMessage
from musterd.store import deliveries
from tests.engine.conftest import Engines
from tests.support.engine import NOBODY, EngineHarness, read_all
from tests.support.held_model import HeldModel
from tests.support.partitions import PlanWatch
from tests.support.postgres import PARTITIONED, PostgresServer

ACCEPTANCE = {"session_join", "session_queue_head", "run_accept_running", "run_io_add", "request_add"}
ATTEMPT = {"run_input", "session_get", "attempt_fence", "step_put", "events_add"}
END = {"session_lock", "attempt_finish_completed", "run_output_put", "approvals_close", "queue_promote"}


@pytest.fixture
def database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database whose tables are partitioned."""
    with postgres_server.database(PARTITIONED) as url:
        yield url


def team(model: HeldModel) -> Team:
    @tool(requires_confirmation=True)
    async def pay() -> str:
        """Pay."""
        return "paid"

    @tool
    async def look() -> str:
        """Look."""
        return "seen"

    members = [Agent(id="one", tools=[look, pay])]
    return Team(id="team", model=model, members=members, tools=[look], add_history_to_context=True)


def ref(harness: EngineHarness, run_id: str) -> RunRef:
    return RunRef(harness.component(), run_id, "s1", NOBODY)


async def test_a_run_touches_one_partition_of_each_table(engines: Engines, model: HeldModel, plans: PlanWatch) -> None:
    async with engines(teams=[team(model)], webhook_urls=("http://127.0.0.1:1",), webhook_secret="x" * 32) as harness:
        await harness.run("[[DELEGATE one: <TOOL look>]] [[TOOL look]]", "r1")
        await harness.run("again", "r2")  # reads the history
        late = harness.runs.subscribe("r1").start_after(await harness.records.row("r1"))
        assert await read_all(late, is_new=False) == await harness.stored("r1")
        view = await harness.runs.view(ref(harness, "r1"))
        assert view.row.state is RunState.COMPLETED
        steps = await harness.runs.steps(ref(harness, "r1"))
        await harness.runs.step(ref(harness, "r1"), steps[0].step.path)
        assert len(await harness.members("r1")) == 1
        page = await harness.database.scan(lambda tx: deliveries.search(tx, DeliveryFilter(), Caller()))
        assert {delivery.run_id for delivery in page} == {"r1", "r2"}
    assert plans.executed >= ACCEPTANCE | ATTEMPT | END


async def test_what_people_do_to_a_run_touches_one_partition(
    engines: Engines, model: HeldModel, plans: PlanWatch
) -> None:
    async with engines(teams=[team(model)]) as harness:
        paused = await harness.run("[[DELEGATE one: <TOOL pay>]]", "r1")
        assert paused.row.state is RunState.PAUSED
        assert paused.output is not None
        requirement = paused.output.requirements[0]
        await harness.runs.decide(ref(harness, "r1"), [Decision(key=requirement["id"], verdict=Verdict.RUN)])
        assert (await harness.end_of("r1")).row.state is RunState.COMPLETED
        hold = model.hold("slow")
        await harness.start("slow", "r2")
        await hold.reached.wait()
        await harness.runs.steering.send(ref(harness, "r2"), SentMessage(text="also this"))
        await harness.start("next", "r3")
        await harness.start("other", "r4", queueing=QueueingOptions(delay_seconds=3600))
        await harness.cancel("r4")
        await harness.cancel("r3")
        hold.release()
        assert (await harness.end_of("r2")).row.state is RunState.COMPLETED
        await harness.cancel("r2")
    assert plans.executed >= {"approval_add", "approval_decide", "attempt_pause", "message_add", "run_cancel"}


async def test_a_take_over_touches_one_partition_for_each_run(
    engines: Engines, model: HeldModel, plans: PlanWatch
) -> None:
    hold = model.hold("slow")
    async with engines(teams=[team(model)]) as first:
        await first.start("[[DELEGATE one: slow]]", "r1")
        await hold.reached.wait()
        await first.kill()
    hold.release()
    async with engines(teams=[team(model)], upkeep_seconds=0.01, dead_seconds=0.05) as second:
        assert (await second.end_of("r1")).row.attempt == 2
    assert plans.executed >= {"run_attempt_end", "run_release", "runs_claim", "run_attempt_begin", "steps_of_root"}
