"""Progress reports of tools."""

from typing import Any

from musterd.core import jsontext
from musterd.core.jsontypes import JsonObject

# Fields that every event of a run has, or that describe the call. "data" would break the parsers of streams.
_OWN_FIELDS = frozenset(
    {
        "agent_id", "agent_name", "at", "content", "created_at", "data", "event", "event_index", "nested_depth",
        "parent_run_id", "run_id", "session_id", "team_id", "team_name", "tool_call_id", "tool_name",
    }
)  # fmt: skip


def progress_report(message: str, details: dict[str, Any]) -> JsonObject:
    """The data of the event for a report: a copy, so later changes of ``details`` do not affect it.

    :raises ValueError: a detail has the name of a field that events have, or is not a JSON value.
    """
    if reserved := sorted(_OWN_FIELDS.intersection(details)):
        raise ValueError(
            f"progress() cannot report '{reserved[0]}' because events have a field with that name. Use another name."
        )
    try:
        report: JsonObject = jsontext.loads(jsontext.dumps({"content": message, **details}))
    except (TypeError, ValueError) as error:
        raise ValueError(f"progress() accepts only JSON values ({error}).") from error
    return report if message else {name: value for name, value in report.items() if name != "content"}
