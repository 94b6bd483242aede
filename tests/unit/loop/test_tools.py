"""Tools in the loop: what the model reads of each call, whatever the tool does."""

import asyncio
import os
import sys
import threading
from typing import Any

import pytest

from musterd import Agent, ToolContext, tool
from musterd.core.events import EventKind
from musterd.core.records import StepState
from musterd.declare.tool_errors import StopRun
from tests.support.loop import Call, LoopHarness, TurnModel
from tests.support.loop_clock import LoopClock


async def harness_after(
    *tools: Any, calls: list[Call | str], settings: dict[str, Any] | None = None, **agent: Any
) -> LoopHarness:
    """A run whose model makes ``calls`` in its first turn."""
    model = TurnModel(calls, "answer")
    harness = LoopHarness(Agent(id="solo", model=model, tools=list(tools), **agent), settings=settings or {})
    output = await harness.drive()
    assert output.content == "answer"
    return harness


def results(harness: LoopHarness) -> list[Any]:
    model = harness.run.component.model
    assert isinstance(model, TurnModel)
    return model.tool_results()


async def test_results_come_in_the_order_of_the_calls() -> None:
    first_may_end = asyncio.Event()

    @tool
    async def first() -> str:
        """Wait for the second."""
        await first_may_end.wait()
        return "1"

    @tool
    async def second() -> str:
        """Let the first go on."""
        first_may_end.set()
        return "2"

    harness = await harness_after(first, second, calls=[Call("first"), Call("second")])
    assert results(harness) == ["1", "2"]
    assert harness.steps.log == [
        ("prepare", "p"), ("model", "t0/m"), ("intent", "t0/c0"), ("intent", "t0/c1"),
        ("result", "t0/c1"), ("result", "t0/c0"), ("model", "t1/m"),
    ]  # fmt: skip
    assert [call.result for call in harness.loop.progress.output.tools] == ["1", "2"]


async def test_what_a_tool_returns_is_text() -> None:
    values: dict[str, Any] = {"text": "ü", "none": None, "number": 1.5, "list": [1, {"ü": None}], "set": {1}}

    @tool
    def give(name: str) -> Any:
        """Give something."""
        return values[name]

    harness = await harness_after(give, calls=[Call("give", {"name": name}) for name in values])
    assert results(harness) == ["ü", "", "1.5", '[1, {"ü": null}]', "[1]"]


@tool
def plain() -> str:
    """Be called in a thread."""
    return threading.current_thread().name


@tool
async def in_loop() -> str:
    """Be called in the loop."""
    return threading.current_thread().name


async def _later() -> str:
    return threading.current_thread().name


@tool
def wrapped() -> Any:
    """Hand back what is still to be awaited."""
    return _later()


async def test_plain_functions_run_in_threads_and_awaitables_are_awaited() -> None:
    harness = await harness_after(plain, in_loop, wrapped, calls=[Call("plain"), Call("in_loop"), Call("wrapped")])
    step_results = results(harness)
    assert step_results[0].startswith("test-tool")
    assert step_results[1:] == ["MainThread", "MainThread"] or not step_results[1].startswith("test-tool")


class Unprintable(Exception):
    """An exception that fails when its message is read."""

    def __str__(self) -> str:
        raise ValueError("no words")


@tool
def raises(kind: str) -> str:
    """Fail in some way."""
    if kind == "exit":
        sys.exit(3)
    if kind == "silent":
        raise RuntimeError
    if kind == "timeout":
        raise TimeoutError("the network's own")
    if kind == "cycle":
        cycle: list[Any] = []
        cycle.append(cycle)
        return cycle  # type: ignore[return-value]
    if kind == "unprintable":
        raise Unprintable
    return os.environ["NOT THERE"]


@tool
async def awaits_what_was_cancelled() -> None:
    """Wait for something that somebody cancelled."""
    gone = asyncio.get_running_loop().create_future()
    gone.cancel()
    await gone


@pytest.mark.parametrize(
    "kind, said",
    [
        ("exit", "3"),
        ("silent", "RuntimeError"),
        ("timeout", "the network's own"),
        (
            "cycle",
            "The tool was called, but its result has more than 1048576 bytes as JSON, or contains itself; "
            "at most 1048576 bytes are kept. Ask for less of it.",
        ),
        ("key", "'NOT THERE'"),
        ("unprintable", "Unprintable"),
    ],
)
async def test_whatever_a_tool_raises_is_a_result(kind: str, said: str) -> None:
    harness = await harness_after(raises, calls=[Call("raises", {"kind": kind})])
    assert results(harness) == [said]
    step = harness.steps.results["t0/c0"]
    assert (step.is_error, step.state) == (True, StepState.FAILED)
    assert EventKind.TOOL_CALL_ERROR in harness.kinds()


