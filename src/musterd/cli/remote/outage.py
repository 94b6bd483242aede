"""How long a server has not answered."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from musterd.core import clock

if TYPE_CHECKING:
    import httpx2

NOTICE_SECONDS = 1.0
"""How long an answer may take before it counts as missing."""


class Outage:
    """How long a server has not answered, as the hooks of an HTTP client see it.

    It begins with the first request that gets no answer or one with a 5xx, because the client sends such a request
    again. Every other answer ends it, also an error such as 409.
    """

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self._has_failed = False

    @property
    def hooks(self) -> dict[str, list[Callable[..., Any]]]:
        """``event_hooks`` of the client."""
        return {"request": [self._note_request], "response": [self._note_response]}

    @property
    def seconds(self) -> float:
        """How long it lasts; 0 if the server answers."""
        asked_at = self._asked_at  # read once, because another thread may reset it
        seconds = 0.0 if asked_at is None else clock.monotonic() - asked_at
        return seconds if self._has_failed or seconds >= NOTICE_SECONDS else 0.0

    def _note_request(self, request: "httpx2.Request") -> None:
        self._has_failed = self._asked_at is not None  # the request before it got no answer, and is sent again
        if self._asked_at is None:
            self._asked_at = clock.monotonic()

    def _note_response(self, response: "httpx2.Response") -> None:
        if not response.is_server_error:
            self._asked_at, self._has_failed = None, False
