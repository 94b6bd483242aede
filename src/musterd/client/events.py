"""Events of runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

_PREFIXES = ("Run", "TeamRun", "Workflow")
FINAL_EVENTS = frozenset(f"{prefix}{end}" for prefix in _PREFIXES for end in ("Completed", "Error", "Cancelled"))
"""The events with which a run, or a member's run, finishes."""
PAUSE_EVENTS = frozenset(f"{prefix}Paused" for prefix in _PREFIXES)
"""The events with which it pauses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a run or in one of its members.

    :param name: such as ``TeamRunContent``; the page "Events" lists them.
    :param index: increases within the run; events after it are read with ``after=index``.
    :param run_id: the run in which it happened: the one that was started, or a member's.
    :param depth: 0 for the run that was started, 1 for its members, 2 for theirs.
    :param at: unix time in seconds.
    :param content: a piece of text, or at the end of a run its answer.
    :param tool: the tool call that it is about.
    :param raw: the event as the server sent it.
    """

    name: str
    index: int
    run_id: str
    session_id: str
    depth: int
    at: float
    content: Any
    tool: dict[str, Any] | None
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """The event that the server sent."""
        return cls(
            name=raw["event"],
            index=raw["event_index"],
            run_id=raw.get("run_id") or raw.get("workflow_run_id", ""),
            session_id=raw.get("session_id", ""),
            depth=raw.get("nested_depth", 0),
            at=raw.get("at", 0.0),
            content=raw.get("content"),
            tool=raw.get("tool"),
            raw=raw,
        )

    @property
    def member(self) -> str | None:
        """The name of the agent or team in whose run it happened, if it is a member's."""
        if self.depth == 0:
            return None
        return self.raw.get("agent_name") or self.raw.get("team_name") or self.raw.get("workflow_name")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Stored events of a run.

    :param last_index: ``after`` of the next page.
    :param has_more: whether more events are stored.
    :param is_final: whether no events will follow.
    """

    events: tuple[Event, ...]
    status: str
    last_index: int
    has_more: bool
    is_final: bool
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """The page that the server sent."""
        return cls(
            events=tuple(Event.of(event) for event in raw["events"]),
            status=raw["status"],
            last_index=raw["last_event_index"],
            has_more=raw["has_more"],
            is_final=raw["is_final"],
            raw=raw,
        )
