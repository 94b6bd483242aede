"""Daily figures on the wire, both ways."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from musterd.core.usage import Day
from musterd.wire.fields import Fields
from musterd.wire.times import iso_seconds

_AUDIO = ("audio_total_tokens", "audio_input_tokens", "audio_output_tokens")


def day_object(found: Day) -> dict[str, Any]:
    """The figures of one day."""
    metrics = found.metrics
    usage = metrics.usage
    return {
        "id": found.day,
        "agent_runs_count": metrics.runs.get("agent", 0),
        "agent_sessions_count": metrics.sessions.get("agent", 0),
        "team_runs_count": metrics.runs.get("team", 0),
        "team_sessions_count": metrics.sessions.get("team", 0),
        "workflow_runs_count": 0,
        "workflow_sessions_count": 0,
        "users_count": metrics.users_count,
        "token_metrics": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
            **dict.fromkeys(_AUDIO, 0),
            "cache_read_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
        },
        "model_metrics": [
            {"model_id": model, "model_provider": provider, "count": count}
            for (model, provider), count in sorted(metrics.models.items())
        ],
        "date": f"{found.day}T00:00:00Z",
        "created_at": iso_seconds(found.created_at),
        "updated_at": iso_seconds(found.updated_at),
    }


def days_object(found: Sequence[Day]) -> dict[str, Any]:
    """The figures of several days."""
    latest = max((day.updated_at for day in found), default=None)
    return {
        "metrics": [day_object(day) for day in found],
        "updated_at": None if latest is None else iso_seconds(latest),
    }


def parse_days(values: Mapping[str, str]) -> tuple[str | None, str | None]:
    """``starting_date`` and ``ending_date``, each as ``YYYY-MM-DD``. Raises InvalidInput with all that is wrong."""
    fields = Fields(values, "query")
    first, last = (_date(fields, name) for name in ("starting_date", "ending_date"))
    if first is not None and last is not None and first > last:
        fields.problems.add("ending_date", "value_error", "Input should not be before starting_date", last)
    fields.problems.raise_if_any()
    return first, last


def parse_background(values: Mapping[str, str]) -> bool:
    """Whether the figures are to be counted in the background."""
    fields = Fields(values, "query")
    background = fields.flag("background")
    fields.problems.raise_if_any()
    return bool(background)


def _date(fields: Fields, name: str) -> str | None:
    text = fields.text(name)
    if text is None:
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError:
        fields.problems.add(name, "date_from_datetime_parsing", "Input should be a date, as YYYY-MM-DD", text)
        return None
    if not 1970 <= found.year < 9999:
        fields.problems.add(name, "date_parsing", "Input should be a date from 1970 to 9998", text)
        return None
    return found.isoformat()
