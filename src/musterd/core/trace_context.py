"""Trace context: which trace a request, a run, a call belongs to, as W3C's ``traceparent`` says it.

https://www.w3.org/TR/trace-context/. Rooms that send requests ask here what to send along, and need not know
whether anybody records spans.
"""

import re
from contextvars import ContextVar

HEADER = "traceparent"
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16

incoming: ContextVar[str | None] = ContextVar("incoming_traceparent", default=None)
"""What the request said that is answered here."""
outgoing: ContextVar[str | None] = ContextVar("outgoing_traceparent", default=None)
"""What a request says that is made from here; None: nothing, nobody records spans."""


def parsed(header: str) -> str | None:
    """A ``traceparent`` as this server goes on with it, or None where it is none.

    Of a later version what this one knows is taken, as the standard asks for.
    """
    found = _FORM.fullmatch(header.strip())
    if found is None:
        return None
    version, trace, span, flags, rest = found.groups()
    if version == "ff" or trace == _NO_TRACE or span == _NO_SPAN or (version == "00" and rest):
        return None
    return f"00-{trace}-{span}-{int(flags, 16) & 1:02x}"


def trace_id(traceparent: str) -> str:
    """The id of the trace."""
    return traceparent.split("-")[1]


def carried() -> dict[str, str]:
    """The headers that a request from here carries."""
    traceparent = outgoing.get()
    return {} if traceparent is None else {HEADER: traceparent}