async def test_a_cancel_inside_a_tool_is_its_own() -> None:
    harness = await harness_after(awaits_what_was_cancelled, calls=[Call("awaits_what_was_cancelled")])
    assert harness.steps.results["t0/c0"].state is StepState.FAILED


async def test_a_tool_that_cancels_its_own_task_has_failed() -> None:
    @tool
    async def cancel_self() -> None:
        """Cancel the task that runs this tool."""
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.get_running_loop().create_future()

    harness = await harness_after(cancel_self, calls=[Call("cancel_self")])
    assert results(harness) == ["The tool cancelled its own call."]
    assert harness.steps.results["t0/c0"].state is StepState.FAILED


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_tool_that_takes_too_long_is_unknown(is_async: bool) -> None:
    let_go = threading.Event()

    @tool(timeout_seconds=0.02)
    def slow() -> None:
        """Take too long."""
        let_go.wait()

    @tool(timeout_seconds=0.02)
    async def slow_too() -> None:
        """Take too long."""
        await asyncio.get_running_loop().create_future()

    harness = await harness_after(slow, slow_too, calls=[Call("slow_too" if is_async else "slow")])
    let_go.set()
    assert results(harness) == ["No result after 0.02 s; its outcome is unknown."]
    assert harness.steps.results["t0/c0"].state is StepState.UNKNOWN


async def test_a_tools_time_begins_when_it_has_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    loop_clock, let_go = LoopClock(monkeypatch), threading.Event()

    @tool
    def hold() -> None:
        """Hold a thread."""
        let_go.wait()

    @tool(timeout_seconds=30)
    def waits() -> str:
        """Need a thread, and no time."""
        return "in time"

    @tool(timeout_seconds=30)
    async def slow() -> None:
        """Take too long: when this one's time is over, that of the others would be too."""
        loop_clock.put_forward(31)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            let_go.set()

    calls: list[Call | str] = [*[Call("hold")] * 4, Call("waits"), Call("slow")]
    harness = await harness_after(hold, waits, slow, calls=calls)
    assert results(harness)[4] == "in time"


# Calls that cannot be made


@tool
def add(one: int, other: int = 1) -> int:
    """Add numbers."""
    return one + other


@pytest.mark.parametrize(
    "call, said",
    [
        (Call("sub"), "There is no tool 'sub'. Tools: add."),
        (Call("add", {"one": "x"}), "Wrong arguments for add. one: "),
        (Call("add", {"one": 1, "two": 2}), "Wrong arguments for add. two: "),
        (Call("add", {}), "Wrong arguments for add. one: "),
        (Call("add", "{"), "The arguments are not a JSON object."),
        (Call("add", "[1]"), "The arguments are not a JSON object."),
        (Call("add", '{"one": NaN}'), "The arguments are not a JSON object."),
        (Call("delegate_task_to_member", {"member_id": "a", "task": "b"}), "There is no tool 'delegate_task"),
    ],
    ids=str,
)
async def test_a_wrong_call_goes_back_to_the_model(call: Call, said: str) -> None:
    harness = await harness_after(add, calls=[call, Call("add", {"one": 1})])
    first, second = results(harness)
    assert first.startswith(said)
    assert second == "2", "the other call of the turn is made"
    assert (harness.steps.results["t0/c0"].state, harness.steps.results["t0/c0"].is_error) == (StepState.FAILED, True)


async def test_arguments_are_what_the_hints_say() -> None:
    harness = await harness_after(add, calls=[Call("add", {"one": "41"}), Call("add", "")])
    assert results(harness)[0] == "42"


async def test_the_limit_of_calls_counts_over_turns() -> None:
    model = TurnModel([Call("add", {"one": 1}), Call("add", {"one": 2})], [Call("add", {"one": 3})], "answer")
    harness = LoopHarness(Agent(id="solo", model=model, tools=[add], tool_call_limit=2))
    await harness.drive()
    assert model.tool_results(1) == ["2", "3"]
    assert model.tool_results(2) == ["The limit of 2 tool calls is reached. Answer with what you have."]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_result_can_be_the_answer_where_it_is_one(fails: bool) -> None:
    @tool(stop_after_tool_call=True)
    def final(fails: bool) -> str:
        """Give the answer."""
        if fails:
            raise RuntimeError("broken")
        return "the answer"

    model = TurnModel([Call("add", {"one": 1}), Call("final", {"fails": fails})], "another turn")
    output = await (harness := LoopHarness(Agent(id="solo", model=model, tools=[add, final]))).drive()
    assert output.content == ("another turn" if fails else "the answer")
    assert len(model.seen) == (2 if fails else 1)
    assert EventKind.CONTENT_COMPLETED in harness.kinds()


