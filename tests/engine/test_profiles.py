"""Runs keep a profile of their user: each field once, the last of several runs counts, whatever happens before."""

import asyncio
from collections.abc import Callable

import pytest
from pydantic_ai.models import Model

from musterd import Agent, MemoryManager
from musterd.core.records import RunView
from musterd.core.states import RunState
from musterd.features.memories.service import MemoryService
from tests.engine.conftest import Engines
from tests.engine.test_memories import changed, memories_of
from tests.support.crashes import CountedModel, Fuse, end_before_death
from tests.support.engine import NOBODY, EngineHarness, harness_on, running
from tests.support.held_model import HeldModel

INTRODUCTION = "My name is Ada. I like tea"


def learning(model: Model, manager: Model) -> list[Agent]:
    """An agent that learns who its user is."""
    return [Agent(id="solo", model=model, learning=True, memory_manager=MemoryManager(model=manager))]


async def profile_of(harness: EngineHarness) -> dict[str, str]:
    """The user's profile."""
    memories = await memories_of(harness)
    fields = [(memory.profile_field, memory.memory) for memory in memories if memory.profile_field]
    assert len(dict(fields)) == len(fields), "each field once"
    return dict(fields)


async def called(harness: EngineHarness, manager: HeldModel, count: int) -> None:
    """Wait until the manager was called so often, and its answers are recorded."""
    while len(manager.calls) < count:
        await asyncio.wait([asyncio.ensure_future(harness.stored_so_far())])
    await harness.stored_so_far()


async def test_a_run_learns_what_the_next_one_reads(engines: Engines, model: HeldModel) -> None:
    manager = HeldModel()
    async with engines(agents=learning(model, manager), memory_shown=1) as harness:
        first = await harness.run(INTRODUCTION, "r1", user_id="ada")
        rows = await memories_of(harness)
        assert sorted((row.profile_field, row.memory) for row in rows if row.profile_field) == [("name", "Ada")]
        assert [row.memory for row in rows if row.profile_field is None] == ["I like tea"]
        assert {row.source_run_id for row in rows} == {"r1"}
        assert sorted(changed(first)["added"]) == sorted(row.memory_id for row in rows)
        second = await harness.run("My name is Eve", "r2", "s2", user_id="ada")
        assert await profile_of(harness) == {"name": "Eve"}
        await harness.run('[[TOOL update_profile {"name": ""}]]', "r3", "s3", user_id="ada")
        assert await profile_of(harness) == {}
    (name,) = [row.memory_id for row in rows if row.profile_field]
    assert changed(second) == {"updated": [name]}
    assert 'name: "Ada"' in model.conversation(1)[0]["content"]
    assert '- "I like tea"' in model.conversation(1)[0]["content"]


@pytest.mark.parametrize("ends_first", ["r1", "r2"])
async def test_the_last_of_parallel_runs_sets_the_field(engines: Engines, model: HeldModel, ends_first: str) -> None:
    manager, holds = HeldModel(), {}
    async with engines(agents=learning(model, manager), concurrency=2) as harness:
        for number, name in ((1, "Ada"), (2, "Eve")):
            message, run_id = f"My name is {name}", f"r{number}"
            holds[run_id] = model.hold(message)
            await harness.start(message, run_id, f"s{number}", user_id="ada")
            await called(harness, manager, number)
        for run_id in (ends_first, "r2" if ends_first == "r1" else "r1"):
            holds[run_id].release()
            assert (await harness.end_of(run_id)).row.state is RunState.COMPLETED
        assert await profile_of(harness) == {"name": "Eve"}


async def test_a_field_that_a_person_corrected_meanwhile_stays(engines: Engines, model: HeldModel) -> None:
    manager = HeldModel()
    async with engines(agents=learning(model, manager)) as harness:
        await harness.run(INTRODUCTION, "r1", user_id="ada")
        hold = model.hold("My name is Eve")
        await harness.start("My name is Eve", "r2", "s2", user_id="ada")
        await called(harness, manager, 2)
        (field,) = [memory for memory in await memories_of(harness) if memory.profile_field]
        await harness.server.service(MemoryService).change(field.memory_id, "Ida", [], "ada", NOBODY)
        hold.release()
        await harness.end_of("r2")
        assert await profile_of(harness) == {"name": "Ida"}


async def test_parallel_runs_set_a_field_once(engines: Engines, model: HeldModel) -> None:
    async with engines(agents=learning(model, HeldModel()), concurrency=20) as harness:
        runs = [harness.run(INTRODUCTION, f"r{number}", f"s{number}", user_id="ada") for number in range(20)]
        assert {view.row.state for view in await asyncio.gather(*runs)} == {RunState.COMPLETED}
        assert await profile_of(harness) == {"name": "Ada"}
        assert len(await memories_of(harness)) == 2


@pytest.mark.parametrize("moment", range(1, 22, 4))
async def test_killed_at_any_moment(new_database: Callable[[], str], fuse: Fuse, moment: int) -> None:
    url, agents = new_database(), learning(CountedModel(fuse), CountedModel(fuse))
    view: RunView | None = None
    is_first = True
    while view is None:
        harness = harness_on(url, agents=agents, delta_seconds=0, drain_seconds=0.05)
        async with running(harness):
            fuse.disarm()
            fuse.between = harness.stored_so_far
            if is_first:
                fuse.arm(moment)
                await harness.start(INTRODUCTION, "r1", user_id="ada")
            view = await end_before_death(fuse, harness)
            is_first = False
    async with running(harness_on(url, agents=agents)) as harness:
        assert await profile_of(harness) == {"name": "Ada"}
        rows = await memories_of(harness)
    assert sorted(row.memory_id for row in rows) == sorted(changed(view)["added"])
    assert len(rows) == 2
