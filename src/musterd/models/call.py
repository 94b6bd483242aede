"""The one way a model is called: streamed, watched, tried again.

A call always streams, so that what was said is kept when a run is cancelled. A silent provider is noticed
(first byte, then between chunks), a failing one is tried again within a small budget of waiting, and every
try is told.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

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
from musterd.core.metrics import Metrics
from musterd.core.records import Usage
from musterd.core.settings import Settings
from musterd.models.answer_limits import AnswerMeter
from musterd.models.failures import CALL_ERRORS, BrokenOff, Failure, Stalled, explain
from musterd.models.names import LOCAL, SCRIPTED
from musterd.models.prices import price

# pydantic-ai rewrites a history for the provider it goes to (lengths of call ids, places of system messages).
# These take ours as it is, but for what says that an answer had not the form asked for; the rewriting is not free.
_TAKE_AS_IS = frozenset({"openai", SCRIPTED, LOCAL})

FIRST_WAIT_SECONDS = 0.5
"""Wait after the first failed try; it doubles with each."""

SLICE_SECONDS = 0.01
"""How long the events of one answer may be handled before other work of the process has its turn."""
EVENTS_BETWEEN_LOOKS = 4
"""Events of an answer that are handled between two looks at the clock for that."""

OnText = Callable[[str, str], None]
"""Told each delta: text, reasoning. One of them is empty."""

OnRetry = Callable[[int, float, str, bool], None]
"""Told each failed try that is tried again: which (from 1), the wait in seconds, why, whether text had
come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """One answered model call.

    :param response: the whole answer, as pydantic-ai has it.
    :param usage: tokens of the try that answered.
    :param seconds: from the call to the end of the answer, waits and failed tries included.
    :param first_token_seconds: from the call to the first piece of the answer; None when it was empty.
    :param cost: in US dollars; None where its model has no list price.
    """

    response: ModelResponse
    usage: Usage
    seconds: float
    first_token_seconds: float | None
    cost: float | None = None


class ModelCaller:
    """Calls models for a process. Made once: it holds what bounds the calls of all runs together."""

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
    ) -> ModelAnswer:
        """Call ``model`` and give its answer once it is whole.

        Cancelling the caller closes the stream at once.

        :param on_text: told every delta as it comes.
        :param on_retry: told before each wait for another try; text that had come is void then.
        :raises ModelFailed: there is no answer, or a larger one than allowed, in words that a client may read.
        """
        if model.system not in _TAKE_AS_IS or _corrects(messages):
            messages = model.prepare_messages(messages, parameters)
        outcome, started = "failed", clock.monotonic()
        budget, failed_tries = self._settings.model_retry_seconds, 0
        try:
            while True:
                one = _Try(model, self._settings, on_text)
                try:
                    async with self._provider_calls(model), self._calls:
                        response = await one.answer(messages, parameters, model_settings)
                    answer, outcome = _answer(model, response, started, one.first_at), "answered"
                    self._count(model, answer)
                    return answer
                except CALL_ERRORS as error:
                    failed_tries += 1
                    failure = explain(error)
                    wait = self._wait(failure, failed_tries, budget)
                    _log_failure(model, error, is_over=wait is None)
                    if wait is None:
                        raise ModelFailed(failure.message, retryable=failure.retryable) from error
                    self._metrics.model_retries.add(model.system, model.model_name)
                    on_retry(failed_tries, wait, failure.message, one.had_text)
                budget -= wait
                await clock.sleep(wait)
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            self._metrics.model_calls.add(model.system, model.model_name, outcome)
            self._metrics.model_seconds.observe(clock.monotonic() - started, model.system, model.model_name)

    def _count(self, model: Model, answer: ModelAnswer) -> None:
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
        calls = self._calls_by_provider.get(model.system)
        if calls is None:
            calls = self._calls_by_provider[model.system] = asyncio.Semaphore(self._settings.provider_calls)
        return calls

    def _wait(self, failure: Failure, failed_tries: int, budget: float) -> float | None:
        """Seconds until the next try; None when there is none: final, out of tries, or asked to wait too
        long."""
        if not failure.retryable or failed_tries >= self._settings.model_tries:
            return None
        if failure.retry_after_seconds is not None:
            asked = max(failure.retry_after_seconds, 0.0)
            return asked if asked <= budget else None
        return min(clock.jitter(FIRST_WAIT_SECONDS * 2 ** (failed_tries - 1)), budget)


