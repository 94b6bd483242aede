"""Exceptions that tools raise to control how a failure is handled."""

from musterd.core.errors import MusterdError


class ToolFailed(MusterdError):
    """The tool says what went wrong; nothing of it belongs into the log."""

    keeps_state = False
    """Whether what the call changed in the session state counts nevertheless. It does for exceptions of Agno."""


class RetryTool(ToolFailed):
    """Nothing was done: the call may be made again. A tool with `retries` is called again, whatever else it does."""


class StopRun(ToolFailed):
    """The run ends with this call, and the message is its answer. Raised for Agno's exception of that meaning."""


class OutcomeUnknown(MusterdError):
    """The tool cannot say whether it took effect: the call is treated as one that a crash cut off."""
