"""Makes every model call: streamed, with time limits and retries.

A call always streams, so that the text so far is kept if the run is cancelled. A provider that sends nothing for too
long fails the try. A failed try is retried within a small budget of waiting time, and each retry is reported.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    RetryFeedbackPart,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from musterd.core import clock
from musterd.core.error_logging import log_failure
from musterd.core.errors import ModelFailed
from musterd.core.jsontypes import JsonObject
from musterd.core.metrics import Metrics
from musterd.core.records import Usage
from musterd.core.settings import Settings
from musterd.models.answer_limits import AnswerMeter
from musterd.models.built_in import BuiltInModel, BuiltInStream
from musterd.models.call_progress import CallProgress, OnProgress
from musterd.models.calls_as_text import accepted_by
from musterd.models.failures import CALL_ERRORS, BrokenOff, Failure, explain
from musterd.models.names import LOCAL, SCRIPTED
from musterd.models.prices import price
from musterd.models.stall_timer import StallTimer, silence_limits

# pydantic-ai rewrites a history for its provider (length of call ids, position of system messages), which costs time.
# These providers accept our histories without that, unless a message holds feedback about a malformed answer.
_UNPREPARED_PROVIDERS = frozenset({"openai", SCRIPTED, LOCAL})

log = structlog.get_logger("musterd.models")

FIRST_WAIT_SECONDS = 0.5
"""Wait after the first failed try. It doubles with each further one."""

EVENTS_BETWEEN_LOOKS = 4
"""Events of an answer that are handled between two checks of whether other tasks must run."""

_REASONING_DETAILS = ("reasoning_tokens", "thinking_tokens", "thoughts_tokens")
"""How OpenAI and others, Anthropic, and Gemini call the tokens of reasoning. They are part of the output tokens."""

OnText = Callable[[str, str], None]
"""Called with each delta: text and reasoning. One of them is empty."""

OnRetry = Callable[[int, float, str, bool], None]
"""Called with each failed try that is retried: its number (from 1), the wait in seconds, the reason, and whether text
had arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """A model call's answer.

    :param response: the whole answer, as pydantic-ai has it.
    :param usage: tokens of the successful try.
    :param seconds: from the call to the end of the answer, including waits and failed tries.
    :param first_token_seconds: from the call to the first piece of the answer. None if the answer was empty.
    :param load_seconds: from the call until its model was loaded. None if it did not have to be.
    :param cost: in US dollars. None if the model has no list price.
    :param tries: how often the model was called; 0 if a model of this process was not needed for the answer.
    :param retries: the tries that failed, each with ``failed_at``, ``wait_seconds`` until the next one, and ``reason``.
    :param is_taken_over: whether another run made the call, and a fork of it took the answer over.
    """

    response: ModelResponse
    usage: Usage
    seconds: float
    first_token_seconds: float | None
    load_seconds: float | None = None
    cost: float | None = None
    tries: int = 1
    retries: Sequence[JsonObject] = ()
    is_taken_over: bool = False

    @property
    def spent(self) -> Usage:
        """The tokens that this run used for the answer."""
        return Usage() if self.is_taken_over else self.usage


