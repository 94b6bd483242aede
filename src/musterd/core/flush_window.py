"""Lets a provider client read an answer just in time for the next flush of text deltas.

The outbox collects deltas and emits them once per window. It publishes here when that happens, so a provider client can
leave data unread until shortly before. See decision 002.
"""

from collections.abc import Callable
from contextvars import ContextVar

next_flush_at: ContextVar[Callable[[], float | None] | None] = ContextVar("next_flush_at", default=None)
"""Returns the time of the next flush on the event loop's clock, or None if no text is waiting."""
