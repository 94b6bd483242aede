"""Continue after ERROR: a new run goes on where the failed one stopped, and does nothing again."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic_ai import RunContext
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings

from musterd import Agent, Budget, Team, tool
from musterd.core.errors import Conflict, NotFound
from musterd.core.queueing import QueueingOptions
from musterd.core.records import RunRow, RunView
from musterd.core.states import RunState
from musterd.service.forks import ForkRequest
from musterd.service.run_ref import RunRef
from musterd.service.steering import SentMessage
from tests.engine.conftest import Engines
from tests.support.engine import NOBODY, EngineHarness
from tests.support.held_model import HeldModel
from tests.support.time_limits import RunTimes

BOTH = '[[TOOL mark {"n": 1}]] [[DELEGATE one: <TOOL mark {"n": 2}>]]'


class Down(HeldModel):
    """A model whose provider is down from the call with this number on, until it is up again."""

    down_from: int | None = None

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        if self.down_from is not None and len(self.calls) >= self.down_from:
            raise ModelHTTPError(402, "m", {"message": "no credit"})
        async with super().request_stream(messages, model_settings, model_request_parameters, run_context) as stream:
            yield stream


class Shop:
    """A team whose tool calls are counted."""

    def __init__(self) -> None:
        self.model = Down()
        self.calls: Counter[int] = Counter()
        self.hanging = asyncio.Event()
        self.go_on = asyncio.Event()
        self.hangs: set[int] = set()

    def team(self, **declared: Any) -> Team:
        @tool
        async def mark(n: int) -> str:
            """Mark a number."""
            self.calls[n] += 1
            if n in self.hangs:
                self.hanging.set()
                await self.go_on.wait()
            return f"marked {n}"

        one = Agent(id="one", name="One", tools=[mark])
        return Team(id="team", name="Team", model=self.model, members=[one], tools=[mark], **declared)


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def fork(harness: EngineHarness, of: str = "r1", run_id: str = "r2", **options: Any) -> RunRow:
    other = await harness.runs.view(RunRef(harness.component(), of, None, NOBODY))
    accepted = await harness.server.forks.start(
        harness.component(), other, ForkRequest(run_id=run_id, **options), NOBODY
    )
    return accepted.run


def used_by(view: RunView) -> tuple[int, int, int]:
    totals = json.loads(view.row.totals or "{}")
    return totals["model_calls"], totals["tool_calls"], totals["input_tokens"] + totals["output_tokens"]


def tokens_in_output(view: RunView) -> int:
    assert view.output is not None
    return view.output.usage.input_tokens + view.output.usage.output_tokens


def content_of(view: RunView) -> str:
    assert view.output is not None
    return str(view.output.content)


async def test_a_failed_run_goes_on_in_a_new_one(engines: Engines, shop: Shop) -> None:
    shop.model.down_from = 3
    async with engines(teams=[shop.team()]) as harness:
        failed = await harness.run(BOTH, "r1")
        assert (failed.row.state, len(shop.model.calls)) == (RunState.ERROR, 3)
        shop.model.down_from = None
        row = await fork(harness)
        view = await harness.end_of("r2")
        members = await harness.members("r2")
        (old,) = await harness.members("r1")
        steps = {
            view.step.path: view for view in await harness.runs.steps(RunRef(harness.component(), "r2", None, NOBODY))
        }
        ledger = await harness.records.select("SELECT path, attempt FROM journal WHERE root_id = 'r2' ORDER BY path")
        events = [event.kind.value for _, event in await harness.stored("r2")]
        again = await harness.runs.view(RunRef(harness.component(), "r1", None, NOBODY))
    assert (row.forked_from, row.session_id) == ("r1", failed.row.session_id)
    assert view.row.state is RunState.COMPLETED
    assert content_of(view) == "Done: marked 1 | Done: marked 2"
    assert shop.calls == {1: 1, 2: 1}, "nothing is done again"
    assert len(shop.model.calls) == 4, "the call that failed, and nothing else"
    assert members == [], "the member was done: its run stays where it is"
    assert view.output is not None
    assert [call.child_run_id for call in view.output.tools] == [None, old.row.run_id]
    assert (steps["t0/c1"].child_run_ids, steps["t0/c1/t0/m"].run_id) == ([old.row.run_id], old.row.run_id)
    assert {step["path"] for step in ledger if step["attempt"] == 1} == {"t1/m"}
    assert (events[0], events[-1]) == ("run_started", "run_completed")
    assert again.row == failed.row, "the failed run stays as it is"


async def test_a_member_that_failed_is_asked_again(engines: Engines, shop: Shop) -> None:
    shop.model.down_from = 2
    async with engines(teams=[shop.team()]) as harness:
        failed = await harness.run(BOTH, "r1")
        assert failed.row.state is RunState.ERROR
        shop.model.down_from = None
        await fork(harness)
        view = await harness.end_of("r2")
        (member,) = await harness.members("r2")
    assert content_of(view) == "Done: marked 1 | Done: marked 2"
    assert shop.calls == {1: 1, 2: 1}
    assert member.row.state is RunState.COMPLETED
    assert len(shop.model.calls) == 4, "leader, member; then the member's second turn and the leader's"


async def test_a_fork_of_a_fork_keeps_what_both_did(engines: Engines, shop: Shop) -> None:
    shop.model.down_from = 3
    async with engines(teams=[shop.team()]) as harness:
        await harness.run(BOTH, "r1")
        await fork(harness)
        second = await harness.end_of("r2")
        assert second.row.state is RunState.ERROR
        shop.model.down_from = None
        await fork(harness, "r2", "r3")
        view = await harness.end_of("r3")
        (old,) = await harness.members("r1")
    assert view.row.state is RunState.COMPLETED
    assert view.output is not None
    assert view.output.tools[1].child_run_id == old.row.run_id
    assert shop.calls == {1: 1, 2: 1}


async def test_only_one_run_goes_on_from_a_failed_one(engines: Engines, shop: Shop) -> None:
    shop.model.down_from = 0
    async with engines(teams=[shop.team()]) as harness:
        await harness.run("[[SAY hi]]", "r1")
        await fork(harness)
        await harness.end_of("r2")
        await fork(harness, run_id="r3")  # the first one has failed too
        await harness.end_of("r3")
        shop.model.down_from = None
        await fork(harness, run_id="r4")
        view = await harness.end_of("r4")
        with pytest.raises(Conflict, match=r"already continued: by run r4"):
            await fork(harness, run_id="r5")
        with pytest.raises(Conflict, match=r"already continued$"):
            await fork(harness, "r4", "r6")
    assert content_of(view) == "hi"


async def test_a_run_that_never_began_begins_anew(engines: Engines, shop: Shop) -> None:
    hold = shop.model.hold("[[SAY first]]")
    async with engines(teams=[shop.team()]) as harness:
        await harness.start("[[SAY first]]", "r0")
        await hold.reached.wait()
        await harness.start("[[SAY second]]", "r1", queueing=QueueingOptions(timeout_seconds=0.01))
        failed = await harness.end_of("r1")
        assert (failed.row.error_code, failed.row.attempt) == ("deadline", 0)
        row = await fork(harness)
        assert row.state is RunState.QUEUED, "it waits its turn"
        hold.release()
        view = await harness.end_of("r2")
    assert content_of(view) == "second"
    assert view.row.deadline_at is None


async def test_of_two_at_once_one_goes_on(engines: Engines, shop: Shop) -> None:
    shop.model.down_from = 0
    async with engines(teams=[shop.team()]) as harness:
        await harness.run("[[SAY hi]]", "r1")
        shop.model.down_from = None
        done = await asyncio.gather(*(fork(harness, run_id=f"f{n}") for n in range(3)), return_exceptions=True)
        (started,) = [row for row in done if isinstance(row, RunRow)]
        assert all(isinstance(one, RunRow | Conflict) for one in done)
        assert content_of(await harness.end_of(started.run_id)) == "hi"


async def test_a_call_of_which_nobody_knows_is_asked_about(
    engines: Engines, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.hangs, times = {1}, RunTimes(monkeypatch)
    async with engines(teams=[shop.team(budget=Budget(seconds=60))]) as harness:
        await harness.start('[[TOOL mark {"n": 1}]]', "r1")
        await shop.hanging.wait()
        times.end()
        failed = await harness.end_of("r1")
        assert failed.row.error_code == "budget_seconds"
    shop.hangs = set()
    async with engines(teams=[shop.team(budget=Budget(seconds=60))]) as harness:
        await fork(harness)
        view = await harness.end_of("r2")
    assert view.row.state is RunState.PAUSED
    assert view.output is not None
    assert view.output.requirements[0]["kind"] == "unknown_outcome"
    assert shop.calls == {1: 1}


async def test_what_was_spent_stays_spent(engines: Engines, shop: Shop) -> None:
    async with engines(teams=[shop.team(budget=Budget(tool_calls=3))]) as harness:
        failed = await harness.run(BOTH, "r1", options={"budget": {"tool_calls": 2}})
        assert failed.row.error_code == "budget_tool_calls"
        await fork(harness)
        second = await harness.end_of("r2")
        assert second.row.error_code == "budget_tool_calls", "the same ceiling ends it again"
        await fork(harness, run_id="r3", budget={"tool_calls": 10})
        view = await harness.end_of("r3")
    assert view.row.state is RunState.COMPLETED
    assert view.output is not None
    assert view.output.budget == {"tool_calls": {"limit": 3, "spent": 3, "left": 0}}
    assert shop.calls == {1: 1, 2: 1}


async def test_a_fork_that_is_killed_goes_on(engines: Engines, shop: Shop) -> None:
    shop.model.down_from = 3
    async with engines(teams=[shop.team()]) as harness:
        await harness.run(BOTH, "r1")
        shop.model.down_from = None
        hold = shop.model.hold("[[TOOL mark")
        await fork(harness)
        await hold.reached.wait()
        await harness.kill()
    hold.release()
    async with engines(teams=[shop.team()]) as harness:
        view = await harness.end_of("r2")
    assert (view.row.state, view.row.attempt) == (RunState.COMPLETED, 2)
    assert shop.calls == {1: 1, 2: 1}
    assert len(shop.model.calls) == 5


async def test_a_fork_knows_what_was_said_to_the_failed_run(engines: Engines, shop: Shop) -> None:
    shop.hangs.add(1)
    async with engines(teams=[shop.team()]) as harness:
        await harness.start('[[TOOL mark {"n": 1}]]', "r1")
        await shop.hanging.wait()
        said = SentMessage(text='[[TOOL mark {"n": 2}]]')
        await harness.runs.steering.send(RunRef(harness.component(), "r1", None, NOBODY), said)
        shop.go_on.set()
        shop.model.down_from = 2
        assert (await harness.end_of("r1")).row.state is RunState.ERROR
        shop.model.down_from = None
        await fork(harness)
        view = await harness.end_of("r2")
    words = [message["content"] for message in shop.model.conversation() if message["role"] == "user"]
    assert words == ['[[TOOL mark {"n": 1}]]', '[[TOOL mark {"n": 2}]]']
    assert view.row.state is RunState.COMPLETED
    assert shop.calls == {1: 1, 2: 1}


async def test_a_fork_from_a_step_takes_over_what_happened_before_its_turn(engines: Engines, shop: Shop) -> None:
    async with engines(teams=[shop.team()]) as harness:
        await harness.run(BOTH, "r1")
        (member,) = await harness.members("r1")
        assert (shop.calls, len(shop.model.calls)) == ({1: 1, 2: 1}, 4)
        last = await fork(harness, from_step="t1/m")
        view = await harness.end_of("r2")
        await fork(harness, run_id="r3", from_step="t0/c1/t0/c0")
        again = await harness.end_of("r3")
        ledger = await harness.records.select("SELECT path, attempt FROM journal WHERE root_id = 'r2' ORDER BY path")
    assert last.forked_from == "r1"
    assert content_of(view) == content_of(again) == "Done: marked 1 | Done: marked 2"
    assert view.output is not None
    assert [call.child_run_id for call in view.output.tools] == [None, member.row.run_id]
    assert {step["path"] for step in ledger if step["attempt"] == 1} == {"t1/m"}
    assert shop.calls == {1: 2, 2: 2}, "only the fork from the first turn makes the calls again"
    assert len(shop.model.calls) == 4 + 1 + 4


async def test_calls_that_a_fork_took_over_count_in_their_own_run_only(engines: Engines, shop: Shop) -> None:
    async with engines(teams=[shop.team()]) as harness:
        origin = await harness.run(BOTH, "r1")
        await fork(harness, from_step="t1/m")
        view = await harness.end_of("r2")
        await fork(harness, "r2", "r3", from_step="t1/m")
        second = await harness.end_of("r3")
    assert [used_by(one) for one in (origin, view, second)] == [(4, 3, 60), (1, 0, 15), (1, 0, 15)]
    assert [tokens_in_output(one) for one in (origin, view, second)] == [30, 15, 15], "the leader's, without members"


async def test_a_failed_member_whose_failure_was_answered_is_taken_over(engines: Engines, shop: Shop) -> None:
    async with engines(teams=[shop.team()]) as harness:
        await harness.run("[[DELEGATE one: <ERROR 402>]]", "r1")
        calls = len(shop.model.calls)
        await fork(harness, from_step="t1/m")
        view = await harness.end_of("r2")
    assert view.row.state is RunState.COMPLETED
    assert len(shop.model.calls) == calls + 1


async def test_only_a_finished_run_is_forked_from_one_of_its_steps(engines: Engines, shop: Shop) -> None:
    hold = shop.model.hold("[[SAY hi]]")
    async with engines(teams=[shop.team()]) as harness:
        await harness.start("[[SAY hi]]", "r1")
        await hold.reached.wait()
        with pytest.raises(Conflict, match="once it has finished"):
            await fork(harness, from_step="t0/m")
        hold.release()
        await harness.end_of("r1")
        for path in ("t7/m", "p", "nonsense"):
            with pytest.raises(NotFound, match="Step not found"):
                await fork(harness, from_step=path)
        await fork(harness, from_step="t0/m")
        await fork(harness, run_id="r3", from_step="t0/m")  # as often as one likes
        assert [content_of(await harness.end_of(run_id)) for run_id in ("r2", "r3")] == ["hi", "hi"]


async def test_a_fork_from_a_step_knows_only_messages_that_were_read_before(engines: Engines, shop: Shop) -> None:
    shop.hangs.add(1)
    async with engines(teams=[shop.team()]) as harness:
        await harness.start('[[TOOL mark {"n": 1}]]', "r1")
        await shop.hanging.wait()
        said = SentMessage(text='[[TOOL mark {"n": 2}]]')
        await harness.runs.steering.send(RunRef(harness.component(), "r1", None, NOBODY), said)
        shop.go_on.set()
        await harness.end_of("r1")
        await fork(harness, from_step="t1/m")
        await harness.end_of("r2")
        assert [message["content"] for message in shop.model.conversation() if message["role"] == "user"] == [
            '[[TOOL mark {"n": 1}]]'
        ]
        await fork(harness, run_id="r3", from_step="t2/m")
        await harness.end_of("r3")
        assert len([message for message in shop.model.conversation() if message["role"] == "user"]) == 2