class ModelCaller:
    """Makes the model calls of a process. One instance limits the concurrent calls of all runs."""

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self._settings = settings
        self._metrics = metrics or Metrics()
        self._calls = asyncio.Semaphore(settings.model_calls)
        self._calls_by_provider: dict[str, asyncio.Semaphore] = {}

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
        """Call ``model`` and return its complete answer.

        Cancelling the caller closes the stream at once.

        :param on_text: called with each delta as it arrives.
        :param on_retry: called before each wait for another try. Text that arrived before it is void.
        :param on_progress: called before the answer of a model that runs in this process: if it has to be loaded
            first, and while it reads the prompt.
        :raises ModelFailed: there is no answer, or it is larger than allowed. The message is safe for clients.
        """
        messages = _prepared(model, messages, parameters)
        outcome, started_at = "failed", clock.monotonic()
        budget, retries = self._settings.model_retry_seconds, list[JsonObject]()
        load_seconds: float | None = None
        try:
            while True:
                current_try = _Try(model, self._settings, on_text, on_progress)
                try:
                    # The provider's limit first: calls that wait for one provider must not block the others.
                    async with self._provider_calls(model), self._calls:
                        if await _load(model, on_progress):
                            load_seconds = clock.monotonic() - started_at
                        response = await current_try.answer(messages, parameters, model_settings)
                    first_event_at = current_try.first_event_at
                    answer = _answer(model, response, started_at, first_event_at, load_seconds, retries)
                    outcome = "answered" if answer.tries else "not needed"
                    self._count(model, answer)
                    _log_cut(model, response)
                    return answer
                except CALL_ERRORS as error:
                    failed_at, failure = clock.now(), explain(error)
                    wait = retry_wait(failure, len(retries) + 1, budget, self._settings)
                    _log_failure(model, error, is_over=wait is None)
                    if wait is None:
                        raise ModelFailed(failure.message, retryable=failure.retryable, retries=retries) from error
                    self._metrics.model_retries.add(model.system, model.model_name)
                    retries.append({"failed_at": failed_at, "wait_seconds": round(wait, 3), "reason": failure.message})
                    on_retry(len(retries), wait, failure.message, current_try.had_text)
                # No semaphore is held from here on: a call that waits for its next try takes no other call's place.
                budget -= wait
                await clock.sleep(wait)
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            if outcome != "not needed":
                self._metrics.model_calls.add(model.system, model.model_name, outcome)
                self._metrics.model_seconds.observe(clock.monotonic() - started_at, model.system, model.model_name)

    def _count(self, model: Model, answer: ModelAnswer) -> None:
        if not answer.tries:
            return
        usage, metrics = answer.usage, self._metrics
        tokens = (
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("reasoning", usage.reasoning_tokens),
            ("cache_read", usage.cache_read_tokens),
            ("cache_write", usage.cache_write_tokens),
        )
        metrics.model_answered(model.system, model.model_name, tokens, answer.cost)
        if answer.first_token_seconds is not None:
            metrics.model_first_seconds.observe(answer.first_token_seconds, model.system, model.model_name)

    def _provider_calls(self, model: Model) -> asyncio.Semaphore:
        semaphore = self._calls_by_provider.get(model.system)
        if semaphore is None:
            semaphore = self._calls_by_provider[model.system] = asyncio.Semaphore(self._settings.provider_calls)
        return semaphore


def retry_wait(failure: Failure, failed_tries: int, budget: float, settings: Settings) -> float | None:
    """Seconds until the next try. None if there is none: the failure is final, no tries are left, or the provider asks
    for too long a wait.

    :param budget: for how many seconds the tries may still wait.
    """
    if not failure.retryable or failed_tries >= settings.model_tries:
        return None
    if failure.retry_after_seconds is not None:
        requested = max(failure.retry_after_seconds, 0.0)
        return requested if requested <= budget else None
    return min(clock.jitter(FIRST_WAIT_SECONDS * 2 ** (failed_tries - 1)), budget)


async def _load(model: Model, on_progress: OnProgress | None) -> bool:
    """Load an embedded model, and report it: it can take longer than the call. Returns False if it was loaded."""
    if not isinstance(model, BuiltInModel) or model.is_loaded:
        return False
    if on_progress is not None:
        on_progress(CallProgress("loading"))
    await model.load()
    if on_progress is not None:
        on_progress(CallProgress("loaded"))
    return True


