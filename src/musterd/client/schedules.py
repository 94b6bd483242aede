"""Schedules: runs that start at times."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, Unpack

from .flows import D, Flow, Resource, StreamFlow, call, stream_call
from .paging import Page, PagedList
from .requests import Requests, new_key, path_of
from .runs import ComponentKind
from .wire_record import WireRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

Time: TypeAlias = datetime | float | str
"""Unix seconds or ISO 8601, which counts in the schedule's time zone unless it has an offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(WireRecord):
    """Times at which a run of a team, agent or workflow starts.

    :param endpoint: what it calls, such as ``/teams/desk/runs``.
    :param payload: the fields of each start.
    :param next_run_at: unix time.
    """

    id: str
    name: str
    endpoint: str
    payload: dict[str, Any] | None
    cron_expr: str | None
    at: float | None
    timezone: str
    enabled: bool
    next_run_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing(WireRecord):
    """What became of one time of a schedule, or of a trigger.

    :param run_id: the run that it started.
    :param scheduled_for: unix time.
    """

    id: str
    schedule_id: str
    status: str
    run_id: str | None
    session_id: str | None
    error: str | None
    scheduled_for: float | None
    triggered_at: float | None
    completed_at: float | None


class ScheduleFields(TypedDict, total=False):
    """When a schedule starts runs, and how. Fields without a description are described at ``/docs`` of a server.

    :param cron_expr: five fields, or ``@daily`` and the like.
    :param at: once at this time, in place of ``cron_expr``.
    :param timezone: of ``cron_expr``, such as ``Europe/Oslo``; by default UTC.
    :param max_retries: how often a failed run is continued.
    :param on_missed: what happens to times at which the server was down: ``once``, ``skip`` or ``all``.
    :param overlap: what happens while an earlier run of the session is at work.
    :param session: one session for all runs (``schedule``), or a new one for each.
    """

    cron_expr: str | None
    at: Time | None
    starts_at: Time | None
    ends_at: Time | None
    timezone: str
    description: str
    budget: Mapping[str, float]
    timeout_seconds: int
    max_retries: int
    retry_delay_seconds: int
    jitter_seconds: int
    on_missed: Literal["once", "skip", "all"]
    grace_seconds: int
    overlap: Literal["skip", "enqueue", "interrupt", "parallel"]
    session: Literal["schedule", "new"]


class ScheduleChanges(ScheduleFields, total=False):
    """What of a schedule changes. Fields that are left out stay as they are.

    :param payload: the fields of each start, such as ``{"message": "Good morning"}``.
    """

    name: str
    payload: Mapping[str, Any]
    enabled: bool


_LIST = PagedList("/schedules", Schedule, "id")


class Schedules(Resource[D]):
    """The schedules of the caller."""

    @call
    def list(self, *, limit: int = 100, page: int = 1, enabled: bool | None = None) -> Flow[Page[Schedule]]:
        """List schedules, newest first.

        :param enabled: only those that are enabled, or only the others.
        """
        schedules = yield from _LIST.page(self._requests, {"enabled": enabled}, limit, page)
        return schedules

    @stream_call
    def all(self, *, enabled: bool | None = None) -> StreamFlow[Schedule]:
        """All schedules, newest first, each once."""
        yield from _LIST.all(self._requests, {"enabled": enabled})

    @call
    def get(self, schedule_id: str) -> Flow[Schedule]:
        """Get one schedule."""
        raw = yield from self._requests.json("GET", path_of("schedules", schedule_id))
        return Schedule.of(raw)

    @call
    def create(
        self,
        name: str,
        component: str,
        message: str | Mapping[str, Any],
        *,
        kind: ComponentKind = "team",
        options: Mapping[str, Any] | None = None,
        **fields: Unpack[ScheduleFields],
    ) -> Flow[Schedule]:
        """Create a schedule, once: if the connection breaks before the answer, the call is made again.

        :param name: unique among the caller's schedules.
        :param component: the id of the team, agent or workflow.
        :param options: further fields of each start, such as ``session_id``.
        :param fields: :class:`ScheduleFields`; ``cron_expr`` or ``at`` is needed.
        :raises Conflict: there is a schedule of this name.
        """
        text = message if isinstance(message, str) else json.dumps(message)
        target = {"endpoint": path_of(f"{kind}s", component, "runs"), "payload": {**(options or {}), "message": text}}
        body = {"name": name, **target, **_times(fields)}
        raw = yield from self._requests.json("POST", "/schedules", json=body, headers=new_key())
        return Schedule.of(raw)

    @call
    def update(self, schedule_id: str, **changes: Unpack[ScheduleChanges]) -> Flow[Schedule]:
        """Change a schedule.

        :param changes: :class:`ScheduleChanges`.
        """
        raw = yield from self._requests.json("PATCH", path_of("schedules", schedule_id), json=_times(changes))
        return Schedule.of(raw)

    @call
    def enable(self, schedule_id: str) -> Flow[Schedule]:
        """Let a schedule go on with its next time from now."""
        schedule = yield from _switch(self._requests, schedule_id, "enable")
        return schedule

    @call
    def disable(self, schedule_id: str) -> Flow[Schedule]:
        """Let a schedule start no more runs. Those that it has started go on."""
        schedule = yield from _switch(self._requests, schedule_id, "disable")
        return schedule

    @call
    def trigger(self, schedule_id: str) -> Flow[Firing]:
        """Start a run of a schedule now, in addition to its times. ``client.wait`` waits for it."""
        path = path_of("schedules", schedule_id, "trigger")
        raw = yield from self._requests.json("POST", path, headers=new_key())
        return Firing.of(raw)

    @call
    def firings(self, schedule_id: str, *, limit: int = 20, page: int = 1) -> Flow[Page[Firing]]:
        """List what became of the times of a schedule, newest first."""
        firings = PagedList(path_of("schedules", schedule_id, "runs"), Firing, "id")
        rows = yield from firings.page(self._requests, {}, limit, page)
        return rows

    @call
    def delete(self, schedule_id: str) -> Flow[None]:
        """Delete a schedule. Runs that it has started go on. An id that does not exist is ignored.

        :raises Conflict: it is declared in code.
        """
        yield from self._requests.delete(path_of("schedules", schedule_id))


def _times(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields for a request, whose times are JSON."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}


def _switch(requests: Requests, schedule_id: str, action: str) -> Flow[Schedule]:
    yield from requests.json("POST", path_of("schedules", schedule_id, action))
    raw = yield from requests.json("GET", path_of("schedules", schedule_id))
    return Schedule.of(raw)
