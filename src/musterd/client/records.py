"""Teams, sessions, approvals and traces, as the client returns them, and pages of lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from musterd.client.wire_record import WireRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list.

    :param next_cursor: ``cursor`` of the next page; None if there is none. Lists that are read by ``page`` have none.
    :param total: how many items the whole list has, if the server counts them.
    """

    items: tuple[T, ...]
    next_cursor: str | None = None
    total: int | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component(WireRecord):
    """A team, an agent or a workflow that the server serves."""

    id: str
    name: str
    description: str | None

    @property
    def members(self) -> tuple[str, ...]:
        """The ids of the members of a team."""
        return tuple(member["id"] for member in self.raw.get("members") or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(WireRecord):
    """A conversation. In lists it has all of these; read alone it has no status, but its messages.

    :param session_name: the name that a person gave it, otherwise its first message.
    :param status: ``PAUSED``, ``RUNNING`` or ``PENDING`` if one of its runs is, otherwise that of its last run.
    :param created_at: ISO 8601.
    :param chat_history: the messages of the user and the answers, if the session was read alone.
    """

    session_id: str
    session_name: str
    created_at: str
    updated_at: str
    session_state: dict[str, Any] | None
    status: str | None
    component_kind: str | None
    component_id: str | None
    run_count: int | None
    total_cost: float | None
    last_answer: str | None
    chat_history: list[dict[str, Any]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval(WireRecord):
    """A decision that a run waits for, or has waited for.

    :param status: ``pending``, ``approved``, ``rejected``, ``expired`` or ``cancelled``.
    :param pause_type: ``confirmation``, ``user_input``, ``external_execution`` or ``unknown_outcome``.
    :param member_name: the member that made the call, if it was not the run itself.
    :param expires_at: when the default decision applies, or the run fails; unix time.
    """

    id: str
    run_id: str
    session_id: str
    status: str
    pause_type: str | None
    tool_name: str | None
    tool_args: dict[str, Any] | None
    member_name: str | None
    task: str | None
    expires_at: int | None
    resolved_by: str | None
    created_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace(WireRecord):
    """The trace of a run; ``raw["tree"]`` has its spans, if it was read alone.

    :param duration: in words, such as ``1.50s``.
    :param start_time: ISO 8601.
    """

    trace_id: str
    name: str
    status: str
    duration: str
    start_time: str
    run_id: str | None
    session_id: str | None
    total_spans: int
    error_count: int
