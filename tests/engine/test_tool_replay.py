"""What tools tell and do, across a crash."""

import asyncio
from collections.abc import Awaitable, Callable

from musterd import Agent, ToolContext, tool
from musterd.core.events import EventKind
from tests.engine.conftest import Engines
from tests.engine.test_replay import killed_in_second_turn
from tests.support.held_model import HeldModel


async def test_what_a_call_told_is_told_once_where_it_is_made_again(engines: Engines, model: HeldModel) -> None:
    is_cut_off, began = True, asyncio.Event()

    @tool(retry_safe=True)
    async def load(context: ToolContext) -> str:
        """Load."""
        context.progress("began")
        if is_cut_off:
            began.set()
            await asyncio.Event().wait()
        context.progress("half", percent=50)
        return "loaded"

    agents = [Agent(id="solo", model=model, tools=[load])]
    async with engines(agents=agents) as first:
        await first.start("[[TOOL load {}]]", "r1")
        await began.wait()
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.CUSTOM)
        await first.kill()
    is_cut_off = False
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
        stored = [event for _, event in await second.stored("r1")]
    assert (view.output and view.output.content) == "Done: loaded"
    assert [event.data["content"] for event in stored if event.kind is EventKind.CUSTOM] == ["began", "half"]


async def test_a_shown_result_is_shown_once_across_a_crash(engines: Engines, model: HeldModel) -> None:
    @tool(show_result=True)
    async def table() -> str:
        """Table."""
        return "| a |"

    agents = [Agent(id="solo", model=model, tools=[table])]
    async with engines(agents=agents) as first:
        await killed_in_second_turn(first, model, "[[TOOL table {}]]")
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
        stored = [event for _, event in await second.stored("r1")]
    assert (view.output and view.output.content) == "| a |\n\nDone: | a |"
    texts = [event.data.get("text", "") for event in stored if event.kind is EventKind.CONTENT]
    assert sum("| a |\n\n" in text for text in texts) == 1


async def test_what_stands_around_a_call_that_is_done_does_not_happen_again(engines: Engines, model: HeldModel) -> None:
    seen: list[str] = []

    async def around(function_name: str, function_call: Callable[..., Awaitable[str]]) -> str:
        seen.append(f"around {function_name}")
        return f"<{await function_call()}>"

    @tool(retries=1, cache_results=True, pre_hook=lambda: seen.append("before"))
    def look() -> str:
        """Look."""
        seen.append("look")
        return "seen"

    agents = [Agent(id="solo", model=model, tools=[look], tool_hooks=[around])]
    async with engines(agents=agents) as first:
        await killed_in_second_turn(first, model, "[[TOOL look {}]]")
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
        kept_view = await second.run("[[TOOL look {}]]", "r2")
        steps = await second.records.select("SELECT state FROM journal WHERE root_id = 'r2' AND path = 't0/c0'")
    assert (view.output and view.output.content) == "Done: <seen>"
    assert (kept_view.output and kept_view.output.content) == "Done: <seen>"
    assert steps == [{"state": "completed"}], "a kept result is a step as any other"
    assert seen == ["before", "around look", "look", "before", "around look"], "hooks see every call, once"
