"""Spans of runs: an attempt's steps as OpenTelemetry records them, by its conventions for generative AI.

All attempts of a run, in whichever process, are children of the span of its acceptance, so the run is one trace. A step
whose result is stored is not done again, and has no second span. Recording never disturbs a run: OpenTelemetry's calls
do not raise, and a thread does the export.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

import musterd
from musterd.core import semconv, trace_context
from musterd.core.records import Output, RunRow
from musterd.core.states import RunState

RUN_ID, ATTEMPT, KIND = "musterd.run.id", "musterd.run.attempt", "musterd.component.kind"
PATH, OUTCOME = "musterd.path", "musterd.outcome"
_accepting: ContextVar[Span | None] = ContextVar("accepting", default=None)
"""The span of the run that is about to be accepted. If the run is rejected, the span is never ended or exported."""


class Spans:
    """Records the spans of one server.

    :param captures_content: whether the words of users, models and tools are recorded too.
    """

    def __init__(self, provider: TracerProvider, *, captures_content: bool = False) -> None:
        self._provider = provider
        self.tracer = provider.get_tracer("musterd", musterd.__version__)
        self.captures_content = captures_content

    def accepting(self, run: RunRow) -> None:
        """Start the span of a run that is about to be accepted, in the trace of its request."""
        span = self.tracer.start_span(
            f"accept_run {run.component_name}",
            context=context_of(run.traceparent),
            kind=SpanKind.SERVER,
            attributes=_of_run(run),
        )
        # Stored in the run's row, so that attempts in any process become children of this span.
        run.traceparent = traceparent_of(span)
        _accepting.set(span)

    def run_accepted(self) -> None:
        """End the span: the run was accepted."""
        if (span := _accepting.get()) is not None:
            span.end()
            _accepting.set(None)

    @contextmanager
    def attempt(self, run: RunRow) -> "Iterator[AttemptSpan]":
        """The span of one attempt; it ends with this block."""
        span = self.tracer.start_span(
            f"{semconv.INVOKE_AGENT} {run.component_name}",
            context=context_of(run.traceparent),
            attributes={semconv.OPERATION_NAME: semconv.INVOKE_AGENT, **_of_run(run), ATTEMPT: run.attempt},
        )
        attempt = AttemptSpan(self, span)
        try:
            # The exception is not recorded by OpenTelemetry, which would export its message: that may contain words of
            # users.
            with trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
                yield attempt
        except BaseException:
            attempt.leave("cut_off")
            raise
        finally:
            attempt.close()

    def flush(self) -> None:
        """Export the remaining spans. This takes as long as the exporter keeps trying."""
        self._provider.force_flush()


class AttemptSpan:
    """The span of an attempt, and those of the members' runs in it.

    ``span`` is the attempt's own.
    """

    def __init__(self, spans: Spans, span: Span) -> None:
        self.spans = spans
        self.span = span
        self._members: dict[str, Span] = {}

    def parent_of(self, path: str) -> Context:
        """The context for a step at ``path``: the span of the run that the step belongs to."""
        while path:
            path = path.rpartition("/")[0]
            if (span := self._members.get(path)) is not None:
                return trace.set_span_in_context(span, Context())
        return trace.set_span_in_context(self.span, Context())

    def member_began(self, path: str, span: Span) -> None:
        """Note the span of a member's run that is driven."""
        if (earlier := self._members.get(path)) is not None:  # the run waited, and goes on
            earlier.end()
        self._members[path] = span

    def member_ended(self, path: str, state: RunState, output: Output) -> None:
        """End the span of a member's run that has ended or waits."""
        if (span := self._members.pop(path, None)) is not None:
            note_end(span, state, output)
            span.end()

    def ended(self, state: RunState, output: Output) -> None:
        """Note that the run has ended or pauses."""
        note_end(self.span, state, output)

    def leave(self, outcome: str) -> None:
        """Note that the attempt stops, and the run goes on without it."""
        self.span.set_attribute(OUTCOME, outcome)

    def close(self) -> None:
        """End all open spans."""
        # Members that were cut off with the attempt have reported no end.
        for span in self._members.values():
            span.end()
        self._members.clear()
        self.span.end()


def note_end(span: Span, state: RunState, output: Output) -> None:
    """Record how a run ended, and its usage."""
    span.set_attribute(OUTCOME, state.value)
    usage = output.usage
    span.set_attributes({semconv.INPUT_TOKENS: usage.input_tokens, semconv.OUTPUT_TOKENS: usage.output_tokens})
    if state is RunState.ERROR:
        code = (output.error or {}).get("code", "error")
        span.set_attribute(semconv.ERROR_TYPE, str(code))
        span.set_status(Status(StatusCode.ERROR, str(code)))


def context_of(traceparent: str | None) -> Context:
    """The context of a ``traceparent``; without one, a new trace begins."""
    if traceparent is None:
        return Context()
    _, trace_id, span_id, flags = traceparent.split("-")
    parent = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def traceparent_of(span: Span) -> str:
    """The ``traceparent`` for work below ``span``."""
    span_context = span.get_span_context()
    return f"00-{span_context.trace_id:032x}-{span_context.span_id:016x}-{span_context.trace_flags & 1:02x}"


@contextmanager
def under(span: Span) -> Iterator[None]:
    """Make ``span`` the parent of all work in this block, in this process and in the requests that it sends."""
    token = trace_context.outgoing.set(traceparent_of(span))
    try:
        with trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
            yield
    finally:
        trace_context.outgoing.reset(token)


def _of_run(run: RunRow) -> dict[str, str]:
    return {
        semconv.AGENT_ID: run.component_id,
        semconv.AGENT_NAME: run.component_name,
        semconv.CONVERSATION_ID: run.session_id,
        semconv.PROVIDER_NAME: run.model_provider.lower(),
        semconv.REQUEST_MODEL: run.model,
        RUN_ID: run.run_id,
        KIND: run.component_kind,
    }
