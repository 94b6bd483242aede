"""A caller of models that notes on the span of the call whom it asks, and what, where that is to be recorded."""

import functools

from opentelemetry import trace
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.settings import ModelSettings

from musterd.core import jsontext, semconv
from musterd.models.call import ModelAnswer, ModelCaller, OnRetry, OnText


class TracedCaller(ModelCaller):
    """A caller that tells the span of the call whom it asks.

    :param inner: what makes the calls.
    :param captures_content: whether what is sent and answered is recorded too.
    """

    def __init__(self, inner: ModelCaller, *, captures_content: bool) -> None:
        self._inner = inner
        self._captures = captures_content

    async def stream(
        self,
        model: Model,
        messages: list[ModelMessage],
        parameters: ModelRequestParameters,
        model_settings: ModelSettings | None,
        *,
        on_text: OnText,
        on_retry: OnRetry,
    ) -> ModelAnswer:
        """Call ``model``, as every caller."""
        span = trace.get_current_span()
        span.update_name(f"{semconv.CHAT} {model.model_name}")
        span.set_attributes({semconv.PROVIDER_NAME: model.system, semconv.REQUEST_MODEL: model.model_name})
        if self._captures:
            span.set_attribute(semconv.INPUT_MESSAGES, _as_text(messages))

        def noted(failed_try: int, wait_seconds: float, reason: str, had_text: bool) -> None:
            span.add_event("retry", {"try": failed_try, "wait_seconds": wait_seconds})
            on_retry(failed_try, wait_seconds, reason, had_text)

        answer = await self._inner.stream(model, messages, parameters, model_settings, on_text=on_text, on_retry=noted)
        if self._captures:
            span.set_attribute(semconv.OUTPUT_MESSAGES, _as_text([answer.response]))
        return answer


@functools.cache
def _form() -> InstrumentationSettings:
    """What writes messages as the conventions have them, media left out."""
    return InstrumentationSettings(include_binary_content=False)


def _as_text(messages: list[ModelMessage]) -> str:
    return jsontext.dumps(_form().messages_to_otel_messages(messages))
