"""The model ``scripted`` for demos and tests: deterministic, free and instant. Its answers come from ``script``."""

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
from musterd.models.scripted_plan import INPUT_TOKENS, OUTPUT_TOKENS, Plan, plan


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

        :raises ModelHTTPError: the script has an ``ERROR`` directive.
        """
        turn_plan = plan(plain_messages(messages, model_request_parameters), plain_tools(model_request_parameters))
        if turn_plan.sleep_seconds:
            await clock.sleep(turn_plan.sleep_seconds)
        if turn_plan.error_status is not None:
            raise ModelHTTPError(turn_plan.error_status, SCRIPTED, {"message": turn_plan.error_message})
        yield ScriptedStream(model_request_parameters=model_request_parameters, plan=turn_plan)


@dataclass
class ScriptedStream(BuiltInStream):
    """The stream of one planned turn."""

    name = SCRIPTED
    plan: Plan

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        parts = self._parts_manager
        self._usage = RequestUsage(input_tokens=INPUT_TOKENS, output_tokens=OUTPUT_TOKENS)
        for index, call in enumerate(self.plan.calls):
            for event in parts.handle_tool_call_delta_events(
                vendor_part_id=index,
                tool_name=call.name,
                args=jsontext.dumps(call.args),
                tool_call_id=f"call_{clock.new_id()}",
            ):
                yield event
        if not self.plan.calls:
            for piece in self.plan.pieces:
                if self.plan.word_seconds:
                    await clock.sleep(self.plan.word_seconds)
                for event in parts.handle_text_delta(vendor_part_id="content", content=piece):
                    yield event
        self.finish_reason = "tool_call" if self.plan.calls else "stop"

    async def close_stream(self) -> None:
        """Do nothing: the stream holds no resources."""
