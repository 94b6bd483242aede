"""Ends the try of a model call whose provider sends nothing for too long."""

import asyncio
from collections.abc import Callable
from contextvars import Token
from types import TracebackType
from typing import Any, Self

from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings, merge_model_settings

from musterd.core import received_data
from musterd.core.settings import Settings
from musterd.models.failures import Stalled
from musterd.models.names import LOCAL


def silence_limits(model: Model, model_settings: ModelSettings | None, settings: Settings) -> tuple[float, float]:
    """How many seconds the model's provider may send nothing, before the answer and within it.

    :param model_settings: the settings of the call. They come before the model's own. A longer ``timeout`` among them
        replaces both limits.
    """
    if model.system == LOCAL:  # it has no connection to lose and is slow on a busy machine: the run's limit is enough
        return settings.run_seconds, settings.run_seconds
    timeout = (merge_model_settings(model.settings, model_settings) or {}).get("timeout")
    seconds = _read_seconds(timeout)
    return max(settings.model_first_byte_seconds, seconds), max(settings.model_chunk_seconds, seconds)


def _read_seconds(timeout: Any) -> float:
    """How long a read may take according to ``timeout``: seconds or a Timeout of httpx. 0 if it does not say."""
    seconds = getattr(timeout, "read", timeout)
    return float(seconds) if isinstance(seconds, int | float) else 0.0


class StallTimer:
    """Cancels the task inside if it was not fed for too long, and turns the cancel into :class:`Stalled`.

    Like ``asyncio.timeout``, but feeding reads the clock once and does not set a new timer, because a stream has
    thousands of chunks. Data that arrives for the requests inside feeds it too.
    """

    __slots__ = (
        "_cancelling",
        "_chunk_seconds",
        "_fed_at",
        "_has_begun",
        "_limit",
        "_loop",
        "_stalled",
        "_task",
        "_timer",
        "_token",
    )

    def __init__(self, first_seconds: float, chunk_seconds: float) -> None:
        self._limit = first_seconds
        self._chunk_seconds = chunk_seconds
        self._loop = asyncio.get_running_loop()
        self._has_begun = False
        self._stalled = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._fed_at = self._loop.time()
        self._timer = self._loop.call_later(self._limit, self._check)
        self._token: Token[Callable[[], None] | None] = received_data.on_data.set(self._note_data)
        return self

    def feed(self) -> float:
        """Note that a piece of the answer arrived. Returns the time of the event loop's clock."""
        self._fed_at = self._loop.time()
        if not self._has_begun:
            self._has_begun = True
            # Only the first piece may need an earlier timer. Later ones move the deadline; ``_check`` sets a new timer.
            if self._chunk_seconds < self._limit:
                self._timer.cancel()
                self._timer = self._loop.call_later(self._chunk_seconds, self._check)
            self._limit = self._chunk_seconds
        return self._fed_at

    def _note_data(self) -> None:
        """Note that data arrived. Before the first piece of the answer, the longer limit still applies: some providers
        announce an answer at once and then send nothing while the model reasons."""
        self._fed_at = self._loop.time()

    def _check(self) -> None:
        left = self._fed_at + self._limit - self._loop.time()
        # The event loop may fire a timer a little early; so short a rest is not worth another one.
        if left > 0.001:
            self._timer = self._loop.call_later(left, self._check)
            return
        self._stalled = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        received_data.on_data.reset(self._token)
        self._timer.cancel()
        if not self._stalled:
            return
        # Only our own cancel becomes a failure. If the task was also cancelled from outside, it stays cancelled.
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise Stalled(self._limit, began=self._has_begun) from error
