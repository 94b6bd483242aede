"""pydantic-ai's chat model with less repeated work: for each call its tools' schemas, for each chunk a lock, for each
part of an answer a copy of all its parts. What is left out changes no result.
"""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import replace
from typing import Self

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk
from pydantic_ai.messages import ModelResponseStreamEvent
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIStreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.providers import Provider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

TOOLS_KEPT = 1024
"""Tools whose prepared schemas a model keeps; beyond it, it begins anew."""

_NO_USAGE = RequestUsage()

_PROFILE = ModelProfile(may_tokenize_special_tokens_in_content=False)
"""The histories that this model is sent are not prepared (:mod:`musterd.models.call`), so their special tokens are not
marked, and answers need not be searched for the marks: that would take 40 ms for each megabyte, several times."""


class ChatModel(OpenAIChatModel):
    """An OpenAI chat model that prepares a tool's schema once and not at each call.

    A tool is known by its object: whoever changes a tool makes a new one, as ``dataclasses.replace`` does.
    """

    def __init__(self, name: str, *, provider: Provider[AsyncOpenAI], settings: ModelSettings | None = None) -> None:
        super().__init__(name, provider=provider, settings=settings, profile=_PROFILE)
        self._tools: dict[int, tuple[ToolDefinition, ToolDefinition]] = {}

    def customize_request_parameters(self, model_request_parameters: ModelRequestParameters) -> ModelRequestParameters:
        """The parameters with the tools' schemas as the provider wants them."""
        asked = model_request_parameters
        if not asked.function_tools or asked.output_tools or asked.output_object:
            return super().customize_request_parameters(asked)
        known = self._tools
        found = [known.get(id(tool)) for tool in asked.function_tools]
        ready = [
            pair[1]
            for pair, tool in zip(found, asked.function_tools, strict=True)
            if pair is not None and pair[0] is tool
        ]
        if len(ready) == len(found):
            return replace(asked, function_tools=ready)
        prepared = super().customize_request_parameters(asked)
        if len(known) + len(found) > TOOLS_KEPT:
            known.clear()
        for tool, made in zip(asked.function_tools, prepared.function_tools, strict=True):
            known[id(tool)] = tool, made
        return prepared

    @property
    def _streamed_response_cls(self) -> type[OpenAIStreamedResponse]:
        return _Streamed


class _Streamed(OpenAIStreamedResponse):
    """A stream whose chunks come straight from the client: closing that is safe while it is read.

    The events that it gives are those that :mod:`musterd.models.call` reads.
    """

    def __aiter__(self) -> AsyncIterator[ModelResponseStreamEvent]:
        if self._event_iterator is None:
            self._event_iterator = self._events()
        return self._event_iterator

    async def _events(self) -> AsyncIterator[ModelResponseStreamEvent]:
        """The events without those that end a part: for each, pydantic-ai makes all parts so far again, so the
        work would grow with the square of their number. Nothing here reads them.
        """
        events = self._get_event_iterator()
        if self._request_deadline is not None:
            events = self._request_deadline.iterate(events)
        async for event in events:
            yield event
        self._finished = not self.cancelled  # ``get()`` calls an answer that is not finished incomplete

    def _validate_response(self) -> AsyncIterable[ChatCompletionChunk]:
        return _Chunks(self._response, self._response.source)

    def _map_usage(self, response: ChatCompletionChunk) -> RequestUsage:
        return _NO_USAGE if response.usage is None else super()._map_usage(response)

    def _add_usage(self, usage: RequestUsage, *, reported: bool, cumulative: bool = False) -> None:
        if reported:
            super()._add_usage(usage, reported=reported, cumulative=cumulative)


class _Chunks:
    """The chunk that was peeked at, then those of the source, without the peeker's lock around each."""

    __slots__ = ("_peeked", "_source")

    def __init__(self, peeked: AsyncIterator[ChatCompletionChunk], source: AsyncIterator[ChatCompletionChunk]) -> None:
        self._peeked: AsyncIterator[ChatCompletionChunk] | None = peeked
        self._source = source

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        peeked, self._peeked = self._peeked, None
        return await anext(self._source if peeked is None else peeked)