async def test_ids_are_unique_in_the_tree() -> None:
    model = TurnModel([Call("add", {"one": 1}, "a"), Call("add", {"one": 2}, "a")], [Call("add", {"one": 3}, "a")], "x")
    harness = LoopHarness(Agent(id="solo", model=model, tools=[add]))
    await harness.drive()
    ids = [call.id for call in harness.loop.progress.output.tools]
    assert ids[0] == "a"
    assert len(set(ids)) == 3
    again = LoopHarness(Agent(id="solo", model=TurnModel([Call("add", {"one": 1}, "a")] * 2, "x"), tools=[add]))
    await again.drive()
    assert [call.id for call in again.loop.progress.output.tools] == ids[:2], "the same place, the same id"


async def test_a_long_result_is_shown_in_part_and_kept_whole() -> None:
    @tool
    def long() -> str:
        """Say much."""
        return "ü" * 100

    harness = await harness_after(long, calls=[Call("long")], settings={"tool_result_bytes": 21})
    assert results(harness) == ["ü" * 10 + "\n[… cut: the result has 200 bytes, of which 21 are shown]"]
    assert harness.loop.progress.output.tools[0].result == "ü" * 100


# State and context


async def test_calls_of_a_turn_work_on_copies_and_meet_in_order() -> None:
    met = threading.Barrier(2)

    @tool
    def change(name: str, context: ToolContext) -> str:
        """Change the state beside another."""
        seen = str(context.session_state)
        met.wait()
        context.session_state["both"] = name
        context.session_state[name] = True
        context.session_state["deep"]["list"].append(name)
        context.session_state.pop("gone", None)
        return seen

    @tool
    def spoil(context: ToolContext) -> None:
        """Change the state, and fail."""
        context.session_state.clear()
        raise RuntimeError

    model = TurnModel([Call("change", {"name": "b"}), Call("change", {"name": "a"}), Call("spoil")], "x")
    start = {"gone": 1, "kept": [1], "deep": {"list": []}}
    harness = LoopHarness(Agent(id="solo", model=model, tools=[change, spoil]), state=start)
    await harness.drive()
    assert harness.run.state == {"kept": [1], "both": "a", "b": True, "a": True, "deep": {"list": ["b", "a"]}}
    assert model.tool_results()[:2] == [str({"gone": 1, "kept": [1], "deep": {"list": []}})] * 2
    assert harness.steps.results["t0/c2"].state_delta is None


async def test_a_tool_knows_where_it_is() -> None:
    seen: list[ToolContext] = []

    @tool
    def look(context: ToolContext) -> None:
        """Look around."""
        seen.append(context)

    model = TurnModel([Call("look", {}, "c1"), Call("look", {}, "c2")], "x")
    agent = Agent(id="solo", model=model, tools=[look], dependencies={"a": 1, "b": 1}, metadata={"m": 1})
    harness = LoopHarness(agent, dependencies={"b": 2}, metadata={"n": 2})
    await harness.drive()
    first, second = sorted(seen, key=lambda context: context.tool_call_id)
    assert (first.run_id, first.root_run_id, first.session_id, first.user_id) == ("root", "root", "s1", "somebody")
    assert (first.agent_id, first.tool_call_id) == ("solo", "c1")
    assert (first.dependencies, first.metadata) == ({"a": 1, "b": 2}, {"m": 1, "n": 2})
    assert first.idempotency_key != second.idempotency_key
    assert "context" not in str(model.offered[0].function_tools[0].parameters_json_schema)


class Panic(BaseException):
    """What a native extension raises."""


@pytest.mark.parametrize("error", [Panic("broken"), GeneratorExit(), KeyboardInterrupt(), StopIteration("over")])
@pytest.mark.parametrize("is_async", [True, False])
async def test_nothing_that_a_tool_raises_leaves_the_run_hanging(error: BaseException, is_async: bool) -> None:
    @tool
    async def later() -> str:
        """Raise."""
        raise error

    @tool
    def now() -> str:
        """Raise."""
        raise error

    harness = await harness_after(later if is_async else now, calls=[Call("later" if is_async else "now")])
    (step,) = harness.steps.results.values()
    assert (step.is_error, step.state) == (True, StepState.FAILED)


