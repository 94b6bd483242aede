"""Runs read and change the memories of their user: with their end, once, whatever happens before."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic_ai.models import Model

from musterd import Agent, Budget, MemoryManager, Team, tool
from musterd.core.callers import Caller
from musterd.core.errors import InputCheckError
from musterd.core.events import EventKind
from musterd.core.records import RunView
from musterd.core.states import RunState
from musterd.features.memories.records import Memory, MemoryFilter
from musterd.features.memories.service import MemoryService
from musterd.guards import BaseGuardrail
from musterd.guards.hook_types import RunInput
from tests.engine.conftest import Engines
from tests.engine.test_approvals import decide
from tests.engine.test_replay import killed_in_second_turn
from tests.support.crashes import CountedModel, Fuse, check_each_event_once, end_before_death
from tests.support.engine import NOBODY, EngineHarness, harness_on, running
from tests.support.held_model import HeldModel, Hold
from tests.support.loop import Call, TurnModel

TEA = "I like tea"


@tool(requires_confirmation=True)
async def pay(n: int) -> str:
    """Pay."""
    return f"paid {n}"


class Refusing(BaseGuardrail):
    """Refuses every message."""

    def check(self, run_input: RunInput) -> None:
        """Refuse it."""
        raise InputCheckError("no")

    async def async_check(self, run_input: RunInput) -> None:
        """Refuse it."""
        raise InputCheckError("no")


def noting(model: Model, manager: Model | None = None, **options: Any) -> list[Agent]:
    """An agent that remembers what its user says."""
    memory_manager = MemoryManager(model=manager or HeldModel(), delete_memories=True, clear_memories=True)
    return [Agent(id="solo", model=model, update_memory_on_run=True, memory_manager=memory_manager, **options)]


async def memories_of(harness: EngineHarness, user_id: str | None = "ada") -> list[Memory]:
    """The memories, oldest first."""
    memories = harness.server.service(MemoryService)
    conditions = MemoryFilter(user_id=user_id, sort_by="created_at", is_descending=False, limit=1000)
    page, _ = await memories.search(conditions, NOBODY)
    return page


async def texts(harness: EngineHarness, user_id: str | None = "ada") -> list[str]:
    """Their texts."""
    return [memory.memory for memory in await memories_of(harness, user_id)]


def order_of(memory: Memory) -> tuple[float, str]:
    """The sort key of memories: the manager reads them in descending order."""
    return memory.updated_at, memory.memory_id


def changed(view: RunView) -> dict[str, Any]:
    """The ids of the memories that the run changed."""
    assert view.output is not None
    return view.output.memories


async def test_a_run_remembers_what_the_next_one_reads(engines: Engines, model: HeldModel) -> None:
    async with engines(agents=noting(model)) as harness:
        first = await harness.run(TEA, "r1", user_id="ada")
        (memory,) = await memories_of(harness)
        await harness.run("hello", "r2", "s2", user_id="ada")
        kinds = [event.kind for _, event in await harness.stored("r1")]
    assert (memory.memory, memory.input, memory.source_run_id, memory.agent_id) == (TEA, TEA, "r1", "solo")
    assert changed(first) == {"added": [memory.memory_id]}
    assert '- "I like tea"' in model.conversation()[0]["content"]
    assert kinds[-4:] == [
        EventKind.CONTENT_COMPLETED,
        EventKind.MEMORY_UPDATE_STARTED,
        EventKind.MEMORY_UPDATE_COMPLETED,
        EventKind.RUN_COMPLETED,
    ]


async def test_a_run_reads_an_old_memory_that_fits_its_message(engines: Engines, model: HeldModel) -> None:
    async with engines(agents=noting(model), memory_shown=2) as harness:
        service = harness.server.service(MemoryService)
        for text in ("Likes small museums", "Has a guitar", "Drives a Volvo"):
            await service.add(text, [], "ada", NOBODY)
        await harness.run("Is there a museum?", "r1", user_id="ada")
    prompt = model.conversation()[0]["content"]
    assert [text in prompt for text in ("museums", "guitar", "Volvo")] == [True, False, True]


async def test_a_team_remembers_too(engines: Engines, model: HeldModel) -> None:
    team = Team(id="desk", model=model, members=[Agent(id="helper")], update_memory_on_run=True)
    async with engines(teams=[team]) as harness:
        await harness.run(f"[[DELEGATE helper: I am Bob]] {TEA}", "r1", user_id="ada")
        (memory,) = await memories_of(harness)
    assert (memory.team_id, memory.agent_id) == ("desk", None)


async def test_memories_are_changed_removed_and_cleared(engines: Engines, model: HeldModel) -> None:
    async with engines(agents=noting(model)) as harness:
        await harness.run(TEA, user_id="ada")
        before = await memories_of(harness)
        call = '[[TOOL update_memory {"memory_id": "1", "memory": "Likes coffee", "topics": ["drinks"]}]]'
        view = await harness.run(call, user_id="ada")
        (after,) = await memories_of(harness)
        assert (after.memory_id, after.memory, after.topics) == (before[0].memory_id, "Likes coffee", ["drinks"])
        assert after.updated_at > after.created_at == before[0].created_at
        assert changed(view) == {"updated": [after.memory_id]}
        await harness.run('[[TOOL delete_memory {"memory_id": "1"}]]', user_id="ada")
        assert await texts(harness) == []
        await harness.run(TEA, user_id="ada")
        await harness.run("I live in Oslo", user_id="ada")
        await harness.run("I live in Rome", user_id="bob")
        await harness.run("[[TOOL clear_memory]]", user_id="ada")
        assert (await texts(harness), await texts(harness, "bob")) == ([], ["I live in Rome"])


async def test_updates_exchange_and_shift_texts(engines: Engines, model: HeldModel) -> None:
    async with engines(agents=noting(model)) as harness:
        service = harness.server.service(MemoryService)
        for text in ("Likes tea", "Likes juice"):
            await service.add(text, [], "ada", NOBODY)
        first = await memories_of(harness)
        for new_text in (None, "Likes milk"):
            newest, oldest = sorted(await memories_of(harness), key=order_of, reverse=True)
            updates = (oldest.memory, new_text or newest.memory)
            calls = [
                f'[[TOOL update_memory {{"memory_id": "{number}", "memory": "{text}"}}]]'
                for number, text in enumerate(updates, 1)
            ]
            view = await harness.run(" ".join(calls), user_id="ada")
            assert len(changed(view)["updated"]) == 2
            assert sorted(await texts(harness)) == sorted(updates)
        assert [(one.memory_id, one.created_at) for one in await memories_of(harness)] == [
            (one.memory_id, one.created_at) for one in first
        ]


@pytest.mark.parametrize("user_id", [None, "service:shop"])
async def test_without_a_user_nothing_is_remembered(engines: Engines, model: HeldModel, user_id: str | None) -> None:
    async with engines(agents=noting(model)) as harness:
        view = await harness.run(TEA, "r1", user_id=user_id)
        assert await texts(harness, None) == []
        kinds = {event.kind for _, event in await harness.stored("r1")}
    assert view.row.state is RunState.COMPLETED
    assert EventKind.MEMORY_UPDATE_STARTED not in kinds


async def test_a_run_that_fails_or_is_cancelled_remembers_nothing(engines: Engines, model: HeldModel) -> None:
    manager = HeldModel()
    async with engines(agents=noting(model, manager)) as harness:
        hold = model.hold("Wait")
        await harness.start(f"Wait {TEA}", "r1", user_id="ada")
        await hold.reached.wait()
        while not manager.calls:
            await asyncio.wait([asyncio.ensure_future(harness.stored_so_far())])
        assert (await harness.cancel("r1")).state is RunState.CANCELLED
        failed = await harness.run(f"[[ERROR 400]] {TEA}", "r2", user_id="ada")
        assert failed.row.state is RunState.ERROR
        assert await texts(harness, None) == []


async def test_a_message_that_a_guardrail_refused_reaches_no_manager(engines: Engines, model: HeldModel) -> None:
    manager = HeldModel()
    async with engines(agents=noting(model, manager, pre_hooks=[Refusing()])) as harness:
        view = await harness.run(TEA, "r1", user_id="ada")
        rows = await harness.records.select("SELECT * FROM memories")
    assert view.row.state is RunState.ERROR
    assert (manager.calls, rows) == ([], [])


async def test_a_manager_that_fails_delays_and_fails_nothing(engines: Engines, model: HeldModel) -> None:
    manager = HeldModel()
    manager.hold("I")
    async with engines(agents=noting(model, manager), memory_seconds=0.05) as harness:
        view = await harness.run(TEA, "r1", user_id="ada")
        events = [event for _, event in await harness.stored("r1")]
        assert await texts(harness) == []
        assert harness.server.metrics.memory_updates.values == {("failed",): 1}
    (completed,) = [event for event in events if event.kind is EventKind.MEMORY_UPDATE_COMPLETED]
    assert completed.data["error"]["code"] == "memory_timeout"
    assert (view.row.state, view.output.content if view.output else None) == (RunState.COMPLETED, f"Echo: {TEA}")


async def test_a_budget_without_room_for_the_manager_remembers_nothing(engines: Engines, model: HeldModel) -> None:
    async with engines(agents=noting(model, budget=Budget(tokens=100))) as harness:
        view = await harness.run(TEA, "r1", user_id="ada")
        assert view.row.state is RunState.COMPLETED
        assert await texts(harness) == []
    async with engines(agents=noting(model, budget=Budget(tokens=5000))) as harness:
        await harness.run(TEA, "r2", user_id="ada")
        assert await texts(harness) == [TEA]


async def test_a_run_that_waited_for_a_person_remembers_at_its_end(engines: Engines, model: HeldModel) -> None:
    agents = noting(model, tools=[pay])
    async with engines(agents=agents) as harness:
        paused = await harness.run(f'[[TOOL pay {{"n": 1}}]] {TEA}', "r1", user_id="ada")
        assert paused.row.state is RunState.PAUSED
        assert await texts(harness) == []
        assert paused.output is not None
        await decide(harness, paused.output.requirements[0]["id"])
        view = await harness.end_of("r1")
        assert view.row.state is RunState.COMPLETED
        assert await texts(harness) == [TEA]


async def held_update(harness: EngineHarness, model: HeldModel) -> Hold:
    """A run of a user who has a memory, held before it changes it."""
    await harness.run(TEA, user_id="ada")
    hold = model.hold("[[TOOL update_memory")
    await harness.start('[[TOOL update_memory {"memory_id": "1", "memory": "x"}]]', "r1", user_id="ada")
    await hold.reached.wait()
    return hold


async def test_what_another_run_changed_meanwhile_is_left_alone(engines: Engines, model: HeldModel) -> None:
    async with engines(agents=noting(model)) as harness:
        hold = await held_update(harness, model)
        (memory,) = await memories_of(harness)
        await harness.server.service(MemoryService).change(memory.memory_id, "Likes juice", [], "ada", NOBODY)
        hold.release()
        await harness.end_of("r1")
        assert await texts(harness) == ["Likes juice"]


async def test_memories_that_are_deleted_during_a_run_stay_deleted(engines: Engines, model: HeldModel) -> None:
    async with engines(agents=noting(model)) as harness:
        hold = await held_update(harness, model)
        assert await harness.server.service(MemoryService).forget_user("ada", NOBODY) == 1
        hold.release()
        await harness.end_of("r1")
        assert await texts(harness) == []


async def test_parallel_runs_of_a_user_lose_and_double_nothing(engines: Engines, model: HeldModel) -> None:
    # All runs end at once, and their writes wait for the user's lock: on Postgres each holds a connection meanwhile.
    async with engines(agents=noting(model), concurrency=50) as harness:
        runs = [
            harness.run(f"I know number {number}. I like tea.", f"r{number}", f"s{number}", user_id="ada")
            for number in range(50)
        ]
        views = await asyncio.gather(*runs)
        assert {view.row.state for view in views} == {RunState.COMPLETED}
        assert sorted(await texts(harness)) == sorted([TEA, *(f"I know number {number}" for number in range(50))])


async def test_a_user_never_sees_anothers_memories(engines: Engines, model: HeldModel) -> None:
    """With tokens the proved user counts; a label of the same name is somebody else."""
    async with engines(agents=noting(model)) as harness:
        service = harness.server.service(MemoryService)
        ada, label = Caller(user_id="ada", label="ada"), NOBODY
        await service.add("of a token", [], None, ada)
        await service.add("of a label", [], "ada", label)
        await harness.run("hello", "r1", user_id="ada")
        assert "of a label" in model.conversation()[0]["content"]
        assert "of a token" not in model.conversation()[0]["content"]
        await harness.run("[[TOOL clear_memory]]", "r2", user_id="ada")
        assert await texts(harness, None) == ["of a token"]
        await harness.run("hello", "r3", user_id="bob")
        assert "of a" not in model.conversation()[0]["content"]


async def test_a_deleted_session_leaves_the_memories(engines: Engines, model: HeldModel) -> None:
    async with engines(agents=noting(model)) as harness:
        await harness.run(TEA, "r1", user_id="ada")
        await harness.sessions.delete("s1", NOBODY)
        assert await texts(harness) == [TEA]


# --- crashes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", range(1, 22, 2))
async def test_killed_at_any_moment(new_database: Callable[[], str], fuse: Fuse, moment: int) -> None:
    url, model, manager = new_database(), CountedModel(fuse), CountedModel(fuse)
    agents = noting(model, manager)
    view: RunView | None = None
    attempts = 0
    while view is None:
        harness = harness_on(url, agents=agents, delta_seconds=0, drain_seconds=0.05)
        async with running(harness):
            fuse.disarm()
            fuse.between = harness.stored_so_far
            if attempts == 0:
                fuse.arm(moment)
                await harness.start(TEA, "r1", user_id="ada")
            view = await end_before_death(fuse, harness)
            attempts += 1
    async with running(harness_on(url, agents=agents)) as harness:
        (memory,) = await memories_of(harness)
        events = await harness.stored("r1")
    check_each_event_once(events)
    (completed,) = [event for _, event in events if event.kind is EventKind.MEMORY_UPDATE_COMPLETED]
    assert completed.data["added"] == changed(view)["added"] == [memory.memory_id]
    assert (memory.memory, view.row.state) == (TEA, RunState.COMPLETED)
    assert view.output is not None
    assert [aside["usage"]["input_tokens"] for aside in view.output.asides] == [10]


async def test_the_notes_of_a_member_that_had_finished_survive_a_crash(engines: Engines, model: HeldModel) -> None:
    member = Agent(id="helper", model=HeldModel(), enable_agentic_memory=True)
    teams = [Team(id="desk", model=model, members=[member])]
    message = '[[DELEGATE helper: <TOOL update_user_memory {"task": "I like tea"}>]]'
    async with engines(teams=teams) as first:
        await killed_in_second_turn(first, model, message, user_id="ada")
        assert await texts(first) == []
    async with engines(teams=teams) as second:
        view = await second.end_of("r1")
        assert (view.row.state, view.row.attempt) == (RunState.COMPLETED, 2)
        assert await texts(second) == [TEA]


async def test_a_later_call_of_the_tool_sees_what_an_earlier_one_noted(engines: Engines, model: HeldModel) -> None:
    note, correction = "I like tea", '[[TOOL update_memory {"memory_id": "1", "memory": "Likes coffee"}]]'
    calls = [
        Call("update_user_memory", {"task": task}) for task in (note, correction, correction.replace("coffee", "juice"))
    ]
    spec = Agent(
        id="solo",
        model=TurnModel(*calls, "done"),
        enable_agentic_memory=True,
        memory_manager=MemoryManager(model=HeldModel()),
    )
    async with engines(agents=[spec]) as harness:
        view = await harness.run("hello", "r1", user_id="ada")
        assert await texts(harness) == ["Likes juice"]
        assert changed(view) == {"added": [memory.memory_id for memory in await memories_of(harness)]}


async def test_a_models_tool_reports_what_was_noted(engines: Engines, model: HeldModel) -> None:
    agents = [Agent(id="solo", model=model, enable_agentic_memory=True)]
    async with engines(agents=agents) as harness:
        view = await harness.run('[[TOOL update_user_memory {"task": "I like tea"}]]', "r1", user_id="ada")
        assert view.output is not None
        (call,) = view.output.tools
        assert (call.result, await texts(harness)) == ("Added: I like tea", [TEA])
        assert changed(view) == {"added": [memory.memory_id for memory in await memories_of(harness)]}
        assert [aside["role"] for aside in view.output.asides] == ["memory_model"]