class _Try:
    """One try of one call."""

    __slots__ = ("_model", "_on_text", "_settings", "first_at", "had_text")

    def __init__(self, model: Model, settings: Settings, on_text: OnText) -> None:
        self._model = model
        self._settings = settings
        self._on_text = on_text
        self.first_at: float | None = None
        self.had_text = False

    async def answer(
        self,
        messages: list[ModelMessage],
        parameters: ModelRequestParameters,
        model_settings: ModelSettings | None,
    ) -> ModelResponse:
        meter, events, slice_began = AnswerMeter(self._settings), 0, 0.0
        with _Watch(*_patience(self._model, self._settings)) as watch:
            async with self._model.request_stream(messages, model_settings, parameters) as stream:
                async for event in stream:
                    fed_at = watch.feed()
                    if self.first_at is None:
                        self.first_at = clock.monotonic()
                    meter.add(event)
                    self._tell(event)
                    events += 1
                    # Events that arrived together come without a pause: let other tasks run in between.
                    if not events % EVENTS_BETWEEN_LOOKS and fed_at - slice_began > SLICE_SECONDS:
                        await clock.yield_to_others()
                        slice_began = fed_at
                response = stream.get()
        if response.state != "complete" or (not response.parts and response.finish_reason is None):
            raise BrokenOff
        return response

    def _tell(self, event: ModelResponseStreamEvent) -> None:
        if type(event) is PartDeltaEvent:
            delta = event.delta
            if type(delta) is TextPartDelta:
                self._say(delta.content_delta, "")
            elif type(delta) is ThinkingPartDelta:
                self._say("", delta.content_delta or "")
        elif type(event) is PartStartEvent:
            part = event.part
            if isinstance(part, TextPart):
                self._say(part.content, "")
            elif isinstance(part, ThinkingPart):
                self._say("", part.content)

    def _say(self, text: str, reasoning: str) -> None:
        if text or reasoning:
            self.had_text = True
            self._on_text(text, reasoning)


def _log_failure(model: Model, error: Exception, *, is_over: bool) -> None:
    """Log why there is no answer: clients are told less."""
    words = "model call failed" if is_over else "model call failed, and is made again"
    log_failure(words, error, is_over=is_over, provider=model.system, model=model.model_name)


def _corrects(messages: list[ModelMessage]) -> bool:
    """Whether the model is told of an answer that had not the form asked for."""
    return any(type(part) is RetryFeedbackPart for message in messages for part in message.parts)


def _patience(model: Model, settings: Settings) -> tuple[float, float]:
    """How long the model may be silent before its answer and within it, in seconds."""
    if model.system == LOCAL:  # it cannot get lost, and on a busy machine it is slow; the run's own limit holds
        return settings.run_seconds, settings.run_seconds
    return settings.model_first_byte_seconds, settings.model_chunk_seconds


class _Watch:
    """Cancels the task inside when nothing was fed for too long, and turns that into :class:`Stalled`.

    As ``asyncio.timeout``, but feeding costs one reading of the clock and not a new timer: a stream has
    thousands of chunks.
    """

    __slots__ = ("_cancelling", "_chunk_seconds", "_fed_at", "_limit", "_loop", "_stalled", "_task", "_timer")

    def __init__(self, first_seconds: float, chunk_seconds: float) -> None:
        self._limit = first_seconds
        self._chunk_seconds = chunk_seconds
        self._loop = asyncio.get_running_loop()
        self._fed_at: float | None = None
        self._stalled = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._timer = self._loop.call_later(self._limit, self._check)
        return self

    def feed(self) -> float:
        """Note that something came; the time on the event loop's clock."""
        if self._fed_at is None and self._chunk_seconds < self._limit:
            self._timer.cancel()
            self._timer = self._loop.call_later(self._chunk_seconds, self._check)
        self._fed_at = self._loop.time()
        self._limit = self._chunk_seconds
        return self._fed_at

    def _check(self) -> None:
        if self._fed_at is not None:
            left = self._fed_at + self._limit - self._loop.time()
            if left > 0.001:
                self._timer = self._loop.call_later(left, self._check)
                return
        self._stalled = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if not self._stalled:
            return
        # Only our own cancel becomes a failure; somebody else's, come at the same time, stays a cancel.
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise Stalled(self._limit, began=self._fed_at is not None) from error


def _answer(model: Model, response: ModelResponse, started: float, first_at: float | None) -> ModelAnswer:
    usage = _usage(response.usage)
    return ModelAnswer(
        response=response,
        usage=usage,
        cost=price(model, usage),
        seconds=clock.monotonic() - started,
        first_token_seconds=None if first_at is None else first_at - started,
    )


def _usage(usage: RequestUsage) -> Usage:
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.details.get("reasoning_tokens", 0) if usage.details else 0,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
