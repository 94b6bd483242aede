"""Times on the wire: whole unix seconds in runs and events, ISO 8601 with ``Z`` in lists and sessions."""

from datetime import UTC, datetime


def whole_seconds(at: float | None) -> int | None:
    """``at`` as whole unix seconds; None: it has no time."""
    return None if at is None else int(at)


def rounded_to_ms(seconds: float | None) -> float | None:
    """A time or a number of seconds, to the millisecond."""
    return None if seconds is None else round(seconds, 3)


def iso_seconds(at: float) -> str:
    """``at`` as ISO 8601 in UTC, whole seconds: ``2026-11-25T08:54:52Z``."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_micros(at: float) -> str:
    """``at`` as ISO 8601 in UTC with microseconds: ``2026-11-25T08:54:50.047019Z``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def unix_seconds(text: str | None) -> int | None:
    """The whole unix seconds of an ISO 8601 text; None when there is none."""
    return int(datetime.fromisoformat(text).timestamp()) if text else None
