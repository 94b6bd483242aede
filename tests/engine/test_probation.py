"""Runs whose worker died twice: begun before others, until they have shown that they do not cause it."""

import asyncio
from typing import Any

import pytest

from musterd import Agent
from musterd.core import clock
from musterd.core.events import EventKind
from musterd.core.states import RunState
from musterd.engine import probation
from musterd.store import suspects
from musterd.store.suspects import Suspects
from tests.engine.conftest import Engines
from tests.support.engine import EngineHarness
from tests.support.held_model import HeldModel, Hold

PATIENT: dict[str, Any] = {"upkeep_seconds": 3600}
"""Nothing happens by itself."""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Suspects wait for ever until nothing else is at work, and stay on probation for ever."""
    monkeypatch.setattr(probation, "IDLE_WAIT_SECONDS", 3600.0)
    monkeypatch.setattr(suspects, "LONGEST_PROBATION_SECONDS", 2.0**40)


async def add_suspects(
    harness: EngineHarness, crashes: dict[str, int], message: str = "{run_id} waits"
) -> dict[str, Hold]:
    """Ready runs, each in a session of its own, which were at work in that many crashes; where their models wait."""
    for run_id in crashes:
        first = harness.model.hold(f"{run_id} ")
        await harness.start(message.format(run_id=run_id), run_id, f"session of {run_id}")
        await first.reached.wait()
        await harness.wait_for_event(
            run_id, lambda event: event.kind is EventKind.MODEL_REQUEST_STARTED
        )  # what was prepared, too
    await harness.kill()
    for run_id, count in crashes.items():
        await harness.records.execute(
            "UPDATE runs SET state = 'ready', worker = NULL, crashes = :n, crashes_in_all = 40 WHERE run_id = :run_id",
            n=count,
            run_id=run_id,
        )
    await harness.idle()
    return {run_id: harness.model.hold(f"{run_id} ") for run_id in crashes}


@pytest.mark.parametrize("crashes", [2, 4])
async def test_it_waits_until_nothing_is_at_work_and_no_other_run_begins_before_it(
    engines: Engines, model: HeldModel, crashes: int
) -> None:
    async with engines(**PATIENT) as harness:
        holds = await add_suspects(harness, {"r1": crashes})
        bystander = model.hold("held")
        await harness.start("held", "r0", "s0")
        await bystander.reached.wait()
        await harness.engine.upkeep.once()
        await harness.start("[[SAY late]]", "r2", "s2")
        assert await harness.records.states() == {"r0": "running", "r1": "ready", "r2": "ready"}
        bystander.release()
        await holds["r1"].reached.wait()
        assert await harness.records.states() == {"r0": "completed", "r1": "running", "r2": "ready"}
        holds["r1"].release()
        await harness.end_of("r2")
        await harness.idle()


async def test_it_does_not_wait_longer_than_it_may(
    engines: Engines, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probation, "IDLE_WAIT_SECONDS", 0.0)
    async with engines(**PATIENT) as harness:
        holds = await add_suspects(harness, {"r1": 2})
        bystander = model.hold("held")
        await harness.start("held", "r0", "s0")
        await bystander.reached.wait()
        await harness.engine.upkeep.once()
        await holds["r1"].reached.wait()
        assert await harness.records.states() == {"r0": "running", "r1": "running"}


async def test_a_cancel_of_another_process_reaches_one_whose_attempt_does_not_exist_yet(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engines(**PATIENT) as harness:
        await add_suspects(harness, {"r1": 2})
        write = harness.database.write

        async def write_and_cancel(work: Any) -> Any:
            result = await write(work)
            if isinstance(result, Suspects) and result.runs:
                await harness.records.cancel("r1")
                await harness.engine.read_changed_rows(["r1"])  # the other process has told this one
            return result

        monkeypatch.setattr(harness.database, "write", write_and_cancel)
        await harness.engine.upkeep.once()
        assert (await harness.end_of("r1")).row.state is RunState.CANCELLED
        await harness.idle()


async def test_it_waits_for_a_free_slot(engines: Engines, model: HeldModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probation, "IDLE_WAIT_SECONDS", 0.0)
    async with engines(**PATIENT, concurrency=1) as harness:
        holds = await add_suspects(harness, {"r1": 2})
        bystander = model.hold("held")
        await harness.start("held", "r0", "s0")
        await bystander.reached.wait()
        await harness.engine.upkeep.once()
        await harness.written()
        assert (await harness.records.states())["r1"] == "ready"
        bystander.release()
        await holds["r1"].reached.wait()


async def test_runs_of_two_crashes_are_tried_together_and_others_begin_once_all_have_passed(engines: Engines) -> None:
    async with engines(**PATIENT) as harness:
        holds = await add_suspects(harness, {"r1": 2, "r2": 2, "r3": 2})
        await harness.engine.upkeep.once()
        for hold in holds.values():
            await hold.reached.wait()
        await harness.start("[[SAY late]]", "r4", "s4")
        for name, hold in holds.items():
            await harness.written()
            assert (await harness.records.states())["r4"] == "ready"
            hold.release()
            await harness.end_of(name)
        await harness.end_of("r4")
        await harness.idle()


async def test_the_more_crashes_the_earlier_and_in_smaller_groups(engines: Engines) -> None:
    async with engines(**PATIENT) as harness:
        holds = await add_suspects(harness, {"r1": 2, "r2": 4, "r3": 4, **{f"r{number}": 3 for number in range(4, 11)}})
        for group in (["r2"], ["r3"], [f"r{number}" for number in range(4, 10)], ["r10"], ["r1"]):
            await harness.engine.upkeep.once()
            for name in group:
                await holds[name].reached.wait()
            states = await harness.records.states()
            assert {name for name, state in states.items() if state == "running"} == set(group)
            for name in group:
                holds[name].release()
            await harness.idle()


async def test_other_runs_have_their_turn_between_two_probations(engines: Engines) -> None:
    async with engines(**PATIENT) as harness:
        holds = await add_suspects(harness, {"r1": 4, "r2": 4})
        await harness.engine.upkeep.once()
        await holds["r1"].reached.wait()
        await harness.engine.upkeep.once()
        await harness.start("[[SAY late]]", "r3", "s3")
        holds["r1"].release()
        await harness.end_of("r3")
        assert (await harness.records.states())["r2"] == "ready"
        await harness.engine.upkeep.once()
        await holds["r2"].reached.wait()


async def test_the_first_stored_step_ends_it(engines: Engines, model: HeldModel) -> None:
    is_called, may_end = asyncio.Event(), asyncio.Event()

    async def look() -> None:
        is_called.set()
        await may_end.wait()

    agent = Agent(id="solo", model=model, tools=[look])
    async with engines(agents=[agent], **PATIENT) as harness:
        holds = await add_suspects(harness, {"r1": 4}, "{run_id} [[TOOL look {{}}]]")
        holds["r1"].release()
        await harness.engine.upkeep.once()
        await is_called.wait()
        await harness.run("[[SAY late]]", "r2", "s2")
        run = await harness.records.row("r1")
        assert (run.state.value, run.crashes) == ("running", 0)
        may_end.set()
        await harness.idle()


async def test_a_run_that_survives_its_time_is_no_suspect_any_more(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspects, "LONGEST_PROBATION_SECONDS", 0.0)
    async with engines(**PATIENT) as harness:
        holds = await add_suspects(harness, {"r1": 2, "r2": 2})
        await harness.engine.upkeep.once()
        for hold in holds.values():
            await hold.reached.wait()
        await harness.run("[[SAY late]]", "r3", "s3")
        runs = [await harness.records.row(name) for name in holds]
        assert [(run.state.value, run.crashes) for run in runs] == [("running", 1), ("running", 1)]


async def test_suspects_that_another_process_took_hold_up_no_run(engines: Engines, model: HeldModel) -> None:
    async with engines(**PATIENT) as harness:
        bystander = model.hold("held")
        await harness.start("held", "r0", "s0")
        await bystander.reached.wait()
        harness.engine.suspects_ready(is_any=True)
        await harness.start("[[SAY late]]", "r1", "s1")
        assert (await harness.records.states())["r1"] == "ready"
        await harness.engine.upkeep.once()
        await harness.end_of("r1")
        harness.engine.suspects_ready(is_any=True)
        bystander.release()
        await harness.run("[[SAY hi]]", "r2", "s2")


async def test_the_time_doubles_with_each_crash_up_to_a_limit(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    async with engines(**PATIENT) as harness:
        for crashes_in_all, seconds in ((2, 4.0), (5, 32.0), (40, 300.0)):
            await add_suspects(harness, {f"r{crashes_in_all}": 2})
            await harness.records.execute("UPDATE runs SET crashes_in_all = :n", n=crashes_in_all)
            claimed = await harness.database.write(
                lambda tx: suspects.claim(tx, "another", harness.records.components, 5, clock.now())
            )
            assert claimed.seconds == seconds
