"""What stands around a tool's call: hooks, further tries, kept results."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from musterd import Agent, Media, OutcomeUnknown, RetryTool, ToolContext, ToolResult, tool
from musterd.core import clock
from musterd.core.events import EventKind
from musterd.core.records import StepState
from musterd.declare.tool_errors import ToolFailed
from musterd.loop import task_abandonment
from musterd.loop.loop import Loop
from tests.support.loop import Call, LoopHarness, TurnModel
from tests.support.loop_clock import LoopClock


async def tool_results(*tools: Any, calls: list[Call], turns: int = 1, **agent: Any) -> list[Any]:
    """What the model reads of its calls, of all turns together."""
    model = TurnModel(*([calls] * turns), "answer")
    harness = LoopHarness(Agent(id="solo", model=model, tools=list(tools), **agent))
    await harness.drive()
    return [result for turn in range(1, turns + 1) for result in model.tool_results(turn)]


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, which take no time."""
    durations: list[float] = []

    async def sleep(seconds: float) -> None:
        durations.append(seconds)

    monkeypatch.setattr(clock, "sleep", sleep)
    monkeypatch.setattr(clock, "jitter", lambda seconds: seconds)
    return durations


# Hooks


async def test_hooks_stand_around_each_other_and_may_change_all() -> None:
    order: list[str] = []

    def outer(function_name: str, function_call: Callable[..., Any], arguments: dict[str, Any]) -> str:
        order.append(f"outer {function_name} {arguments}")
        result = function_call(**{**arguments, "word": "y"})
        order.append("outer done")
        return f"<{result}>"

    async def inner(name: str, func: Callable[..., Awaitable[Any]], args: dict[str, Any], agent: Agent) -> str:
        order.append(f"inner {name} {args} of {agent.id}")
        return f"[{await func(**args)}]"

    def own(function: Callable[..., Any], run_context: ToolContext) -> str:
        order.append(f"own {run_context.tool_call_id}")
        return f"({function()})"

    @tool(tool_hooks=[own])
    def say(word: str) -> str:
        """Say."""
        order.append(f"say {word} in {threading.current_thread().name.rpartition('-')[0]}")
        return word

    results = await tool_results(say, calls=[Call("say", {"word": "x"}, id="c1")], tool_hooks=[outer, inner])
    assert results == ["<[(y)]>"]
    assert order == [
        "outer say {'word': 'x'}",
        "inner say {'word': 'y'} of solo",
        "own c1",
        "say y in test-tool",
        "outer done",
    ]


