"""The ids of traces and spans: derived, so that the same run has the same ones wherever it is shown.

A trace is a root run. Its id is the one that a client sent in ``traceparent``, else the run's own where that is a UUID,
else a hash of it. A span is a run or a step of its tree; its id is a hash of the root and its place.
"""

import hashlib
import uuid
from dataclasses import dataclass, field
from enum import StrEnum

from musterd.core.jsontypes import JsonObject
from musterd.core.records import RunRow
from musterd.core.states import RunState


class SpanStatus(StrEnum):
    """How a span ended, in the words of OpenTelemetry."""

    OK = "OK"
    ERROR = "ERROR"
    UNSET = "UNSET"  # it goes on, waits, or was cancelled


STATUS_OF = {RunState.COMPLETED: SpanStatus.OK, RunState.ERROR: SpanStatus.ERROR}
"""How the span of a run ended; of any other state nothing is said."""


class SpanKind(StrEnum):
    """What a span did, in the peer's words."""

    TEAM = "TEAM"
    AGENT = "AGENT"
    LLM = "LLM"
    TOOL = "TOOL"
    HOOK = "HOOK"


@dataclass(slots=True, kw_only=True)
class Span:
    """A run or a step, as a trace shows it.

    :param ended_at: None while it goes on.
    :param attributes: by the names of :mod:`musterd.core.semconv`.
    :param below: the spans that it holds, in order of their start.
    """

    span_id: str
    name: str
    kind: SpanKind
    started_at: float
    ended_at: float | None
    status: SpanStatus
    input: str | None = None
    output: str | None = None
    error: str | None = None
    attributes: JsonObject = field(default_factory=dict)
    metadata: JsonObject = field(default_factory=dict)
    below: "list[Span]" = field(default_factory=list)

    def flat(self) -> "list[Span]":
        """The span and all that it holds."""
        found = [self]
        for span in found:
            found.extend(span.below)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow:
    """A root run as a trace.

    :param message: what it was asked.
    :param spans: how many it has.
    :param errors: how many of them failed.
    """

    trace_id: str
    run: RunRow
    message: str
    spans: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTraces:
    """The traces of a session, counted."""

    session_id: str
    user_id: str | None
    agent_id: str | None
    team_id: str | None
    total: int
    first_at: float
    last_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition on traces: a comparison of a field, or several conditions put together.

    :param op: EQ, NEQ, GT, GTE, LT, LTE, IN, CONTAINS, STARTSWITH; AND, OR, NOT.
    :param key: the field that is compared.
    :param values: what it is compared with: one, or several for IN.
    :param parts: what AND, OR and NOT put together.
    """

    op: str
    key: str = ""
    values: tuple[str | float, ...] = ()
    parts: "tuple[Condition, ...]" = ()


def stored_trace_id(run_id: str) -> str | None:
    """The id of a run's trace where it cannot be told from the run's id; None: it is the run's own, without dashes."""
    return None if _is_uuid(run_id) else hashlib.sha256(f"trace {run_id}".encode()).hexdigest()[:32]


def run_id_of(trace: str) -> str | None:
    """The run's id that a trace's id may be; None: it is none."""
    try:
        return str(uuid.UUID(hex=trace)) if len(trace) == 32 else None
    except ValueError:
        return None


def run_span_id(root_id: str, path: str) -> str:
    """The id of the span of a run: the root's (its path is empty), or a member's."""
    return _hash(f"run {root_id} {path}")


def step_span_id(root_id: str, path: str) -> str:
    """The id of the span of a step of the journal."""
    return _hash(f"step {root_id} {path}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
