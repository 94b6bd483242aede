"""Who reads a model's answer knows when its text will be told."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvloop
from pydantic_ai.messages import ModelResponseStreamEvent
from pydantic_ai.models import StreamedResponse

from musterd import Agent
from musterd.core import flush_window
from musterd.core.events import Event, EventKind
from musterd.core.settings import Settings
from musterd.engine.activity import Activity
from musterd.engine.outbox import Outbox
from musterd.engine.step_gate import StepGate
from musterd.models.scripted import ScriptedModel
from musterd.store.attempt_writes import Lease
from tests.engine.conftest import Engines
from tests.support.store import new_run


class Asking(ScriptedModel):
    """Follows the script and asks at each piece of its answer how long it is until text is told."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[float | None] = []

    @asynccontextmanager
    async def request_stream(self, *args: Any, **named: Any) -> AsyncGenerator[StreamedResponse]:
        async with super().request_stream(*args, **named) as stream:
            whole = stream._get_event_iterator

            async def asking() -> AsyncIterator[ModelResponseStreamEvent]:
                async for event in whole():
                    yield event  # handed on before the next is asked for, as from a provider
                    told_at = flush_window.next_flush_at.get()
                    assert told_at is not None
                    at = told_at()
                    self.left.append(None if at is None else at - asyncio.get_running_loop().time())

            vars(stream)["_get_event_iterator"] = asking
            yield stream


async def test_text_that_was_read_is_told_within_its_window(engines: Engines) -> None:
    model = Asking()
    async with engines(agents=[Agent(id="solo", model=model)], delta_seconds=30) as harness:
        await harness.run("[[WORDS 3]]", "r1")
    assert len(model.left) >= 3
    assert all(left is not None and 0 < left <= 30 for left in model.left)


@pytest.mark.parametrize("seconds", [0, 30])
@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_window_of_any_length_says_when_it_ends(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], seconds: int
) -> None:
    """Timers of one loop know their time, those of another not always."""
    settings = Settings(delta_seconds=seconds)

    async def tell() -> float:
        broadcaster = cast(Any, SimpleNamespace(has_subscribers=lambda _: False))
        activity = Activity(new_run("r1"))
        outbox = Outbox(cast(Any, None), broadcaster, Lease("r1", 1, "s1"), settings, StepGate(), activity)
        assert outbox.flush_at() is None
        outbox.emit(Event(EventKind.CONTENT, "r1", 1.0, {"text": "a"}))
        at = outbox.flush_at()
        outbox.close()
        assert at is not None
        return at - asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert seconds - 5 < runner.run(tell()) <= seconds
