"""The summary of a session in AgentOS's shape."""

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from musterd.wire.shapes import Time
from musterd.wire.times import iso_micros


class SessionSummary(TypedDict):
    """What was said in a session, in short."""

    summary: str
    topics: NotRequired[list[str]]
    updated_at: Annotated[Time, Field(description="Runs that finished until then are in the summary.")]


def session_summary(stored: Mapping[str, Any] | None) -> SessionSummary | None:
    """``session_summary`` of a session and of the event; None if there is no summary."""
    if stored is None:
        return None
    text, updated_at = stored["summary"], iso_micros(stored["as_of"])
    if topics := stored.get("topics"):
        return {"summary": text, "topics": topics, "updated_at": updated_at}
    return {"summary": text, "updated_at": updated_at}
