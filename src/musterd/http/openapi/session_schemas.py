"""Shapes of runs in lists."""

from musterd.http.openapi.described import Schema, many, nullable, number, record, ref, text, whole

_TIME = text(format="date-time")
_RUN_OUTPUT: Schema = {"anyOf": [ref("TeamRunOutput"), ref("RunOutput")]}
_PREVIEW: dict[str, Schema] = {
    "run_id": text(),
    "parent_run_id": text('The run of the team that delegated this one; "" at the top.'),
    "team_id": text(),
    "agent_id": text(),
    "user_id": text(),
    "status": ref("RunStatus"),
    "run_input": text("The message, cut short."),
    "content_preview": text('The answer, cut short; "" until the run has ended.'),
    "created_at": _TIME,
}

SESSION_SCHEMAS: dict[str, Schema] = {
    "SessionRunPreviewSchema": record("SessionRunPreviewSchema", _PREVIEW, optional=["team_id", "agent_id", "user_id"]),
    "ActiveRun": {
        "title": "ActiveRun",
        "description": "A run that has not ended.",
        "allOf": [
            _RUN_OUTPUT,
            record(
                "ActiveRunState",
                {
                    "state": text(enum=["scheduled", "queued", "ready", "running", "paused"]),
                    "queue_position": whole("How many runs of the session stand before it, while PENDING."),
                    "pause": record("RunPause", {"expires_at": number("When it ends undecided, in unix seconds.")}),
                },
                optional=["queue_position", "pause"],
            ),
        ],
    },
    "RunPage": record(
        "RunPage",
        {
            "data": many(_RUN_OUTPUT, "The runs, without their conversations."),
            "meta": record(
                "RunPageInfo",
                {
                    "limit": whole(minimum=1),
                    "next_cursor": nullable(text("Asks for the next page as `cursor`; null on the last one.")),
                },
            ),
        },
    ),
}
