"""Media from before a crash: a later attempt shows them to the model again, and nothing is drawn twice."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic_ai.messages import BinaryContent, BinaryImage, FilePart, ModelMessage, ModelRequest, ToolReturnPart
from pydantic_ai.models import StreamedResponse

from musterd import Agent, Media, ToolResult, tool
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
