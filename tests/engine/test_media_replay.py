"""Media from before a crash: a later attempt shows them to the model again, and nothing is drawn twice."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic_ai.messages import (
    BinaryContent,
    BinaryImage,
    FilePart,
    ModelMessage,
    ModelRequest,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import StreamedResponse

from musterd import Agent, Media, Step, StepInput, ToolResult, Workflow, tool
from musterd.core.states import RunState
from tests.engine.conftest import Engines
from tests.engine.test_replay import killed_in_second_turn
from tests.support.held_model import HeldModel

PNG = b"\x89PNG\r\n\x1a\n rest"


def file_contents(messages: list[ModelMessage]) -> list[bytes]:
    last = messages[-1]
    assert isinstance(last, ModelRequest)
    (part,) = [part for part in last.parts if isinstance(part, ToolReturnPart)]
    assert isinstance(part.content, list)
    return [item.data for item in part.content if isinstance(item, BinaryContent)]


async def test_what_a_tool_returned_is_shown_again(engines: Engines, model: HeldModel) -> None:
    drawn = list[int]()

    @tool
    async def draw() -> ToolResult:
        """Draw something."""
        drawn.append(1)
        return ToolResult(content="drawn", images=[Media(content=PNG)])

    agents = [Agent(id="solo", model=model, tools=[draw])]
    async with engines(agents=agents) as first:
        await killed_in_second_turn(first, model, "[[TOOL draw {}]]")
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
    assert len(drawn) == 1
    assert [file_contents(call) for call in model.calls[-2:]] == [[PNG], [PNG]]
    assert view.output is not None
    assert [item["mime_type"] for item in view.output.media["images"]] == ["image/png"]


class Painter(HeldModel):
    """Draws in its first turn, beside what it does by the script."""

    @asynccontextmanager
    async def request_stream(self, *args: Any, **named: Any) -> AsyncGenerator[StreamedResponse]:
        async with super().request_stream(*args, **named) as stream:
            if len(self.calls) == 1:
                whole = stream._get_event_iterator

                async def with_picture() -> AsyncIterator[Any]:
                    yield stream._parts_manager.handle_part(
                        vendor_part_id="image", part=FilePart(BinaryImage(PNG, media_type="image/png"))
                    )
                    async for event in whole():
                        yield event

                vars(stream)["_get_event_iterator"] = with_picture
            yield stream


async def test_what_a_model_made_is_kept(engines: Engines) -> None:
    model = Painter()

    @tool(retry_safe=True)
    async def look() -> str:
        """Look."""
        return "seen"

    agents = [Agent(id="solo", model=model, tools=[look])]
    async with engines(agents=agents) as first:
        await killed_in_second_turn(first, model, "[[TOOL look {}]]")
        (step,) = await first.records.select("SELECT result FROM journal WHERE path = 't0/m'")
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
        (blob,) = await second.records.select("SELECT content FROM blobs")
    assert view.output is not None
    (image,) = view.output.media["images"]
    assert (bytes(blob["content"]), image["blob"] in step["result"]) == (PNG, True)
    images = [part.content.data for part in model.calls[-1][1].parts if isinstance(part, FilePart)]
    assert images == [PNG], "its own answer, as it was"


async def test_later_steps_of_a_workflow_get_what_an_agent_drew(engines: Engines, model: HeldModel) -> None:
    seen, is_cut_off = list[list[bytes | None]](), asyncio.Event()

    @tool
    async def draw() -> ToolResult:
        """Draw something."""
        return ToolResult(content="drawn", images=[Media(content=PNG)])

    async def look(step_input: StepInput) -> str:
        outputs = step_input.previous_step_outputs or {}
        seen.append([medium.content for medium in [*(step_input.images or ()), *(outputs["artist"].images or ())]])
        if not is_cut_off.is_set():
            is_cut_off.set()
            await asyncio.Event().wait()
        return "looked"

    flow = Workflow(
        id="flow",
        steps=[
            Step(name="show", executor=lambda step_input: "[[TOOL draw {}]]"),
            Step(name="artist", agent=Agent(id="artist", model=model, tools=[draw])),
            Step(name="critic", agent=Agent(id="critic", model=model)),
            Step(name="look", executor=look, retry_safe=True),
        ],
    )
    async with engines(workflows=[flow]) as first:
        await first.start("go", "r1")
        await is_cut_off.wait()
        await first.kill()
    async with engines(workflows=[flow]) as second:
        assert (await second.end_of("r1")).row.state is RunState.COMPLETED
    assert seen == [[PNG, PNG]] * 2
    prompts = [part.content for part in model.calls[-1][-1].parts if isinstance(part, UserPromptPart)]
    pictures = [
        item.data
        for content in prompts
        for item in content
        if not isinstance(content, str) and isinstance(item, BinaryContent)
    ]
    assert pictures == [PNG]
