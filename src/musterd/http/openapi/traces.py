"""The operations on traces, and their shapes."""

from musterd.core.trace_ids import SpanKind, SpanStatus
from musterd.http.openapi.answers import answer, errors
from musterd.http.openapi.described import (
    Described,
    Schema,
    free,
    in_path,
    in_query,
    many,
    nullable,
    record,
    ref,
    text,
    whole,
)
from musterd.http.openapi.query_parts import DB_ID, limit, page, paged
from musterd.wire.pages import PAGES, PAGES_FROM_0
from musterd.wire.traces import GROUPS, SEARCH_PAGES

_TAGS = ("Traces",)
_STATUSES = [status.value for status in SpanStatus]
_NO_DATABASE = {"_404": "Database not found"}
_OF: list[Schema] = [
    in_query("user_id", text("Only runs of this user")),
    in_query("agent_id", text("Only runs of this agent")),
    in_query("team_id", text("Only runs of this team")),
    in_query("workflow_id", text("There are no workflows: nothing is of one")),
]
_TIMES: list[Schema] = [
    in_query("start_time", text("Only what began at or after this time, ISO 8601")),
    in_query("end_time", text("Only what ended at or before this time, ISO 8601")),
]

TRACES: dict[str, Described] = {
    "get_traces": Described(
        tags=_TAGS,
        summary="List Traces",
        description="A page of traces, newest first: every run that a client asked for, once it has begun.",
        parameters=[
            in_query("run_id", text("Only this run")),
            in_query("session_id", text("Only runs of this session")),
            *_OF,
            in_query("status", text("How it ended; `UNSET`: it goes on, waits, or was cancelled", enum=_STATUSES)),
            *_TIMES,
            *paged(PAGES_FROM_0),
            DB_ID,
        ],
        answers={
            "200": answer("The page", ref("PaginatedResponse_TraceSummary_")),
            **errors("401", "422", "503", **_NO_DATABASE),
        },
    ),
    "get_traces_filter_schema": Described(
        tags=_TAGS,
        summary="Get Trace Filter Schema",
        description="What traces can be filtered by, and how.",
        answers={"200": answer("The fields", ref("FilterSchemaResponse")), **errors("401")},
    ),
    "search_traces": Described(
        tags=_TAGS,
        summary="Search Traces with Advanced Filters",
        description="A page of traces with their spans, or of sessions with their traces' counts. `filter` compares a "
        "field (`{op, key, value}`; `IN` has `values`) or puts conditions together (`{op: AND|OR, conditions}`, "
        "`{op: NOT, condition}`); `GET /traces/filter-schema` has fields and operators. CONTAINS and STARTSWITH "
        "disregard case.",
        parameters=[DB_ID],
        body={"required": True, "content": {"application/json": {"schema": ref("TraceSearchRequest")}}},
        answers={
            "200": answer(
                "The page",
                {
                    "anyOf": [
                        ref("PaginatedResponse_TraceDetail_"),
                        ref("PaginatedResponse_TraceSessionStats_"),
                    ]
                },
            ),
            **errors("401", "403", "413", "422", "503", **_NO_DATABASE),
        },
    ),
    "get_trace": Described(
        tags=_TAGS,
        summary="Get Trace or Span Detail",
        description="One trace with its spans: members' runs, model calls, tool calls, hooks. With `span_id` that span "
        "alone. Where a client sent one `traceparent` with several runs, `run_id` says which is meant; else the last.",
        parameters=[
            in_path("trace_id", "The trace's id"),
            in_query("span_id", text("Only this span")),
            in_query("run_id", text("The run of the trace")),
            DB_ID,
        ],
        answers={
            "200": answer("The trace, or the span", {"anyOf": [ref("TraceDetail"), ref("TraceNode")]}),
            **errors("401", "422", "503", _404="Trace, span or database not found"),
        },
    ),
    "get_trace_stats": Described(
        tags=_TAGS,
        summary="Get Trace Statistics by Session",
        description="A page of sessions with what is counted of their traces, the last used first.",
        parameters=[*_OF, *_TIMES, *paged(PAGES), DB_ID],
        answers={
            "200": answer("The page", ref("PaginatedResponse_TraceSessionStats_")),
            **errors("401", "422", "503", **_NO_DATABASE),
        },
    ),
}

