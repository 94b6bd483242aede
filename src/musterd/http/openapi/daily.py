"""The operations on daily figures and on the database, and their shapes."""

from musterd.http.openapi.answers import answer, errors
from musterd.http.openapi.described import (
    Described,
    Schema,
    flag,
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
from musterd.http.openapi.query_parts import DATABASE

_TAGS = ("Metrics",)
_NO_DATABASE = {"_404": "Database not found"}
_DATE = {"format": "date"}

METRICS: dict[str, Described] = {
    "get_metrics": Described(
        tags=_TAGS,
        summary="Get AgentOS Metrics",
        description="What ran on each day (UTC). A user that is no admin gets the figures of its own runs.",
        parameters=[
            in_query("starting_date", text("The first day, `YYYY-MM-DD`", **_DATE)),
            in_query("ending_date", text("The last day, `YYYY-MM-DD`", **_DATE)),
            *DATABASE,
        ],
        answers={
            "200": answer("The days on which something ran", ref("MetricsResponse")),
            **errors("401", "422", "503", **_NO_DATABASE),
        },
    ),
    "refresh_metrics": Described(
        tags=_TAGS,
        summary="Refresh Metrics",
        description="Count the days anew that are not over, and keep those that are. `GET /metrics` does so too: "
        "nothing has to call this.",
        parameters=[*DATABASE, in_query("background", flag("Answer at once, with 202", default=False))],
        answers={
            "200": answer("The days that were counted", many(ref("DayAggregatedMetrics"))),
            "202": answer("They are being counted", ref("MetricsRefreshResponse")),
            **errors("401", "403", "413", "422", "503", **_NO_DATABASE),
        },
    ),
    "get_metrics_refresh_status": Described(
        tags=_TAGS,
        summary="Get Metrics Refresh Status",
        description="What became of the last counting in the background, by the process that answers.",
        parameters=DATABASE,
        answers={
            "200": answer("Where it stands", ref("MetricsRefreshStatusResponse")),
            **errors("401", "422", "503", **_NO_DATABASE),
        },
    ),
}

_TARGET = in_query("target_version", text("The schema that is wanted: there is one, the newest"))


def _migrate(summary: str, parameters: list[Schema]) -> Described:
    return Described(
        tags=("Database",),
        summary=summary,
        description="The schema is brought up to date when a server starts, and never taken back: this says which one "
        "it is.",
        parameters=[*parameters, _TARGET],
        answers={
            "200": answer("The schema is up to date", ref("MigrationResponse")),
            **errors("401", "403", "413", "503", _404="Database not found", _422="Not the schema of this version"),
        },
    )


DATABASES: dict[str, Described] = {
    "migrate_all_databases": _migrate("Migrate All Databases", []),
    "migrate_database": _migrate("Migrate Database", [in_path("db_id", "The database's id")]),
}

_COUNT = whole(minimum=0)
_TIME, _MAYBE_TIME = text(format="date-time"), nullable(text(format="date-time"))
METRICS_SCHEMAS: dict[str, Schema] = {
    "DayAggregatedMetrics": record(
        "DayAggregatedMetrics",
        {
            "id": text(),
            "agent_runs_count": _COUNT,
            "agent_sessions_count": _COUNT,
            "team_runs_count": _COUNT,
            "team_sessions_count": _COUNT,
            "workflow_runs_count": _COUNT,
            "workflow_sessions_count": _COUNT,
            "users_count": _COUNT,
            "token_metrics": free("Tokens of all model calls."),
            "model_metrics": many(free(), "How many runs, members' too, were of each model."),
            "date": _TIME,
            "created_at": _TIME,
            "updated_at": _TIME,
        },
    ),
    "MetricsResponse": record(
        "MetricsResponse", {"metrics": many(ref("DayAggregatedMetrics")), "updated_at": _MAYBE_TIME}
    ),
    "MetricsRefreshResponse": record(
        "MetricsRefreshResponse", {"status": text("`started`, or `already_running`."), "message": nullable(text())}
    ),
    "MetricsRefreshStatusResponse": record(
        "MetricsRefreshStatusResponse",
        {
            "status": text("`idle`, `running`, `completed` or `failed`."),
            "started_at": _MAYBE_TIME,
            "finished_at": _MAYBE_TIME,
            "error": nullable(text()),
        },
    ),
    "MigrationResponse": record("MigrationResponse", {"message": text()}),
}
