"""Lets the caller of a provider know that data arrives, also while it is no part of an answer yet.

A provider whose model reasons for minutes sends comments and pings meanwhile. SDKs drop them, so the connection reports
each read here, and :mod:`musterd.models.stall_timer` does not take such a provider for a silent one.
"""

from collections.abc import Callable
from contextvars import ContextVar

on_data: ContextVar[Callable[[], None] | None] = ContextVar("on_data", default=None)
"""Called with each read of a response that is requested in this context."""


def ignore() -> None:
    """For a response whose caller does not wait for data."""
