"""AgentOSClient 2.5.6 looks at what runs did and cost: traces and metrics."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from musterd.core import clock
from tests.support.client_drivers import ClientFailed, Driver

DELEGATE = '[[DELEGATE weather-agent: <TOOL get_weather {"city": "Paris"}>]]'
SESSIONS = {"$type": "TraceSearchGroupBy", "value": "session"}


def ran(agentos: Driver, session_id: str, message: str = DELEGATE) -> dict[str, Any]:
    """A team's run in the session, of a user of its own."""
    run: dict[str, Any] = agentos.run_team("demo-team", message, session_id=session_id, user_id=f"user-{session_id}")
    return run


@pytest.mark.needs("GET /traces", "GET /traces/{trace_id}")
def test_a_run_has_a_trace(agentos: Driver, session_id: str) -> None:
    run = ran(agentos, session_id)
    page = agentos.get_traces(session_id=session_id)
    assert (page["$type"], page["meta"]["total_count"]) == ("PaginatedResponse", 1)
    (trace,) = page["data"]
    assert trace["$type"] == "TraceSummary"
    assert (trace["run_id"], trace["session_id"], trace["team_id"]) == (run["run_id"], session_id, "demo-team")
    assert (trace["user_id"], trace["status"], trace["error_count"]) == (f"user-{session_id}", "OK", 0)
    assert trace["input"] == DELEGATE
    assert trace["start_time"]["value"] <= trace["end_time"]["value"]
    detail = agentos.get_trace(trace["trace_id"])
    assert (detail["$type"], detail["trace_id"]) == ("TraceDetail", trace["trace_id"])
    assert detail["total_spans"] == trace["total_spans"] > 1
    (root,) = detail["tree"]
    assert root["$type"] == "TraceNode"
    assert root["spans"]
    span = agentos.get_trace(trace["trace_id"], span_id=root["id"])
    assert (span["$type"], span["id"]) == ("TraceNode", root["id"])
    with pytest.raises(ClientFailed) as failed:
        agentos.get_trace("no-such-trace")
    assert failed.value.status == 404


@pytest.mark.needs("GET /traces")
def test_a_failed_run_has_a_trace_with_an_error(agentos: Driver, session_id: str) -> None:
    ran(agentos, session_id, "[[ERROR 400]]")
    (trace,) = agentos.get_traces(session_id=session_id, status="ERROR")["data"]
    assert trace["error_count"] >= 1
    assert agentos.get_traces(session_id=session_id, status="OK")["data"] == []


@pytest.mark.needs("GET /trace_session_stats")
def test_traces_by_session(agentos: Driver, session_id: str) -> None:
    ran(agentos, session_id, "one")
    ran(agentos, session_id, "two")
    (stats,) = agentos.get_trace_session_stats(user_id=f"user-{session_id}")["data"]
    assert (stats["$type"], stats["session_id"]) == ("TraceSessionStats", session_id)
    assert (stats["total_traces"], stats["team_id"]) == (2, "demo-team")
    assert stats["first_trace_at"]["value"] <= stats["last_trace_at"]["value"]


@pytest.mark.needs("POST /traces/search")
def test_traces_are_searched(agentos: Driver, session_id: str) -> None:
    run = ran(agentos, session_id)
    looked_for = {"op": "EQ", "key": "session_id", "value": session_id}
    (trace,) = agentos.search_traces(filter_expr=looked_for)["data"]
    assert (trace["$type"], trace["run_id"]) == ("TraceDetail", run["run_id"])
    (stats,) = agentos.search_traces(filter_expr=looked_for, group_by=SESSIONS)["data"]
    assert (stats["$type"], stats["total_traces"]) == ("TraceSessionStats", 1)
    with pytest.raises(ClientFailed) as failed:
        agentos.search_traces(filter_expr={"op": "NOPE"})
    assert failed.value.status in (400, 422)


@pytest.mark.needs("GET /metrics", "POST /metrics/refresh")
def test_metrics_of_days(agentos: Driver, session_id: str) -> None:
    ran(agentos, session_id)
    refreshed = agentos.refresh_metrics()
    assert {day["$type"] for day in refreshed} <= {"DayAggregatedMetrics"}
    today = datetime.datetime.fromtimestamp(clock.now(), datetime.UTC).date().isoformat()
    metrics = agentos.get_metrics(starting_date={"$type": "date", "value": today})
    assert metrics["$type"] == "MetricsResponse"
    (day,) = [day for day in metrics["metrics"] if day["date"]["value"].startswith(today)]
    assert day["team_runs_count"] >= 1
    assert day["team_sessions_count"] >= 1
    assert day["users_count"] >= 1
    assert day["token_metrics"]["total_tokens"] > 0
    assert day["model_metrics"][0]["model_id"] == "scripted"
