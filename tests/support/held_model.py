"""The scripted model, which records its conversations and which tests can block."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai import ModelHTTPError, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponseStreamEvent
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings

from musterd.models.plain_messages import plain_messages
from musterd.models.scripted import ScriptedModel


@dataclass
class Hold:
    """A point at which the model waits.

    :param after: the number of events of its answer (words or calls) that it emits first.
    """

    after: int
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_here(self) -> None:
        self.reached.set()
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.stopped.set()
            raise

    def release(self) -> None:
        """Let the model continue, now and at each later time."""
        self.released.set()


class HeldModel(ScriptedModel):
    """Follows the script, and waits if a message begins with a held word.

    ``calls`` are the conversations that it received, as pydantic-ai messages.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[ModelMessage]] = []
        self._parameters: list[ModelRequestParameters] = []
        self._holds: dict[str, Hold] = {}

    def hold(self, word: str, after: int = 0) -> Hold:
        """Wait in every answer to a user message that begins with ``word``."""
        hold = self._holds[word] = Hold(after)
        return hold

    def hold_of(self, word: str) -> Hold:
        """The hold of a held word."""
        return self._holds[word]

    def release(self) -> None:
        """Release all holds."""
        for hold in self._holds.values():
            hold.release()

    def conversation(self, call: int = -1) -> list[dict[str, Any]]:
        """One conversation that it received, as ``role``/``content`` objects."""
        return plain_messages(self.calls[call], self._parameters[call])

    def _hold_for(self, messages: Sequence[dict[str, Any]]) -> Hold | None:
        text = next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")
        return next((hold for word, hold in self._holds.items() if text.startswith(word)), None)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        self.calls.append(list(messages))
        self._parameters.append(model_request_parameters)
        hold = self._hold_for(plain_messages(messages, model_request_parameters))
        request = super().request_stream(messages, model_settings, model_request_parameters, run_context)
        async with AsyncExitStack() as stack:
            try:
                stream = await stack.enter_async_context(request)
            except ModelHTTPError:
                if hold is not None:
                    await hold.wait_here()  # the error comes in place of the answer
                raise
            if hold is not None:
                _hold_back(stream, hold)
            yield stream


def _hold_back(stream: StreamedResponse, hold: Hold) -> None:
    whole = stream._get_event_iterator

    async def in_two_parts() -> AsyncIterator[ModelResponseStreamEvent]:
        count = 0
        async for event in whole():
            if count == hold.after:
                await hold.wait_here()
            count += 1
            yield event

    vars(stream)["_get_event_iterator"] = in_two_parts
