"""What a tool tells while it works."""

from typing import Any

from musterd.core import jsontext
from musterd.core.jsontypes import JsonObject

# Fields that clients read in every event of a run, or that stand for the call itself; "data" breaks streams' readers.
_OWN_FIELDS = frozenset(
    {
        "agent_id", "agent_name", "content", "created_at", "data", "event", "event_index", "nested_depth",
        "parent_run_id", "run_id", "session_id", "team_id", "team_name", "tool_call_id", "tool_name",
    }
)  # fmt: skip


def progress_report(message: str, details: dict[str, Any]) -> JsonObject:
    """A report as an event carries it; later changes of what was given do not show in it.

    :raises ValueError: a detail has the name of one of the event's own fields, or is no JSON value.
    """
    if taken := sorted(_OWN_FIELDS.intersection(details)):
        raise ValueError(f"progress() cannot tell '{taken[0]}': events have a field of that name. Call it otherwise.")
    try:
        report: JsonObject = jsontext.loads(jsontext.dumps({"content": message, **details}))
    except (TypeError, ValueError) as error:
        raise ValueError(f"progress() tells JSON values only ({error}).") from error
    return report if message else {name: value for name, value in report.items() if name != "content"}
