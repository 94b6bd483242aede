"""Trace context: the trace that a request, run or call belongs to, as a W3C ``traceparent`` header.

See https://www.w3.org/TR/trace-context/. Code that sends requests gets the headers here and does not need to know
whether spans are recorded.
"""

import re
from contextvars import ContextVar

HEADER = "traceparent"
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16

incoming: ContextVar[str | None] = ContextVar("incoming_traceparent", default=None)
"""The ``traceparent`` of the request that is being handled."""
outgoing: ContextVar[str | None] = ContextVar("outgoing_traceparent", default=None)
"""The ``traceparent`` for requests that are sent from here; None if no spans are recorded."""


def parse_traceparent(header: str) -> str | None:
    """Normalize a ``traceparent`` header; None if it is not valid.

    Of later versions only the known fields are used, as the standard requires.
    """
    match = _TRACEPARENT.fullmatch(header.strip())
    if match is None:
        return None
    version, trace, span, flags, rest = match.groups()
    if version == "ff" or trace == _NO_TRACE or span == _NO_SPAN or (version == "00" and rest):
        return None
    return f"00-{trace}-{span}-{int(flags, 16) & 1:02x}"


def trace_id(traceparent: str) -> str:
    """The trace id in ``traceparent``."""
    return traceparent.split("-")[1]


def outgoing_headers() -> dict[str, str]:
    """The headers to add to a request that is sent from here."""
    traceparent = outgoing.get()
    return {} if traceparent is None else {HEADER: traceparent}
