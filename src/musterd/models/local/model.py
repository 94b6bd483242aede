"""The pydantic-ai model ``local``: the interface of the embedded model to the rest of musterd."""

import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage, ModelResponseStreamEvent
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from musterd.core import clock, jsontext
from musterd.core.settings import Settings
from musterd.models.built_in import BuiltInModel, BuiltInStream
from musterd.models.call_progress import CallProgress
from musterd.models.local import decode
from musterd.models.local.llama import SLOTS
from musterd.models.local.runtime import Runtime
from musterd.models.local.server_process import ServerProcess
from musterd.models.local.turn import Prompter, Turn
from musterd.models.local.weights import require
from musterd.models.names import LOCAL
from musterd.models.plain_messages import plain_messages, plain_tools

_runtimes: dict[tuple[str, str], Runtime] = {}
_runtimes_lock = threading.Lock()


class LocalModel(BuiltInModel):
    """The embedded model. Loading begins with :meth:`warm` or the first call, once per process.

    :raises DeclarationError: packages, weights or memory are missing.
    """

    name = LOCAL
    reads_media = False

    def __init__(self, settings: Settings, runtime: Runtime | None = None) -> None:
        super().__init__()
        if runtime is None:
            require(settings)
            runtime = _runtime(settings)
        self._runtime = runtime
        self._bias: dict[tuple[str, ...], list[list[float]]] = {}

    @property
    def is_loaded(self) -> bool:
        """Whether the weights are in memory and the common prompt prefixes are read."""
        return self._runtime.is_loaded

    async def load(self) -> None:
        """Wait until the weights are loaded; start loading if necessary.

        :raises ModelFailed: the model cannot be loaded.
        """
        await self._runtime.loaded()

    def warm(self) -> None:
        """Start loading the model and reading the common prompt prefixes in the background."""
        self._runtime.start()

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Answer in pieces. Leaving the block ends the generation within one token.

        :raises ModelFailed: the model cannot be loaded, or the request does not fit.
        """
        output = model_request_parameters.output_object
        turn = Turn(
            messages=plain_messages(messages, model_request_parameters),
            functions=[tool["function"] for tool in plain_tools(model_request_parameters)],
            bias=self._bias,
            schema=output.json_schema if output else None,
        )
        prompter = Prompter(self._runtime)
        stream = LocalStream(model_request_parameters=model_request_parameters, turn=turn, prompter=prompter)
        try:
            yield stream
        finally:
            await stream.close_stream()


@dataclass
class LocalStream(BuiltInStream):
    """The stream of one turn."""

    name = LOCAL
    turn: Turn
    prompter: Prompter

    def __post_init__(self) -> None:
        self._pieces = self.turn.run(self.prompter)
        self.prompter.on_read = self._prompt_read

    def _prompt_read(self, read_tokens: int, prompt_tokens: int) -> None:
        if self.on_progress is not None:
            self.on_progress(CallProgress("reading", read_tokens, prompt_tokens))

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        parts = self._parts_manager
        call_count = 0
        async with aclosing(self._pieces) as pieces:
            async for piece in pieces:
                if isinstance(piece, str):
                    for event in parts.handle_text_delta(vendor_part_id="content", content=piece):
                        yield event
                    continue
                call_count += 1
                for event in parts.handle_tool_call_delta_events(
                    vendor_part_id=f"call {call_count}",
                    tool_name=piece.name,
                    args=jsontext.dumps(piece.args),
                    tool_call_id=f"call_{clock.new_id()}",
                ):
                    yield event
        usage = self.prompter.usage
        self._usage = RequestUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
        )
        self.finish_reason = "tool_call" if call_count else "stop"

    async def close_stream(self) -> None:
        """End the generation."""
        await self._pieces.aclose()


def _runtime(settings: Settings) -> Runtime:
    """The runtime for the weights in ``settings``. There is one per process, because it takes gigabytes."""
    key = (settings.local_model, settings.local_cache)
    with _runtimes_lock:
        if key not in _runtimes:
            _runtimes[key] = Runtime(lambda: ServerProcess(settings, SLOTS), _warm_up())
        return _runtimes[key]


def _warm_up() -> list[tuple[str, decode.Body]]:
    """A short prompt of each kind. Their prefixes are the same for all runs."""
    function = {"name": "look", "description": "Look.", "parameters": {"type": "object", "properties": {}}}
    prompts = {
        "choose": decode.routing_prompt("x", ["Reader: reads"]),
        "fill": decode.arguments_prompt(function, "x"),
        "tell": decode.answer_prompt("x", ["x"]),
    }
    return [(key, {**prompt, "max_tokens": 1}) for key, prompt in prompts.items()]
