"""Large outputs of steps: stored once, filled in for every reader, and read after a crash only if a step gets them."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from musterd import Agent, Condition, Loop, Parallel, Step, StepInput, StepOutput, Workflow
from musterd.core.events import EventKind
from musterd.core.records import RunView
from musterd.core.states import RunState
from musterd.engine import recovery
from musterd.service.subscription import stored_after
from musterd.store import event_compaction, step_contents
from musterd.wire.sse import json_of
from tests.engine.conftest import Engines
from tests.engine.test_workflows import Works, fork, workflow
from tests.support.crashes import Fuse, check_each_event_once, end_before_death
from tests.support.engine import NOBODY, EngineHarness
from tests.support.held_model import HeldModel
from tests.support.store import TABLES, of_run

LARGE = 6_000
"""Characters of a large content: more than are stored in place."""


@pytest.fixture
def works() -> Works:
    return Works()


def large(name: str, **options: Any) -> Step:
    """A step that returns a large text of its own."""

    def work(step_input: StepInput) -> str:
        return f"<{name}>".ljust(LARGE, name)

    return Step(name=name, executor=work, retry_safe=True, **options)


def large_json(step_input: StepInput) -> StepOutput:
    return StepOutput(content={"items": ["j" * LARGE]})


def everywhere() -> Workflow:
    """Large contents in every kind of container."""

    def is_long(step_input: StepInput) -> bool:
        return len(str(step_input.get_step_content("b"))) >= LARGE

    return workflow(
        large("a"),
        Loop(name="again", steps=[large("b")], max_iterations=2),
        Condition(name="if", evaluator=is_long, steps=[large_json]),
        Parallel(large("c"), Parallel(large("d"), Step(name="small", executor=lambda step_input: "e")), name="both"),
        large("z"),
    )


async def frames(harness: EngineHarness, root_id: str = "r1") -> list[dict[str, Any]]:
    """The events of a run as clients get them, read from the store."""
    root = (await harness.end_of(root_id)).row
    page = await stored_after(harness.database, root.session_id, root_id, -1, 10_000)
    run_frames = harness.server.frames.of(root)
    return [json.loads(json_of(frame)) for flush in page.flushes for frame in await run_frames.of(flush)]


async def step_results(harness: EngineHarness, run_id: str = "r1") -> list[dict[str, Any]]:
    """The results of the steps of a run as clients get them."""
    view = await harness.end_of(run_id)
    await harness.runs.fill_in_contents([view])
    assert view.output is not None
    assert view.row.state is RunState.COMPLETED, view.output.error
    return view.output.step_results


async def stored_texts(harness: EngineHarness) -> Mapping[str, str]:
    """Everything that is stored, by table."""
    rows = {name: await harness.records.select(f"SELECT * FROM {name}") for name in TABLES}  # noqa: S608
    return {name: " ".join(str(value) for row in of_table for value in row.values()) for name, of_table in rows.items()}


def contents(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The contents of steps by name, containers first."""
    by_name: dict[str, Any] = {}
    for result in results:
        by_name[result["step_name"]] = result["content"]
        by_name |= contents(result.get("steps") or ())
    return by_name


def check_contents(by_name: Mapping[str, Any]) -> None:
    for name in "abcdz":
        assert by_name[name] == f"<{name}>".ljust(LARGE, name)
    assert by_name["large_json"] == {"items": ["j" * LARGE]}
    assert f"### ✅ SUCCESS: c\n{by_name['c']}\n\n### ✅ SUCCESS: Parallel" in by_name["both"]
    assert by_name["both"].endswith(f"{by_name['d']}\n\n### ✅ SUCCESS: small\ne")


