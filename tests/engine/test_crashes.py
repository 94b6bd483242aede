"""A worker that dies, anywhere: what was stored is never done again, and readers see one story."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from musterd import Agent, Team, ToolContext, tool
from musterd.core.records import RunView
from musterd.core.states import RunState
from musterd.loop.run_tree import digest
from tests.support.crashes import (
    CountedModel,
    Fuse,
    VisibleText,
    check_calls,
    check_each_event_once,
    end_before_death,
    stored_steps,
)
from tests.support.engine import EngineHarness, harness_on, running

DEEP = '<DELEGATE deep: <TOOL mark {"n": 1}> || DELEGATE deep: <WORDS 4>>'
SIDE = 'DELEGATE one: <TOOL mark {"n": 2}> || DELEGATE two: <WORDS 5> || DELEGATE two: <ERROR 400>'
MESSAGE = f"[[DELEGATE inner: {DEEP} || {SIDE}]]"
STATE = {"n1": 1, "n2": 2}
MOMENTS = 120
"""More than there are in a run without crashes."""


async def let_through(function_call: Any) -> Any:
    return await function_call()


class CountedTeam:
    """A team whose every model call and tool call is counted, and an engine that can be killed at each moment."""

    def __init__(self, url: str, fuse: Fuse) -> None:
        self.url, self.fuse = url, fuse
        self.model = CountedModel(fuse)
        self.effects: Counter[str] = Counter()
        mark = self._mark()
        deep = Agent(id="deep", tools=[mark])
        members: list[Agent | Team] = [
            Team(id="inner", members=[deep], tool_hooks=[let_through]),
            Agent(id="one", tools=[mark]),
            Agent(id="two"),
        ]
        self.team = Team(id="team", model=self.model, members=members)
        self.crashes = 0

    def _mark(self) -> Any:
        @tool(retry_safe=True)
        async def mark(n: int, context: ToolContext) -> str:
            """Mark a number."""
            self.effects[context.idempotency_key] += 1
            await self.fuse.tick()
            context.session_state[f"n{n}"] = n
            await self.fuse.tick()
            return f"marked {n}"

        return mark

    def harness(self) -> EngineHarness:
        return harness_on(self.url, teams=[self.team], delta_seconds=0, drain_seconds=0.05)

    def done(self, path: str, key: str) -> int:
        """How often a step was done."""
        return self.model.calls[key] if key else self.effects[digest("r1", path)]

    async def live(self, moments: int | None) -> RunView | None:
        """One process: it lives so long, or until the run has ended."""
        self.fuse.disarm()
        async with running(self.harness()) as harness:
            stored = await stored_steps(harness.records, "r1")
            before = {path: self.done(path, key) for path, key in stored.items()}
            self.fuse.between = harness.stored_so_far
            if moments is not None:
                self.fuse.arm(moments)
            if not self.crashes:
                await harness.start(MESSAGE, "r1")
            end = await end_before_death(self.fuse, harness)
            self.crashes += end is None
            assert {path: self.done(path, key) for path, key in stored.items()} == before, "no stored step is repeated"
            return end


def totals(view: RunView) -> dict[str, Any]:
    """What a run comes to, whatever happened on the way."""
    assert view.output is not None
    return {
        "state": view.row.state,
        "content": view.output.content,
        "usage": view.output.usage,
        "session_state": view.output.session_state,
        "tools": [(call.name, call.args, call.result, call.is_error) for call in view.output.tools],
        "roles": [message["kind"] for message in view.messages or ()],
    }


@pytest.fixture(scope="module")
def uninterrupted() -> dict[str, Any]:
    return {}


@pytest.mark.timeout(900)  # 25 runs, each killed up to four times
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(lives=st.lists(st.integers(0, MOMENTS), min_size=1, max_size=4))
@example(lives=[MOMENTS * 10])
@example(lives=[1, 1, 1, 1])
async def test_a_run_that_is_killed_anywhere_comes_to_the_same(
    new_database: Callable[[], str],
    fuse: Fuse,
    uninterrupted: dict[str, Any],
    lives: list[int],
) -> None:
    team = CountedTeam(new_database(), fuse)
    view = None
    for moments in [*lives, None]:
        if view is None:
            view = await team.live(moments)
    assert view is not None
    assert view.row.state is RunState.COMPLETED
    assert (view.output and view.output.session_state) == STATE
    if not uninterrupted:
        async with running(CountedTeam(new_database(), fuse).harness()) as calm:
            uninterrupted.update(totals(await calm.run(MESSAGE, "r1")))
    assert totals(view) == uninterrupted
    assert max(team.model.calls.values()) <= 1 + team.crashes, "at most what was in flight is done again"
    assert max(team.effects.values()) <= 1 + team.crashes
    async with running(team.harness()) as harness:
        events = await harness.stored("r1")
        members = await harness.members("r1")
        rows = await harness.records.select("SELECT state FROM sessions")
    check_each_event_once(events)
    check_calls(events)
    screen = VisibleText()
    for index, event in events:
        screen.read(index, event)
    for run in [view, *members]:
        has_failed = run.input.message == "[[ERROR 400]]"
        assert run.row.state is (RunState.ERROR if has_failed else RunState.COMPLETED)
        assert screen.text(run.row.run_id) == ("" if has_failed else run.output and run.output.content)
    assert len(members) == 6
    assert rows == [{"state": '{"n1":1,"n2":2}'}]
