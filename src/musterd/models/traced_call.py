"""A model caller that records the model, and if enabled the messages, on the call's span."""

import functools

from opentelemetry import trace
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.settings import ModelSettings

from musterd.core import jsontext, semconv
from musterd.models.call import ModelAnswer, ModelCaller, OnRetry, OnText
from musterd.models.call_progress import OnProgress


class TracedCaller(ModelCaller):
    """Records each model call on the current span.

    :param inner: makes the calls.
    :param captures_content: whether to record the messages and the answer as well.
    """

    def __init__(self, inner: ModelCaller, *, captures_content: bool) -> None:
        self._inner = inner
        self._captures_content = captures_content

    async def stream(
        self,
        model: Model,
        messages: list[ModelMessage],
        parameters: ModelRequestParameters,
        model_settings: ModelSettings | None,
        *,
        on_text: OnText,
        on_retry: OnRetry,
        on_progress: OnProgress | None = None,
    ) -> ModelAnswer:
        """Call ``model`` like :meth:`ModelCaller.stream`."""
        span = trace.get_current_span()
        span.update_name(f"{semconv.CHAT} {model.model_name}")
        span.set_attributes({semconv.PROVIDER_NAME: model.system, semconv.REQUEST_MODEL: model.model_name})
        if self._captures_content:
            span.set_attribute(semconv.INPUT_MESSAGES, _as_text(messages))

        def note_retry(failed_try: int, wait_seconds: float, reason: str, had_text: bool) -> None:
            span.add_event("retry", {"try": failed_try, "wait_seconds": wait_seconds})
            on_retry(failed_try, wait_seconds, reason, had_text)

        answer = await self._inner.stream(
            model, messages, parameters, model_settings, on_text=on_text, on_retry=note_retry, on_progress=on_progress
        )
        if self._captures_content:
            span.set_attribute(semconv.OUTPUT_MESSAGES, _as_text([answer.response]))
        return answer


@functools.cache
def _instrumentation() -> InstrumentationSettings:
    """pydantic-ai's conversion of messages to OpenTelemetry's conventions, without media."""
    return InstrumentationSettings(include_binary_content=False)


def _as_text(messages: list[ModelMessage]) -> str:
    return jsontext.dumps(_instrumentation().messages_to_otel_messages(messages))
