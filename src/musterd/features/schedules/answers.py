"""Schedules and firings as they are answered."""

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.cron import local_time
from musterd.core.scopes import Scopes
from musterd.core.states import RunState
from musterd.features.schedules.records import (
    Firing,
    FiringStatus,
    OnMissed,
    Overlap,
    Schedule,
    SessionPolicy,
    Target,
    Trigger,
)
from musterd.wire.requirements import RunRequirement, requirement_objects
from musterd.wire.times import whole_seconds

WRITE = "schedules:write"
"""The scope that also shows the values of payloads."""
HIDDEN = "***"
"""In place of the values of a payload, for callers without that scope."""

UnixTime = Annotated[int | None, Field(description="Unix seconds.")]


class ScheduleResponse(TypedDict):
    """A schedule."""

    id: str
    name: str
    description: str | None
    method: str
    endpoint: str
    payload: Annotated[
        dict[str, Any] | None,
        Field(description="Callers without the scope `schedules:write` see the names of its fields only."),
    ]
    cron_expr: str | None
    timezone: str
    timeout_seconds: int
    max_retries: int
    retry_delay_seconds: int
    enabled: bool
    next_run_at: UnixTime
    created_at: UnixTime
    updated_at: UnixTime
    at: UnixTime
    starts_at: UnixTime
    ends_at: UnixTime
    jitter_seconds: int
    on_missed: OnMissed
    grace_seconds: int
    overlap: Overlap
    session: SessionPolicy
    budget: dict[str, Any] | None
    owner: Annotated[str | None, Field(description="The user whose it is.")]
    is_declared: Annotated[bool, Field(description="Whether it is declared in code, and cannot be changed here.")]


class ScheduleStateResponse(TypedDict):
    """Whether a schedule is enabled."""

    id: str
    name: str
    enabled: bool
    next_run_at: UnixTime
    updated_at: UnixTime


class ScheduleRunResponse(TypedDict):
    """What became of an instant of a schedule, or of a trigger."""

    id: str
    schedule_id: str
    attempt: int
    triggered_at: UnixTime
    completed_at: UnixTime
    status: FiringStatus
    status_code: int | None
    run_id: str | None
    session_id: str | None
    error: str | None
    input: dict[str, Any] | None
    output: dict[str, Any] | None
    requirements: list[RunRequirement] | None
    created_at: UnixTime
    scheduled_for: Annotated[int | None, Field(description="The instant, in unix seconds; null: triggered by hand.")]
    trigger: Trigger


class Instant(TypedDict):
    """One instant of a schedule."""

    at: Annotated[int, Field(description="Unix seconds.")]
    local: Annotated[str, Field(description="The same in the schedule's time zone.")]


class NextInstants(TypedDict):
    """Instants of a schedule."""

    timezone: str
    data: list[Instant]


def schedule_object(schedule: Schedule, scopes: Scopes) -> ScheduleResponse:
    """A schedule as a caller with these scopes sees it."""
    definition, payload = schedule.definition, schedule.definition.payload
    if payload is not None and not scopes.allows(WRITE):
        payload = dict.fromkeys(payload, HIDDEN)
    return {
        "id": schedule.id,
        "name": schedule.name,
        "description": definition.description,
        "method": definition.method,
        "endpoint": definition.endpoint,
        "payload": payload,
        "cron_expr": definition.cron_expr,
        "timezone": definition.timezone,
        "timeout_seconds": definition.timeout_seconds,
        "max_retries": definition.max_retries,
        "retry_delay_seconds": definition.retry_delay_seconds,
        "enabled": schedule.enabled,
        "next_run_at": whole_seconds(schedule.next_run_at),
        "created_at": int(schedule.created_at),
        "updated_at": whole_seconds(schedule.updated_at),
        "at": whole_seconds(definition.at),
        "starts_at": whole_seconds(definition.starts_at),
        "ends_at": whole_seconds(definition.ends_at),
        "jitter_seconds": definition.jitter_seconds,
        "on_missed": definition.on_missed,
        "grace_seconds": definition.grace_seconds,
        "overlap": definition.overlap,
        "session": definition.session,
        "budget": definition.budget,
        "owner": schedule.owner,
        "is_declared": schedule.declared is not None,
    }


def state_object(schedule: Schedule) -> ScheduleStateResponse:
    """Whether a schedule is enabled."""
    return {
        "id": schedule.id,
        "name": schedule.name,
        "enabled": schedule.enabled,
        "next_run_at": whole_seconds(schedule.next_run_at),
        "updated_at": whole_seconds(schedule.updated_at),
    }


def firing_object(firing: Firing, scopes: Scopes) -> ScheduleRunResponse:
    """A firing as a caller with these scopes sees it: what its run was given and answered is for those who may read
    the run."""
    run, error = firing.run, firing.error
    state = None if run is None else run.row.state
    code = firing.status_code
    if firing.run_is_removed or (run is not None and run.row.state.is_settled):
        code = 200
    is_over_without_run = firing.outcome is not None and not firing.run_is_removed
    if firing.status is FiringStatus.FAILED and error is None:
        error = "Run failed with status ERROR"
    answer: ScheduleRunResponse = {
        "id": firing.id,
        "schedule_id": firing.schedule_id,
        "attempt": firing.attempt,
        "triggered_at": int(firing.created_at),
        "completed_at": int(firing.created_at) if is_over_without_run else None,
        "status": firing.status,
        "status_code": code,
        "run_id": firing.run_id,
        "session_id": firing.session_id,
        "error": error,
        "input": None,
        "output": None,
        "requirements": None,
        "created_at": int(firing.created_at),
        "scheduled_for": whole_seconds(firing.scheduled_for),
        "trigger": firing.trigger,
    }
    if run is None:
        return answer
    answer["completed_at"] = whole_seconds(run.row.ended_at)
    target = Target(run.row.component_kind, run.row.component_id)
    if any(scopes.allows(scope, target.id) for scope in (target.scope, f"{target.kind}s:read")):
        answer["input"] = {"input_content": run.input.message}
        if run.output is not None and run.row.state.is_settled:
            answer["output"] = {"content": run.output.content, "content_type": run.output.content_type}
            if state is RunState.PAUSED:
                answer["requirements"] = requirement_objects(run.output.requirements, run.row.run_id)
    return answer


def instant_object(at: float, timezone: str) -> Instant:
    """One instant."""
    return {"at": int(at), "local": local_time(at, timezone)}
