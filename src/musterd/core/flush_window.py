"""How soon what a model says is of use: text that comes in is collected and told once in a while.

Who collects it says when that is; who reads it from a provider asks, and need not read more often. Nobody has to say.
"""

from collections.abc import Callable
from contextvars import ContextVar

told_at: ContextVar[Callable[[], float | None] | None] = ContextVar("told_at", default=None)
"""Gives when the text that is collected will be told, on the event loop's clock; None: none is."""
