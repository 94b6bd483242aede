"""Traces and spans."""

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
    RETRIEVER = "RETRIEVER"
    HOOK = "HOOK"
    WORKFLOW = "WORKFLOW"
    STEP = "STEP"
    PARALLEL = "PARALLEL"
    LOOP = "LOOP"
    CONDITION = "CONDITION"
    ROUTER = "ROUTER"


@dataclass(slots=True, kw_only=True)
class Span:
    """A run or a step, as a trace shows it.

    :param ended_at: None while it goes on.
    :param attributes: by the names of :mod:`musterd.core.semconv`.
    :param children: its child spans, in order of their start.
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
    children: "list[Span]" = field(default_factory=list)

    def flat(self) -> "list[Span]":
        """The span and all that it holds."""
        spans = [self]
        for span in spans:
            spans.extend(span.children)
        return spans


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow:
    """A root run as a trace.

    :param message: the message of the run.
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
    workflow_id: str | None
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