class _Try:
    """One try of one call."""

    __slots__ = ("_model", "_on_progress", "_on_text", "_settings", "first_event_at", "had_text")

    def __init__(self, model: Model, settings: Settings, on_text: OnText, on_progress: OnProgress | None) -> None:
        self._model = model
        self._settings = settings
        self._on_text = on_text
        self._on_progress = on_progress
        self.first_event_at: float | None = None
        self.had_text = False

    async def answer(
        self,
        messages: list[ModelMessage],
        parameters: ModelRequestParameters,
        model_settings: ModelSettings | None,
    ) -> ModelResponse:
        meter, event_count, slice_began_at = AnswerMeter(self._settings), 0, 0.0
        with StallTimer(*silence_limits(self._model, model_settings, self._settings)) as stall_timer:
            async with self._model.request_stream(messages, model_settings, parameters) as stream:
                if isinstance(stream, BuiltInStream):
                    stream.on_progress = self._on_progress
                async for event in stream:
                    fed_at = stall_timer.feed()
                    if self.first_event_at is None:
                        self.first_event_at = clock.monotonic()
                    # Measured before it is passed on: text beyond the limit must not be stored.
                    meter.add(event)
                    self._report(event)
                    event_count += 1
                    # Events that arrived together are handled without a pause: let other tasks run in between.
                    if not event_count % EVENTS_BETWEEN_LOOKS and fed_at - slice_began_at > clock.SLICE_SECONDS:
                        await clock.yield_to_others()
                        slice_began_at = fed_at
                response = stream.get()
        if response.state != "complete" or (not response.parts and response.finish_reason is None):
            raise BrokenOff
        return response

    def _report(self, event: ModelResponseStreamEvent) -> None:
        if type(event) is PartDeltaEvent:
            delta = event.delta
            if type(delta) is TextPartDelta:
                self._report_text(delta.content_delta, "")
            elif type(delta) is ThinkingPartDelta:
                self._report_text("", delta.content_delta or "")
        elif type(event) is PartStartEvent:
            part = event.part
            if isinstance(part, TextPart):
                self._report_text(part.content, "")
            elif isinstance(part, ThinkingPart):
                self._report_text("", part.content)

    def _report_text(self, text: str, reasoning: str) -> None:
        if text or reasoning:
            self.had_text = True
            self._on_text(text, reasoning)


def _log_failure(model: Model, error: Exception, *, is_over: bool) -> None:
    """Log why there is no answer. Clients get less detail."""
    event = "model call failed" if is_over else "model call failed and will be retried"
    log_failure(event, error, is_over=is_over, provider=model.system, model=model.model_name)


def _log_cut(model: Model, response: ModelResponse) -> None:
    """Log that the answer ends before its end. What there is of it is used all the same."""
    if (reason := response.finish_reason) in ("length", "content_filter"):
        log.warning("model answer cut off", provider=model.system, model=model.model_name, reason=reason)


def _prepared(model: Model, messages: list[ModelMessage], parameters: ModelRequestParameters) -> list[ModelMessage]:
    """The conversation in the form that the model's provider accepts."""
    messages = accepted_by(model, messages, parameters)
    if model.system not in _UNPREPARED_PROVIDERS or _has_retry_feedback(messages):
        return model.prepare_messages(messages, parameters)
    return messages


def _has_retry_feedback(messages: list[ModelMessage]) -> bool:
    """Whether a message holds feedback about a malformed answer."""
    return any(type(part) is RetryFeedbackPart for message in messages for part in message.parts)


def _answer(
    model: Model,
    response: ModelResponse,
    started_at: float,
    first_event_at: float | None,
    load_seconds: float | None,
    retries: Sequence[JsonObject],
) -> ModelAnswer:
    usage = _usage(response.usage)
    # Such a model counts its own tokens. Without any, code has answered: it joined the replies of members, for example.
    is_called = not isinstance(model, BuiltInModel) or usage.input_tokens + usage.output_tokens > 0
    return ModelAnswer(
        response=response,
        usage=usage,
        cost=price(model, usage),
        seconds=clock.monotonic() - started_at,
        first_token_seconds=None if first_event_at is None else first_event_at - started_at,
        load_seconds=load_seconds,
        tries=len(retries) + 1 if is_called else 0,
        retries=retries,
    )


def _usage(usage: RequestUsage) -> Usage:
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=_reasoning_tokens(usage),
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )


def _reasoning_tokens(usage: RequestUsage) -> int:
    details = usage.details or {}
    return usage.output_reasoning_tokens or next((details[name] for name in _REASONING_DETAILS if name in details), 0)
