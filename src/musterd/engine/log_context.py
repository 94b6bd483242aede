"""The context of a run's log lines: each line of an attempt names its run, session and trace."""

from contextvars import Context

import structlog

from musterd.core import trace_context
from musterd.core.records import RunRow


def context_of(run: RunRow) -> Context:
    """A new context for an attempt. A run outlives the request that started it, and must not keep its context."""
    context, request_id = Context(), structlog.contextvars.get_contextvars().get("request_id")
    context.run(_bind, run, request_id)
    return context


def _bind(run: RunRow, request_id: str | None) -> None:
    fields: dict[str, str | int] = {"run_id": run.run_id, "session_id": run.session_id, "attempt": run.attempt}
    if run.traceparent is not None:
        fields["trace_id"] = trace_context.trace_id(run.traceparent)
    if request_id is not None:  # of the request that started the run, if this process drives it at once
        fields["request_id"] = request_id
    structlog.contextvars.bind_contextvars(**fields)