# What a tool tells while it works


def reports(harness: LoopHarness) -> list[dict[str, Any]]:
    return [event.data for event in harness.events if event.kind is EventKind.CUSTOM]


async def test_progress_is_told_before_the_result_from_a_thread_too() -> None:
    @tool
    def load(context: ToolContext) -> str:
        """Load."""
        rows = ["a"]
        context.progress("half", rows=rows)
        rows.append("b")
        context.progress(percent=100)
        return "loaded"

    @tool
    async def look(context: ToolContext) -> str:
        """Look."""
        context.progress("looking")
        return "seen"

    harness = await harness_after(load, look, calls=[Call("load", id="c1"), Call("look", id="c2")])
    assert sorted(reports(harness), key=lambda data: data["tool_call_id"]) == [
        {"tool_call_id": "c1", "tool_name": "load", "content": "half", "rows": ["a"]},
        {"tool_call_id": "c1", "tool_name": "load", "percent": 100},
        {"tool_call_id": "c2", "tool_name": "look", "content": "looking"},
    ]
    of_load = [event for event in harness.events if event.place.startswith("t0/c0")]
    assert [event.kind.value for event in of_load] == ["tool_call_started", "custom", "custom", "tool_call_completed"]
    assert [event.place for event in of_load[1:3]] == ["t0/c0/progress0", "t0/c0/progress1"], "each with a key"


@pytest.mark.parametrize(
    ("details", "says"), [({"run_id": "x"}, "cannot report 'run_id'"), ({"x": {1}}, "accepts only JSON values")]
)
async def test_progress_that_an_event_cannot_carry_is_the_tools_failure(details: dict[str, Any], says: str) -> None:
    @tool
    async def load(context: ToolContext) -> str:
        """Load."""
        context.progress("half", **details)
        return "loaded"

    harness = await harness_after(load, calls=[Call("load")])
    assert says in results(harness)[0]
    assert reports(harness) == []


async def test_a_call_whose_time_was_over_tells_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, loop_clock = asyncio.get_running_loop(), LoopClock(monkeypatch)
    began, may_go_on, told_late = threading.Event(), threading.Event(), threading.Event()

    @tool(timeout_seconds=30, retry_safe=True)
    def load(context: ToolContext) -> None:
        """Load."""
        began.set()
        loop.call_soon_threadsafe(loop_clock.put_forward, 31)
        may_go_on.wait()
        context.progress("late")
        told_late.set()

    harness = await harness_after(load, calls=[Call("load")])
    assert began.is_set()
    may_go_on.set()
    await asyncio.to_thread(told_late.wait)
    await asyncio.to_thread(lambda: None)  # what was handed to the loop before has been done
    assert reports(harness) == []


# Results that are shown


async def test_a_result_that_is_shown_begins_the_answer() -> None:
    @tool(show_result=True)
    def table() -> str:
        """Table."""
        return "| a |"

    @tool(show_result=True)
    def fail() -> str:
        """Fail."""
        raise ValueError("no")

    model = TurnModel([Call("table"), Call("fail")], "As you see.")
    harness = LoopHarness(Agent(id="solo", model=model, tools=[table, fail]))
    output = await harness.drive()
    assert output.content == "| a |\n\nAs you see."
    assert model.tool_results() == ["| a |", "no"], "the model reads it too"
    texts = [event.data["text"] for event in harness.events if event.kind is EventKind.CONTENT]
    assert "".join(texts) == output.content


async def test_a_shown_result_that_ends_the_run_is_the_answer_once() -> None:
    @tool(show_result=True, stop_after_tool_call=True)
    def table() -> str:
        """Table."""
        return "| a |"

    harness = LoopHarness(Agent(id="solo", model=TurnModel([Call("table")]), tools=[table]))
    assert (await harness.drive()).content == "| a |"


async def test_a_tool_can_end_the_run_with_its_message() -> None:
    def leave() -> str:
        raise StopRun("no more of this")

    model = TurnModel([Call("leave"), Call("leave")])
    harness = LoopHarness(Agent(id="solo", model=model, tools=[leave]))
    output = await harness.drive()
    assert output.content == "no more of this\nno more of this"
    assert [(call.is_error, call.stops_run) for call in output.tools] == [(True, True)] * 2
    assert harness.steps.results["t0/c0"].details == {"stops_run": True}, "a later attempt ends there too"
