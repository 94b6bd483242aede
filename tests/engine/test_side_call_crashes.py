"""A run with model calls beside its turns, killed at each of its moments in turn: it comes to the same, once."""

import asyncio
import json
from collections.abc import Callable

import pytest

from musterd import Agent
from musterd.core.events import EventKind
from musterd.core.records import RunView
from musterd.core.states import RunState
from tests.support.crashes import CountedModel, Fuse, check_each_event_once, stored_steps
from tests.support.engine import harness_on, running

STEPS = '{"reasoning_steps": [{"title": "a", "reasoning": "b", "next_action": "final_answer"}]}'
MESSAGE = f"[[SAY {STEPS}]]"
FORM = {"type": "object", "required": ["reasoning_steps"]}


async def life(url: str, agent: Agent, fuse: Fuse, moments: int | None, is_first: bool) -> RunView | None:
    """One process: it lives so long, or until the run has ended."""
    harness = harness_on(url, agents=[agent], delta_seconds=0, drain_seconds=0.05)
    async with running(harness):
        fuse.disarm()
        fuse.between = harness.stored_so_far
        if moments is not None:
            fuse.arm(moments)
        if is_first:
            await harness.start(MESSAGE, "r1")
        ending = asyncio.ensure_future(harness.end_of("r1"))
        dying = asyncio.ensure_future(fuse.blown.wait())
        await asyncio.wait([ending, dying], return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        fuse.between = None
        if ending.done():
            fuse.disarm()
            return await ending
        ending.cancel()
        await harness.kill()
        fuse.disarm()
        return None


@pytest.mark.parametrize("moment", range(1, 34, 5))
async def test_it_comes_to_the_same(new_database: Callable[[], str], fuse: Fuse, moment: int) -> None:
    url, models = new_database(), {name: CountedModel(fuse) for name in ("reason", "t0", "output")}
    agent = Agent(
        id="solo",
        model=models["t0"],
        reasoning_model=models["reason"],
        output_model=models["output"],
        output_schema=FORM,
    )
    view = await life(url, agent, fuse, moment, is_first=True)
    has_died = view is None
    async with running(harness_on(url, agents=[Agent(id="other", model="scripted")])) as looking:
        stored = {path.partition("/")[0] for path in await stored_steps(looking.records, "r1")} if has_died else set()
    before = {name: model.calls.total() for name, model in models.items()}
    view = view or await life(url, agent, fuse, None, is_first=False)
    assert view is not None
    assert (view.row.state, view.row.attempt) == (RunState.COMPLETED, 2 if has_died else 1)
    for name, model in models.items():
        again = model.calls.total() - before[name]
        assert again == (1 if has_died and name not in stored else 0), f"{name}, of {stored}"
    assert view.output is not None
    assert [step["title"] for step in view.output.content["reasoning_steps"]] == ["a"]
    assert [step["title"] for step in view.output.reasoning_steps] == ["a"]
    assert sorted(aside["role"] for aside in view.output.asides) == ["output_model", "reasoning_model"]
    async with running(harness_on(url, agents=[agent])) as harness:
        events = await harness.stored("r1")
    check_each_event_once(events)
    (answer,) = [event for _, event in events if event.kind is EventKind.ANSWER]
    assert answer.data["content"] == json.loads(STEPS)
