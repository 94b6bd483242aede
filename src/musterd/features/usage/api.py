"""The operations on daily usage, which AgentOS calls metrics."""

from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.responses import Response
from typing_extensions import TypedDict

from musterd.core.callers import Caller
from musterd.core.errors import InvalidInput
from musterd.features.usage.records import Day
from musterd.features.usage.removal import REMOVAL_HOOK
from musterd.features.usage.service import UsageService
from musterd.http.feature import Feature
from musterd.http.operation import Answer, operation
from musterd.http.parameters import TableQuery
from musterd.http.responses import json_answer
from musterd.http.server import Server
from musterd.wire.shapes import Time
from musterd.wire.times import iso_seconds

_TAG = "Metrics"
_NO_DATABASE = {404: "Database not found"}
_READ = "metrics:read"


def _as_date(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("date_from_datetime_parsing", "Input should be a date, as YYYY-MM-DD") from None
    if not 1970 <= day.year < 9999:
        raise PydanticCustomError("date_parsing", "Input should be a date from 1970 to 9998")
    return day


QueryDate = Annotated[date, BeforeValidator(_as_date), WithJsonSchema({"type": "string", "format": "date"})]
"""A date from 1970 to 9998, ``YYYY-MM-DD``."""


class MetricsQuery(TableQuery):
    """The query of ``GET /metrics``."""

    starting_date: QueryDate | None = Field(None, description="The first day, `YYYY-MM-DD`")
    ending_date: QueryDate | None = Field(None, description="The last day, `YYYY-MM-DD`")

    def days(self) -> tuple[str | None, str | None]:
        """The first and the last day, ``YYYY-MM-DD``.

        :raises InvalidInput: the last is before the first.
        """
        first, last = self.starting_date, self.ending_date
        if first is not None and last is not None and first > last:
            words = "Input should not be before starting_date"
            raise InvalidInput.at(("query", "ending_date"), "value_error", words, last.isoformat())
        return None if first is None else first.isoformat(), None if last is None else last.isoformat()


class RefreshQuery(TableQuery):
    """The query of ``POST /metrics/refresh``."""

    background: bool = Field(False, description="Answer at once, with 202")


class TokenMetrics(TypedDict):
    """Tokens of the model calls of runs."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    audio_total_tokens: int
    audio_input_tokens: int
    audio_output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int


class DayAggregatedMetrics(TypedDict):
    """The usage of one day."""

    id: str
    agent_runs_count: int
    agent_sessions_count: int
    team_runs_count: int
    team_sessions_count: int
    workflow_runs_count: int
    workflow_sessions_count: int
    users_count: int
    token_metrics: TokenMetrics
    model_metrics: list[dict[str, Any]]
    date: Time
    created_at: Time
    updated_at: Time


class MetricsResponse(TypedDict):
    """The usage of several days."""

    metrics: list[DayAggregatedMetrics]
    updated_at: Time | None


class MetricsRefreshResponse(TypedDict):
    """Whether a refresh in the background was started."""

    status: str
    message: str | None


class MetricsRefreshStatusResponse(TypedDict):
    """The state of the last refresh in the background: ``idle``, ``running``, ``completed`` or ``failed``."""

    status: str
    started_at: Time | None
    finished_at: Time | None
    error: str | None


def day_object(day: Day) -> DayAggregatedMetrics:
    """The usage of one day as AgentOS shows it."""
    figures, usage = day.figures, day.figures.usage
    return {
        "id": day.day,
        "agent_runs_count": figures.runs.get("agent", 0),
        "agent_sessions_count": figures.sessions.get("agent", 0),
        "team_runs_count": figures.runs.get("team", 0),
        "team_sessions_count": figures.sessions.get("team", 0),
        "workflow_runs_count": figures.runs.get("workflow", 0),
        "workflow_sessions_count": figures.sessions.get("workflow", 0),
        "users_count": figures.users_count,
        "token_metrics": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "audio_total_tokens": 0,
            "audio_input_tokens": 0,
            "audio_output_tokens": 0,
            "cache_read_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
        },
        "model_metrics": [
            {"model_id": model, "model_provider": provider, "count": count}
            for (model, provider), count in sorted(figures.models.items())
        ],
        "date": f"{day.day}T00:00:00Z",
        "created_at": iso_seconds(day.created_at),
        "updated_at": iso_seconds(day.updated_at),
    }


@operation("GET", "/metrics", "get_metrics", scope=_READ, tag=_TAG, summary="Get AgentOS Metrics", errors=_NO_DATABASE)
async def get_metrics(usage: UsageService, caller: Caller, query: MetricsQuery) -> MetricsResponse:
    """Get the usage of each day (UTC). A user that is not an administrator gets that of its own runs."""
    days = await usage.days(*query.days(), caller)
    latest = max((day.updated_at for day in days), default=None)
    return {
        "metrics": [day_object(day) for day in days],
        "updated_at": None if latest is None else iso_seconds(latest),
    }


@operation(
    "POST",
    "/metrics/refresh",
    "refresh_metrics",
    scope="metrics:write",
    tag=_TAG,
    summary="Refresh Metrics",
    errors=_NO_DATABASE,
    other_answers={202: Answer(MetricsRefreshResponse)},
)
async def refresh_metrics(
    server: Server, usage: UsageService, caller: Caller, query: RefreshQuery
) -> list[DayAggregatedMetrics] | Response:
    """Count the days again that are not over, and store those that are. `GET /metrics` does so too."""
    if query.background:
        server.require_ready()
        status = "started" if usage.refresh_in_background() else "already_running"
        begun: MetricsRefreshResponse = {"status": status, "message": "The days are counted in the background"}
        return json_answer(begun, 202)
    return [day_object(day) for day in await usage.refresh(caller)]


@operation(
    "GET",
    "/metrics/refresh/status",
    "get_metrics_refresh_status",
    scope=_READ,
    tag=_TAG,
    summary="Get Metrics Refresh Status",
    errors=_NO_DATABASE,
)
async def get_refresh_status(usage: UsageService, database: TableQuery) -> MetricsRefreshStatusResponse:
    """Get the state of the last refresh in the background, by the process that answers."""
    state = usage.state
    return {
        "status": state.status,
        "started_at": None if state.started_at is None else iso_seconds(state.started_at),
        "finished_at": None if state.finished_at is None else iso_seconds(state.finished_at),
        "error": state.error,
    }


FEATURE = Feature(
    service=lambda server: UsageService(server.resources),
    operations=[get_metrics, refresh_metrics, get_refresh_status],
    close=UsageService.close,
    run_removal_hook=REMOVAL_HOOK,
)