async def test_a_hook_may_answer_itself_or_refuse() -> None:
    calls = []

    def guard(function_call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        if arguments["word"] == "bad":
            raise ValueError("not that word")
        return "known" if arguments["word"] == "old" else function_call(**arguments)

    @tool
    async def say(word: str) -> str:
        """Say."""
        calls.append(word)
        return word

    words = ["bad", "old", "new"]
    results = await tool_results(say, calls=[Call("say", {"word": word}) for word in words], tool_hooks=[guard])
    assert results == ["not that word", "known", "new"]
    assert calls == ["new"]


async def test_more_calls_than_threads_pass_through_hooks() -> None:
    def around(function_call: Callable[..., Any]) -> Any:
        return function_call()

    @tool(tool_hooks=[around, around])
    def work() -> str:
        """Work."""
        return "done"

    assert await tool_results(work, calls=[Call("work") for _ in range(12)]) == ["done"] * 12, "four threads for tools"


async def test_a_call_before_and_one_after_see_what_comes_of_it() -> None:
    seen: list[tuple[Any, ...]] = []

    def before(fc: Any) -> None:
        if fc.arguments["word"] == "bad":
            raise ValueError("not that word")
        fc.arguments["word"] += "!"

    async def after(fc: Any, run_context: ToolContext) -> None:
        seen.append((fc.function.name, fc.call_id, fc.arguments, fc.result, fc.error, run_context.session_id))
        raise ValueError("too late to matter")

    @tool(pre_hook=before, post_hook=after)
    def say(word: str) -> str:
        """Say."""
        if word == "fail!":
            raise ValueError("failed")
        return word

    calls = [Call("say", {"word": word}, id=word) for word in ("bad", "x", "fail")]
    assert await tool_results(say, calls=calls) == ["not that word", "x!", "failed"]
    assert sorted(seen, key=lambda item: item[1]) == [
        ("say", "fail", {"word": "fail!"}, None, "failed", "s1"),
        ("say", "x", {"word": "x!"}, "x!", None, "s1"),
    ]


async def test_a_call_after_it_may_say_what_happens_next_unless_a_person_decides_that() -> None:
    def after() -> None:
        raise RetryTool("try another word")

    @tool(post_hook=after)
    def say(word: str) -> str:
        """Say."""
        if word == "lost":
            raise OutcomeUnknown("the line went dead")
        return word

    assert await tool_results(say, calls=[Call("say", {"word": "x"})]) == ["try another word"]
    harness = LoopHarness(Agent(id="solo", model=TurnModel([Call("say", {"word": "lost"})], "answer"), tools=[say]))
    await harness.drive()
    assert harness.steps.results["t0/c0"].state is StepState.UNKNOWN


async def test_a_cancel_stops_a_post_hook() -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    async def after() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.set()
            raise

    @tool(post_hook=after)
    def say() -> str:
        """Say."""
        return "said"

    driving = asyncio.ensure_future(tool_results(say, calls=[Call("say")]))
    await began.wait()
    driving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await driving
    assert stopped.is_set()


async def test_a_post_hook_that_cancels_itself_changes_nothing() -> None:
    async def after() -> None:
        raise asyncio.CancelledError

    @tool(post_hook=after)
    def say() -> str:
        """Say."""
        return "said"

    assert await tool_results(say, calls=[Call("say")]) == ["said"]


# Tries


@pytest.mark.parametrize(
    ("error", "retry_safe", "calls"),
    [
        (ValueError("no"), True, 3),
        (OutcomeUnknown("who knows"), True, 3),
        (RetryTool("not now"), False, 3),
        (ValueError("no"), False, 1),
        (ToolFailed("no, for good"), True, 1),
    ],
)
async def test_a_tool_is_called_again_where_nothing_happens_twice(
    naps: list[float], error: Exception, retry_safe: bool, calls: int
) -> None:
    keys, states = [], []

    @tool(retries=2, retry_safe=retry_safe)
    async def send(context: ToolContext) -> None:
        """Send."""
        keys.append(context.idempotency_key)
        states.append(dict(context.session_state))
        context.session_state["half"] = "done"
        raise error

    assert await tool_results(send, calls=[Call("send")]) == [str(error)]
    assert (len(keys), len(set(keys)), len(naps)) == (calls, 1, calls - 1)
    assert states == [{}] * calls, "what a failed try left is gone"
    assert naps == [0.1, 0.2][: calls - 1]


async def test_the_try_that_succeeds_counts(naps: list[float]) -> None:
    failures = [RetryTool("busy")]

    @tool(retries=1)
    def send() -> str:
        """Send."""
        if failures:
            raise failures.pop()
        return "sent"

    assert await tool_results(send, calls=[Call("send")]) == ["sent"]


async def test_what_hooks_changed_in_the_state_stays_in_each_try(naps: list[float]) -> None:
    failures, seen = [RetryTool("busy")], list[Any]()

    def count(run_context: ToolContext) -> None:
        run_context.session_state["calls"] = run_context.session_state.get("calls", 0) + 1

    @tool(retries=1, pre_hook=count)
    def send(context: ToolContext) -> str:
        """Send."""
        seen.append(dict(context.session_state))
        context.session_state["failed"] = True
        if failures:
            raise failures.pop()
        return "sent"

    assert await tool_results(send, calls=[Call("send")]) == ["sent"]
    assert seen == [{"calls": 1}, {"calls": 1}]


# Kept results


async def test_an_equal_call_has_the_kept_result_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    @tool(cache_results=True, cache_ttl=60)
    def square(n: int, digits: int = 0) -> int:
        """Square."""
        calls.append(n)
        return n * n

    async def squared(*numbers: int) -> list[Any]:
        return await tool_results(square, calls=[Call("square", {"n": n}) for n in numbers])

    assert await squared(2) == ["4"]
    assert await tool_results(square, calls=[Call("square", '{"n": "2"}')]) == ["4"], "equal once it is converted"
    assert await squared(3, 2) == ["9", "4"]
    assert calls == [2, 3]
    later = clock.monotonic() + 61
    monkeypatch.setattr(clock, "monotonic", lambda: later)
    assert await squared(2) == ["4"]
    assert calls == [2, 3, 2]


async def test_failures_are_not_kept_and_another_session_is_another_call() -> None:
    calls: list[str] = []

    @tool(cache_results=True)
    async def whose(context: ToolContext) -> str:
        """Whose."""
        calls.append(context.session_id)
        if len(calls) == 1:
            raise ValueError("not yet")
        return context.session_id

    async def run_in(session: str) -> None:
        harness = LoopHarness(Agent(id="solo", model=TurnModel([Call("whose")], "answer"), tools=[whose]))
        harness.loop = Loop(replace(harness.tree, session_id=session), harness.run)
        await harness.drive()

    for session in ("s1", "s1", "s1", "s2"):
        await run_in(session)
    assert calls == ["s1", "s1", "s2"]


async def test_only_so_many_results_are_kept() -> None:
    calls: list[int] = []

    @tool(cache_results=True)
    def square(n: int) -> int:
        """Square."""
        calls.append(n)
        return n * n

    cache = square.result_cache
    assert cache is not None
    for n in range(300):
        cache.put(str(n), "x")
    cache.put("long", "x" * 70_000)
    assert [cache.get(str(n)) for n in (0, 43, 44, 299)] == [None, None, "x", "x"]
    assert cache.get("long") is None


async def test_a_kept_result_with_media_is_the_same_again() -> None:
    @tool(cache_results=True)
    def draw() -> ToolResult:
        """Draw."""
        return ToolResult(content="drawn", images=[Media(content=b"png", mime_type="image/png")])

    harness = LoopHarness(
        Agent(id="solo", model=TurnModel([Call("draw"), Call("draw")], Call("draw"), "answer"), tools=[draw])
    )
    output = await harness.drive()
    assert [call.result for call in output.tools] == ["drawn"] * 3
    assert len(output.media["images"]) == 3


# Time limits


async def a_minute_later(times: LoopClock) -> None:
    """Let timers fire that are due a minute from now."""
    times.put_forward(61)
    for _ in range(5):
        await clock.yield_to_others()


@pytest.mark.parametrize("is_async", [True, False])
async def test_only_the_function_has_a_time_limit(monkeypatch: pytest.MonkeyPatch, is_async: bool) -> None:
    times, failures = LoopClock(monkeypatch), [RetryTool("busy")]

    async def later(*_: float) -> None:
        await a_minute_later(times)

    async def before_and_after() -> None:
        await a_minute_later(times)

    async def around(function: Callable[..., Any]) -> Any:
        await a_minute_later(times)
        result = await function()
        await a_minute_later(times)
        return result

    def send_in_thread() -> str:
        """Send."""
        if failures:
            raise failures.pop()
        return "sent"

    async def send() -> str:
        """Send."""
        return send_in_thread()

    monkeypatch.setattr(clock, "sleep", later)
    hooks: Any = {"pre_hook": before_and_after, "post_hook": before_and_after, "tool_hooks": [around]}
    declared = tool(name="send", timeout_seconds=60, retries=1, **hooks)(send if is_async else send_in_thread)
    assert await tool_results(declared, calls=[Call("send")]) == ["sent"]


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_retry_safe_tool_is_tried_again_after_its_time(
    naps: list[float], monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    times, loop, may_end = LoopClock(monkeypatch), asyncio.get_running_loop(), threading.Event()
    tries: list[str] = []
    outcomes: list[Any] = []

    def after(fc: Any, run_context: ToolContext) -> None:
        outcomes.append((fc.result, fc.error, dict(run_context.session_state)))

    def begin(context: ToolContext) -> bool:
        """Whether it is the first try; each leaves something behind."""
        tries.append(context.idempotency_key)
        context.session_state[f"try {len(tries)}"] = dict(context.session_state)
        return len(tries) == 1

    async def look(context: ToolContext) -> str:
        """Look."""
        if begin(context):
            times.put_forward(61)
            await loop.create_future()
        return "in time"

    def look_in_thread(context: ToolContext) -> str:
        """Look."""
        if begin(context):
            loop.call_soon_threadsafe(times.put_forward, 61)
            may_end.wait()
            context.session_state["late"] = True
        return "in time"

    function = look if is_async else look_in_thread
    declared = tool(name="look", timeout_seconds=60, retry_safe=True, retries=1, post_hook=after)(function)
    assert await tool_results(declared, calls=[Call("look")]) == ["in time"]
    may_end.set()
    assert (len(tries), len(set(tries)), naps) == (2, 1, [0.1])
    assert outcomes == [("in time", None, {"try 2": {}})]


@pytest.mark.parametrize(("retry_safe", "tries"), [(True, 3), (False, 1)])
async def test_a_call_without_a_result_in_time_is_unknown(
    naps: list[float], monkeypatch: pytest.MonkeyPatch, retry_safe: bool, tries: int
) -> None:
    times, calls, errors = LoopClock(monkeypatch), [], []

    def after(fc: Any) -> None:
        errors.append(fc.error)

    @tool(timeout_seconds=60, retry_safe=retry_safe, retries=2, post_hook=after)
    async def look() -> None:
        """Look."""
        calls.append("look")
        times.put_forward(61)
        await asyncio.get_running_loop().create_future()

    harness = LoopHarness(Agent(id="solo", model=TurnModel([Call("look")], "answer"), tools=[look]))
    await harness.drive()
    step = harness.steps.results["t0/c0"]
    assert (step.state, step.result) == (StepState.UNKNOWN, "No result after 60 s; its outcome is unknown.")
    assert (len(calls), len(naps)) == (tries, tries - 1)
    assert errors == [step.result]


@pytest.mark.parametrize(("retry_safe", "result"), [(True, "cached"), (False, "No result after 60 s")])
async def test_a_hook_may_answer_after_the_time_of_a_retry_safe_tool_only(
    monkeypatch: pytest.MonkeyPatch, retry_safe: bool, result: str
) -> None:
    times = LoopClock(monkeypatch)

    def fall_back(function: Callable[..., Any]) -> Any:
        try:
            return function()
        except OutcomeUnknown:
            return "cached"

    @tool(timeout_seconds=60, retry_safe=retry_safe, tool_hooks=[fall_back])
    async def pay() -> None:
        """Pay."""
        times.put_forward(61)
        await asyncio.get_running_loop().create_future()

    (text,) = await tool_results(pay, calls=[Call("pay")])
    assert text.startswith(result)


async def test_a_try_that_did_not_stop_has_no_say_in_the_next(
    naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_abandonment, "STOP_SECONDS", 0.01)
    times, may_end = LoopClock(monkeypatch), asyncio.Event()
    first: list[Any] = []

    @tool(timeout_seconds=60, retry_safe=True, retries=1)
    async def look(context: ToolContext) -> str:
        """Look."""
        if not first:
            first.append(asyncio.current_task())
            times.put_forward(61)
            while not may_end.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await may_end.wait()
            context.session_state["late"] = True
            context.progress("late")
            return "late"
        may_end.set()
        await asyncio.wait(first)
        context.session_state["now"] = True
        context.progress("now")
        return "in time"

    harness = LoopHarness(Agent(id="solo", model=TurnModel([Call("look")], "answer"), tools=[look]))
    await harness.drive()
    step = harness.steps.results["t0/c0"]
    assert (step.result, step.state_delta) == ("in time", {"set": {"now": True}, "removed": []})
    reports = [event.data["content"] for event in harness.events if event.kind is EventKind.CUSTOM]
    assert reports == ["now"]