async def test_each_content_is_stored_once_and_shown_everywhere(engines: Engines) -> None:
    async with engines(workflows=[everywhere()]) as harness:
        reading = harness.runs.subscribe("r1")
        view = await harness.run("go", "r1")
        live = [flush async for flush in reading.available()]
        reading.close()
        texts = await stored_texts(harness)
        check_contents(contents(await step_results(harness)))
        replayed = await frames(harness)
        of_run = harness.server.frames.of(view.row)
        assert [json.loads(json_of(frame)) for flush in live for frame in await of_run.of(flush)] == replayed
        assert max(flush.weight for flush in live) > 2 * LARGE, "the limit of a slow subscriber counts what it is sent"
    for name in "abcd":
        assert sum(text.count(name * 1000) >= 1 for text in texts.values()) == 1
        assert texts["journal"].count(f"<{name}>") == (2 if name == "b" else 1)
    assert {name: text.count("<z>") for name, text in texts.items() if "<z>" in text} == {"journal": 1, "run_io": 1}
    assert "content_at" not in json.dumps(replayed)
    by_event = {event["event"]: event for event in replayed}
    check_contents(contents(by_event["WorkflowCompleted"]["step_results"]))
    assert by_event["WorkflowCompleted"]["content"] == by_event["StepOutput"]["step_output"]["content"]
    assert [len(results) for results in by_event["LoopExecutionCompleted"]["all_results"]] == [1, 1]
    assert len(by_event["LoopIterationCompleted"]["iteration_results"][0]["content"]) == LARGE
    completed = [event for event in replayed if event["event"] == "StepCompleted"]
    assert {event["content_type"] for event in completed} == {"str", "dict"}


async def test_a_small_record_is_stored_once_in_a_flush(engines: Engines) -> None:
    flow = workflow(Step(name="small", executor=lambda step_input: "x" * 300))
    async with engines(workflows=[flow], delta_seconds=60) as harness:
        await harness.run("go", "r1")
        payloads = [row["payload"] for row in await harness.records.select("SELECT payload FROM run_events")]
        (payload,) = [payload for payload in payloads if "step_output" in payload]
        assert payload.count("x" * 300) == 3, "of the step, of the results of the run, and its content"
        events = {event.kind: (index, event) for index, event in await harness.stored("r1")}
        (first, output), (_, completed) = events[EventKind.STEP_OUTPUT], events[EventKind.STEP_COMPLETED]
        assert output.data == completed.data
        assert (await harness.records.events("r1", first))[0][1] == completed
        joined = event_compaction.joined(await harness.database.scan(of_run(event_compaction.read, "r1")))
        await harness.database.write(of_run(event_compaction.put, "r1", joined))
        assert output in [event for _, event in await harness.stored("r1")]


@pytest.mark.parametrize("calls_steps", [True, False])
async def test_the_result_of_a_function_that_is_the_workflow_is_stored_apart(
    engines: Engines, calls_steps: bool
) -> None:
    async def with_steps(workflow: Any, execution_input: Any) -> str:
        first = await workflow.step("a", large("a").executor)
        return "<whole>".ljust(LARGE, "w") + str(len(first.content))

    async def alone(workflow: Any, execution_input: Any) -> str:
        return "<whole>".ljust(LARGE, "w") + str(LARGE)

    flow = Workflow(id="flow", steps=with_steps if calls_steps else alone)
    async with engines(workflows=[flow]) as harness:
        view = await harness.run("go", "r1")
        texts = await stored_texts(harness)
        (end,) = [event for event in await frames(harness) if event["event"] == "WorkflowCompleted"]
        results = await step_results(harness)
    whole = "<whole>".ljust(LARGE, "w") + str(LARGE)
    assert view.output is not None
    assert view.output.content == end["content"] == whole
    where = {name: text.count("<whole>") for name, text in texts.items() if "<whole>" in text}
    assert where == {"journal": 1, "run_io": 1}
    if calls_steps:
        assert {name: text.count("<a>") for name, text in texts.items() if "<a>" in text} == {"journal": 1}
        assert end["step_results"] == results
        assert results[0]["content"] == "<a>".ljust(LARGE, "a")


