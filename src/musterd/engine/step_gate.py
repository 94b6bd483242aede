"""The gate that each step of an attempt's loop passes before it begins."""

import asyncio
from dataclasses import dataclass

from musterd.loop.task_abandonment import is_cancelled


@dataclass(slots=True)
class StepGate:
    """Whether the loop of an attempt may begin another step.

    A cancel of the loop's task is not enough to stop it, because the code that it awaits may swallow the cancel.

    :param is_stopped: whether the loop has to end. Its results are no longer stored.
    :param is_handing_over: whether another attempt is to go on. Steps under way finish and are stored.
    """

    is_stopped: bool = False
    is_handing_over: bool = False

    @property
    def is_closed(self) -> bool:
        """Whether the loop has to end, or only the calling part of it: a member may be stopped alone."""
        return self.is_stopped or is_cancelled()

    def require_open(self) -> None:
        """Raise CancelledError if the loop has to end, so that no further step begins."""
        if self.is_closed:
            raise asyncio.CancelledError