_TIME = text(format="date-time")
_TEXT = nullable(text())
_SUMMARY: dict[str, Schema] = {
    "trace_id": text("32 hexadecimal digits."),
    "name": text(),
    "status": text(enum=_STATUSES),
    "duration": text(examples=["150ms", "1.50s"]),
    "start_time": _TIME,
    "end_time": _TIME,
    "total_spans": whole(),
    "error_count": whole("Spans that failed."),
    "input": _TEXT,
}
_WHOSE: dict[str, Schema] = {
    "run_id": _TEXT,
    "session_id": _TEXT,
    "user_id": _TEXT,
    "agent_id": _TEXT,
    "team_id": _TEXT,
    "workflow_id": _TEXT,
    "created_at": _TIME,
}
_OPTIONAL = ("input", "output", "error", "run_id", "session_id", "user_id", "agent_id", "team_id", "workflow_id")


def _page(name: str) -> Schema:
    return record(f"PaginatedResponse[{name}]", {"data": many(ref(name)), "meta": ref("PaginationInfo")})


TRACE_SCHEMAS: dict[str, Schema] = {
    "TraceSummary": record("TraceSummary", {**_SUMMARY, **_WHOSE}, optional=_OPTIONAL),
    "TraceNode": record(
        "TraceNode",
        {
            "id": text("16 hexadecimal digits."),
            "name": text(),
            "type": text(enum=[kind.value for kind in SpanKind]),
            "duration": text(),
            "start_time": _TIME,
            "end_time": _TIME,
            "status": text(enum=_STATUSES),
            "input": _TEXT,
            "output": _TEXT,
            "error": _TEXT,
            "spans": nullable(many(ref("TraceNode"), "The spans that it holds.")),
            "step_type": _TEXT,
            "metadata": nullable(free("What it was about.")),
            "extra_data": nullable(free("Attributes, by OpenTelemetry's names.")),
        },
        optional=["input", "output", "error", "spans", "step_type", "metadata", "extra_data"],
    ),
    "TraceDetail": record(
        "TraceDetail",
        {**_SUMMARY, "output": _TEXT, "error": _TEXT, **_WHOSE, "tree": many(ref("TraceNode"))},
        optional=_OPTIONAL,
    ),
    "TraceSessionStats": record(
        "TraceSessionStats",
        {
            "session_id": text(),
            "user_id": _TEXT,
            "agent_id": _TEXT,
            "team_id": _TEXT,
            "workflow_id": _TEXT,
            "total_traces": whole(),
            "first_trace_at": _TIME,
            "last_trace_at": _TIME,
        },
        optional=["user_id", "agent_id", "team_id", "workflow_id"],
    ),
    "PaginatedResponse_TraceSummary_": _page("TraceSummary"),
    "PaginatedResponse_TraceDetail_": _page("TraceDetail"),
    "PaginatedResponse_TraceSessionStats_": _page("TraceSessionStats"),
    "TraceSearchGroupBy": {"title": "TraceSearchGroupBy", "type": "string", "enum": list(GROUPS)},
    "TraceSearchRequest": record(
        "TraceSearchRequest",
        {
            "filter": nullable(free("A comparison, or conditions put together.")),
            "group_by": {**ref("TraceSearchGroupBy"), "default": GROUPS[0]},
            "page": page(SEARCH_PAGES),
            "limit": limit(SEARCH_PAGES),
        },
        optional=["filter", "group_by", "page", "limit"],
    ),
    "FilterFieldSchema": record(
        "FilterFieldSchema",
        {
            "key": text(),
            "label": text(),
            "type": text(),
            "operators": many(text()),
            "values": nullable(many(text())),
        },
    ),
    "FilterSchemaResponse": record(
        "FilterSchemaResponse",
        {"fields": many(ref("FilterFieldSchema")), "logical_operators": many(text(), default=["AND", "OR"])},
    ),
}
