"""What log lines about a run carry: every line that an attempt makes says of which run, session and trace it is."""

from contextvars import Context

import structlog

from musterd.core import trace_context
from musterd.core.records import RunRow


def context_of(run: RunRow) -> Context:
    """A context for an attempt: a run outlives the request that brought it, and is not to hold what that one set."""
    context, request_id = Context(), structlog.contextvars.get_contextvars().get("request_id")
    context.run(_bind, run, request_id)
    return context


def _bind(run: RunRow, request_id: str | None) -> None:
    carried: dict[str, str | int] = {"run_id": run.run_id, "session_id": run.session_id, "attempt": run.attempt}
    if run.traceparent is not None:
        carried["trace_id"] = trace_context.trace_id(run.traceparent)
    if request_id is not None:  # of the request that it was accepted with, where that drives it here
        carried["request_id"] = request_id
    structlog.contextvars.bind_contextvars(**carried)
