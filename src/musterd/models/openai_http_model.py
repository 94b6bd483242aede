"""pydantic-ai's chat model with less repeated work.

It does not prepare the parameters and the tools' schemas at each call, take a lock for each chunk, or copy all parts of
the answer at the end of each part. The results are the same.
"""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import replace
from typing import Self

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import Response, ResponseUsage
from pydantic_ai.messages import ModelResponseStreamEvent
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIStreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.providers import Provider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

MAX_PREPARED_TOOLS = 1024
"""The most tools whose prepared schemas a model caches. When it would exceed them, the cache is cleared."""

MAX_PREPARED_REQUESTS = 64
"""The maximum number of prepared requests that a model caches."""

_NO_USAGE = RequestUsage()

_IMPORTED_BEFORE_CALLS = (Response, ResponseUsage)
"""pydantic-ai compares the usage of each answer with these types. Their imports may be deferred
(:mod:`musterd.models.openai_types`), so they are made here and not during the first call, on the event loop."""

_PreparedRequest = tuple[ModelSettings | None, ModelRequestParameters]

_PROFILE = ModelProfile(may_tokenize_special_tokens_in_content=False)
"""Histories for this model are not prepared (see :mod:`musterd.models.call`), so their special tokens are not marked,
and answers need not be searched for the marks. The search would take 40 ms per megabyte, several times."""


class ChatModel(OpenAIChatModel):
    """An OpenAI chat model that prepares parameters and tool schemas once and not at each call.

    The caches use the identity of objects: a changed tool is a new object, as from ``dataclasses.replace``.
    """

    def __init__(self, name: str, *, provider: Provider[AsyncOpenAI], settings: ModelSettings | None = None) -> None:
        super().__init__(name, provider=provider, settings=settings, profile=_PROFILE)
        self._prepared_tools: dict[int, tuple[ToolDefinition, ToolDefinition]] = {}
        self._prepared_requests: dict[int, tuple[ModelRequestParameters, _PreparedRequest]] = {}

    def prepare_request(
        self, model_settings: ModelSettings | None, model_request_parameters: ModelRequestParameters
    ) -> _PreparedRequest:
        """The settings and parameters of a call. Calls with the same parameters and without settings share them.

        Otherwise each call would hold a kilobyte of its own while it waits for its answer.
        """
        parameters, cache = model_request_parameters, self._prepared_requests
        if model_settings is not None:
            return super().prepare_request(model_settings, parameters)
        entry = cache.get(id(parameters))
        if entry is None or entry[0] is not parameters:
            if len(cache) >= MAX_PREPARED_REQUESTS:
                cache.clear()
            # The entry keeps the parameters alive, so that no other object can get their id.
            entry = cache[id(parameters)] = parameters, super().prepare_request(None, parameters)
        return entry[1]

    def customize_request_parameters(self, model_request_parameters: ModelRequestParameters) -> ModelRequestParameters:
        """The parameters with the tools' schemas in the provider's format."""
        parameters = model_request_parameters
        if not parameters.function_tools or parameters.output_tools or parameters.output_object:
            return super().customize_request_parameters(parameters)
        cache = self._prepared_tools
        entries = [cache.get(id(tool)) for tool in parameters.function_tools]
        prepared_tools = [
            entry[1]
            for entry, tool in zip(entries, parameters.function_tools, strict=True)
            if entry is not None and entry[0] is tool
        ]
        if len(prepared_tools) == len(entries):
            return replace(parameters, function_tools=prepared_tools)
        prepared = super().customize_request_parameters(parameters)
        if len(cache) + len(entries) > MAX_PREPARED_TOOLS:
            cache.clear()
        for tool, prepared_tool in zip(parameters.function_tools, prepared.function_tools, strict=True):
            # The entry keeps the tool alive, so that no other object can get its id.
            cache[id(tool)] = tool, prepared_tool
        return prepared

    @property
    def _streamed_response_cls(self) -> type[OpenAIStreamedResponse]:
        return _StreamedResponse


class _StreamedResponse(OpenAIStreamedResponse):
    """A stream that reads the client's chunks without a lock: the client's stream can be closed during a read.

    It emits only the events that :mod:`musterd.models.call` reads.
    """

    def __aiter__(self) -> AsyncIterator[ModelResponseStreamEvent]:
        if self._event_iterator is None:
            self._event_iterator = self._events()
        return self._event_iterator

    async def _events(self) -> AsyncIterator[ModelResponseStreamEvent]:
        """The events except those that end a part, which are not used here.

        For each of those, pydantic-ai builds all parts so far again, so that the work would grow quadratically.
        """
        events = self._get_event_iterator()
        if self._request_deadline is not None:
            events = self._request_deadline.iterate(events)
        async for event in events:
            yield event
        self._finished = not self.cancelled  # otherwise ``get()`` reports the answer as incomplete

    def _validate_response(self) -> AsyncIterable[ChatCompletionChunk]:
        return _Chunks(self._response, self._response.source)

    def _map_usage(self, response: ChatCompletionChunk) -> RequestUsage:
        return _NO_USAGE if response.usage is None else super()._map_usage(response)

    def _add_usage(self, usage: RequestUsage, *, reported: bool, cumulative: bool = False) -> None:
        if reported:
            super()._add_usage(usage, reported=reported, cumulative=cumulative)


class _Chunks:
    """The chunk that was peeked at, then the chunks of the source, without the peeking stream's lock for each chunk."""

    __slots__ = ("_peeked", "_source")

    def __init__(self, peeked: AsyncIterator[ChatCompletionChunk], source: AsyncIterator[ChatCompletionChunk]) -> None:
        self._peeked: AsyncIterator[ChatCompletionChunk] | None = peeked
        self._source = source

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        peeked, self._peeked = self._peeked, None
        return await anext(self._source if peeked is None else peeked)