class Reads:
    """Which contents are read after a crash."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[set[str]] = []
        of_tree = step_contents.of_tree

        async def noting(tx: Any, root_id: str, paths: Any) -> dict[str, str]:
            self.paths.append(set(paths))
            return await of_tree(tx, root_id, paths)

        monkeypatch.setattr("musterd.engine.loading.step_contents.of_tree", noting)


async def test_after_a_crash_an_agent_step_reads_only_what_it_gets(
    engines: Engines, works: Works, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = workflow(large("a"), large("b"), Agent(id="writer", model=model), works.step("last"))
    hold = model.hold("<b>")
    async with engines(workflows=[flow]) as first:
        await first.start("go", "r1")
        await hold.reached.wait()
        await first.kill()
    hold.release()
    reads = Reads(monkeypatch)
    async with engines(workflows=[flow]) as second:
        view = await second.end_of("r1")
    assert reads.paths[0] == {"s1"}, "the agent gets the content of the step before"
    assert reads.paths[1:] == [{"s0"}], "the function gets those of all steps, of which one was read"
    assert view.row.state is RunState.COMPLETED


async def test_after_a_crash_a_function_gets_all_contents(engines: Engines, works: Works) -> None:
    seen: dict[str, Any] = {}

    async def look(step_input: StepInput) -> str:
        outputs = step_input.previous_step_outputs or {}
        seen.update({str(output.step_name): output.content for top in outputs.values() for output in top.tree()})
        seen["previous"] = step_input.previous_step_content
        return "seen"

    flow = everywhere()
    steps = [*flow.steps, works.step("hangs", retry_safe=True), Step(name="look", executor=look)]
    async with engines(workflows=[workflow(*steps)]) as first:
        await works.cut_off(first, "hangs")
    async with engines(workflows=[workflow(*steps)]) as second:
        results = await step_results(second)
        replayed = await frames(second)
    check_contents(seen)
    assert seen["previous"].endswith(">hangs")
    check_contents(contents(results))
    check_contents(contents(replayed[-1]["step_results"]))


async def test_a_crash_after_the_last_step_still_gives_the_content(
    engines: Engines, works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ends(outputs: Sequence[StepOutput]) -> bool:
        if works.hangs:
            works.has_hung.set()
            await asyncio.Event().wait()
        return True

    flow = workflow(large("a"), Loop(name="again", steps=[large("b")], max_iterations=1, end_condition=ends))
    async with engines(workflows=[flow], delta_seconds=60) as first:
        await works.cut_off(first, "the end")
    async with engines(workflows=[flow]) as second:
        reads = Reads(monkeypatch)
        view = await second.end_of("r1")
    assert view.output is not None
    assert view.output.content == "<b>".ljust(LARGE, "b")
    assert reads.paths[-1] == {"s1/i0/s0"}


@pytest.mark.parametrize("moments", range(0, 24, 3))
async def test_killed_before_or_after_any_commit_the_run_shows_the_same(
    engines: Engines, fuse: Fuse, moments: int
) -> None:
    flow = workflow(large("a"), Parallel(large("b"), large("c"), name="both"), large("d"), large("z"))
    view: RunView | None = None
    async with engines(workflows=[flow], delta_seconds=0) as first:
        fuse.between = first.stored_so_far
        fuse.arm(moments)
        await first.start("go", "r1")
        view = await end_before_death(fuse, first)
    async with engines(workflows=[flow]) as second:
        view = await second.end_of("r1")
        by_name = contents(await step_results(second))
        replayed = await frames(second)
        events = await second.stored("r1")
    assert view.row.state is RunState.COMPLETED
    for name in "abcdz":
        assert by_name[name] == f"<{name}>".ljust(LARGE, name)
    completed = [event for event in replayed if event["event"] == "StepCompleted"]
    assert {event["step_name"]: event["content"] for event in completed} == {name: by_name[name] for name in "abcdz"}
    check_each_event_once(events)


async def test_forks_show_the_contents_after_their_origin_is_gone(engines: Engines, works: Works) -> None:
    flow = workflow(large("a"), works.step("bad", max_retries=0), large("z"))
    works.fails = {"bad"}
    async with engines(workflows=[flow]) as harness:
        assert (await harness.run("go", "r1")).row.state is RunState.ERROR
        works.fails = set()
        await fork(harness)
        assert contents(await step_results(harness, "r2"))["a"] == "<a>".ljust(LARGE, "a")
        copy_id, _ = await harness.sessions.fork(harness.component(), "s1", NOBODY)
        await harness.sessions.delete("s1", NOBODY)
        copies = await harness.records.select(
            "SELECT run_id FROM runs WHERE session_id = :s AND state = 'completed'", s=copy_id
        )
        (copied,) = [row["run_id"] for row in copies]
        assert contents(await step_results(harness, copied))["a"] == "<a>".ljust(LARGE, "a")
        assert (await frames(harness, copied))[-1]["content"] == "<z>".ljust(LARGE, "z")


async def test_recovery_reads_no_large_contents(engines: Engines, works: Works) -> None:
    flow = workflow(large("a"), works.step("hangs", retry_safe=True))
    async with engines(workflows=[flow]) as harness:
        await works.cut_off(harness, "hangs")
        (row,) = await harness.records.select("SELECT result, content FROM journal WHERE path = 's0'")
        run = await harness.records.row("r1")
        recovered = await harness.database.scan(lambda tx: recovery.load(tx, run))
    assert row["content"] == "<a>".ljust(LARGE, "a")
    assert len(row["result"]) < 300
    assert recovered.steps["s0"].content is None
