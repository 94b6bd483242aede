"""The model ``scripted``: deterministic, free and instant. For demos and tests; what it says is in ``script``."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponseStreamEvent
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from musterd.core import clock, jsontext
from musterd.models.built_in import BuiltInModel, BuiltInStream
from musterd.models.names import SCRIPTED
from musterd.models.plain_messages import plain_messages, plain_tools
from musterd.models.script import INPUT_TOKENS, OUTPUT_TOKENS, Plan, plan


class ScriptedModel(BuiltInModel):
    """A pydantic-ai model that follows the script."""

    name = SCRIPTED

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Answer word by word.

        :raises ModelHTTPError: the script says so.
        """
        planned = plan(plain_messages(messages, model_request_parameters), plain_tools(model_request_parameters))
        if planned.sleep_seconds:
            await clock.sleep(planned.sleep_seconds)
        if planned.error_status is not None:
            raise ModelHTTPError(planned.error_status, SCRIPTED, {"message": planned.error_message})
        yield ScriptedStream(model_request_parameters=model_request_parameters, planned=planned)


@dataclass
class ScriptedStream(BuiltInStream):
    """One planned turn as a stream."""

    name = SCRIPTED
    planned: Plan

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        parts = self._parts_manager
        self._usage = RequestUsage(input_tokens=INPUT_TOKENS, output_tokens=OUTPUT_TOKENS)
        for index, call in enumerate(self.planned.calls):
            for event in parts.handle_tool_call_delta_events(
                vendor_part_id=index,
                tool_name=call.name,
                args=jsontext.dumps(call.args),
                tool_call_id=f"call_{clock.new_id()}",
            ):
                yield event
        if not self.planned.calls:
            for piece in self.planned.pieces:
                if self.planned.word_seconds:
                    await clock.sleep(self.planned.word_seconds)
                for event in parts.handle_text_delta(vendor_part_id="content", content=piece):
                    yield event
        self.finish_reason = "tool_call" if self.planned.calls else "stop"

    async def close_stream(self) -> None:
        """Nothing is open."""
