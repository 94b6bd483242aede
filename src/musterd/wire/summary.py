"""The summary of a session in the peer's shape."""

from collections.abc import Mapping
from typing import Any

from musterd.wire.times import iso_micros


def session_summary(stored: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """``session_summary`` of a session's detail and of the event: summary, topics, updated_at; None: there is none."""
    if stored is None:
        return None
    value: dict[str, Any] = {"summary": stored["summary"]}
    if stored.get("topics"):
        value["topics"] = stored["topics"]
    return {**value, "updated_at": iso_micros(stored["as_of"])}
