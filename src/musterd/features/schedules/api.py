"""The operations on schedules."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from musterd.core.callers import Caller
from musterd.core.cron import MAX_LENGTH as MAX_CRON
from musterd.core.cron import InvalidCron, instant_of, local_time, zone_of
from musterd.core.errors import InvalidInput
from musterd.core.scopes import Scopes
from musterd.core.settings import Settings
from musterd.core.states import RunState
from musterd.features.schedules.records import (
    NAME,
    NAME_LENGTH,
    Definition,
    Firing,
    FiringStatus,
    OnMissed,
    Overlap,
    Schedule,
    ScheduleFilter,
    SessionPolicy,
    Target,
    Trigger,
)
from musterd.features.schedules.removal import REMOVAL_HOOK
from musterd.features.schedules.service import ScheduleService
from musterd.http.auth.expiry import validity_of
from musterd.http.auth.scopes import principal_of
from musterd.http.feature import Feature
from musterd.http.json_bodies import read_object
from musterd.http.operation import Answer, operation
from musterd.http.parameters import Body, JsonObjectField, PageQuery, Query, Text, validated
from musterd.http.responses import json_answer
from musterd.http.run_operation import REPLAYED_HEADER, IdempotencyHeaders
from musterd.http.run_requests import Budget
from musterd.http.server import Server
from musterd.wire.pages import MAX_PAGES
from musterd.wire.problems import MISSING
from musterd.wire.requirements import RunRequirement, requirement_objects
from musterd.wire.shapes import PaginatedResponse, page_of
from musterd.wire.times import whole_seconds

_TAG = "Schedules"
_READ, _WRITE, _DELETE = "schedules:read", "schedules:write", "schedules:delete"
_NOT_FOUND = {404: "Schedule not found"}
MAX_SCHEDULES = 1000
MAX_INSTANTS = 100
MAX_DAY_SECONDS = 86_400
HIDDEN = "***"
"""In place of the values of a payload, for callers that may not write schedules."""


def _require_name(name: str) -> str:
    if NAME.fullmatch(name) is None:
        words = "Input should begin with a letter or digit, and have only letters, digits, spaces, dots, '_' and '-'"
        raise PydanticCustomError("string_pattern_mismatch", words)
    return name


def _require_path(endpoint: str) -> str:
    if not endpoint.startswith("/") or "://" in endpoint:
        raise PydanticCustomError("value_error", "Input should be a path of this server, beginning with '/'")
    return endpoint


def _require_payload(value: Any) -> Any:
    if value is not None and not isinstance(value, dict):  # as AgentOS says it; text is no payload
        raise PydanticCustomError("dict_type", "Input should be a valid dictionary")
    return value


Name = Annotated[Text, Field(max_length=NAME_LENGTH), AfterValidator(_require_name)]
CronExpression = Annotated[Text, Field(max_length=MAX_CRON)]
Endpoint = Annotated[Text, Field(max_length=512), AfterValidator(_require_path)]
Method = Annotated[
    Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
    BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
]
Payload = Annotated[JsonObjectField | None, BeforeValidator(_require_payload)]
Zone = Annotated[Text, Field(max_length=64)]
Description = Annotated[Text, Field(max_length=1024)]
Timeout = Annotated[int, Field(ge=1, le=MAX_DAY_SECONDS)]
Retries = Annotated[int, Field(ge=0, le=10)]
RetryDelay = Annotated[int, Field(ge=1, le=3600)]
UpToADay = Annotated[int, Field(ge=0, le=MAX_DAY_SECONDS)]
Moment = Annotated[
    Text | float | None,
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}, {"type": "null"}]}),
]
"""A time: unix seconds, or ISO 8601, which counts in the schedule's time zone unless it has an offset."""

_MOMENTS = ("at", "starts_at", "ends_at")


# --- requests -----------------------------------------------------------------------------------------


class SchedulesQuery(PageQuery):
    """The query of ``GET /schedules``."""

    enabled: bool | None = Field(None, description="Only enabled schedules, or only disabled ones")
    limit: int = Field(100, ge=1, le=MAX_SCHEDULES, description="Schedules per page")
    page: int = Field(1, ge=1, le=MAX_PAGES, description="The page, from 1")


class FiringsQuery(PageQuery):
    """The query of the list of a schedule's firings."""

    limit: int = Field(100, ge=1, le=MAX_SCHEDULES, description="Firings per page")
    page: int = Field(1, ge=1, le=MAX_PAGES, description="The page, from 1")


class TriggerQuery(Query):
    """The query of a trigger."""

    wait: float | None = Field(None, ge=0, description="Seconds to wait for the run's end, at most 60")


class NextQuery(Query):
    """The query of the next instants."""

    n: int = Field(10, ge=1, le=MAX_INSTANTS, description="How many")


class _ScheduleBody(Body):
    """The fields that a new schedule and a change have in common, except those with defaults."""

    at: Moment = Field(None, description="Fire once at this time, in place of `cron_expr`.")
    starts_at: Moment = Field(None, description="No instant before this time.")
    ends_at: Moment = Field(None, description="No instant after this time.")
    budget: Budget = Field(None, description="A budget for each run.")

    def moments(self, timezone: str) -> dict[str, float | None]:
        """The times that are given, as unix seconds.

        :raises InvalidInput: a text is not a time.
        """
        times: dict[str, float | None] = {}
        for name in _MOMENTS:
            if name in self.model_fields_set:
                try:
                    times[name] = _moment(getattr(self, name), timezone)
                except ValueError as error:
                    words = "Input should be unix seconds, or a time in ISO 8601"
                    raise InvalidInput.at(("body", name), "datetime_parsing", words) from error
        return times


def _moment(value: str | float | None, timezone: str) -> float | None:
    if value is None or isinstance(value, int | float):
        return value
    return instant_of(datetime.fromisoformat(value), timezone)


class ScheduleCreate(_ScheduleBody):
    """A new schedule."""

    name: Name = Field(description="Unique among the schedules of its owner.", examples=["morning"])
    cron_expr: CronExpression | None = Field(
        None, description="Five fields, or `@daily` and the like.", examples=["0 7 * * 1-5"]
    )
    endpoint: Endpoint = Field(description="What it calls: `POST` to the runs of an agent, a team or a workflow.")
    method: Method = Field("POST")
    payload: Payload = Field(None, description="The fields of the request that starts a run.")
    timezone: Zone = Field("UTC", description="An IANA time zone.", examples=["Europe/Oslo"])
    description: Description | None = None
    timeout_seconds: Timeout = Field(3600, description="How long a run may take.")
    max_retries: Retries = Field(0, description="How often a failed run is continued.")
    retry_delay_seconds: RetryDelay = 60
    jitter_seconds: UpToADay = Field(0, description="Fire later than each instant by a constant part of this.")
    on_missed: OnMissed = Field(
        OnMissed.ONCE, description="What happens to instants that no process was there for: once, skip, all."
    )
    grace_seconds: UpToADay = Field(3600, description="How late a missed instant may still fire.")
    overlap: Overlap = Field(
        Overlap.ENQUEUE, description="What a firing does while an earlier run of its session is active."
    )
    session: SessionPolicy = Field(
        SessionPolicy.SCHEDULE,
        description="One session for all runs, or a new one for each. A `session_id` in the payload takes precedence.",
    )

    def definition(self) -> Definition:
        """What the schedule does.

        :raises InvalidInput: it has no times, or a time is not valid.
        """
        if self.cron_expr is None and self.at is None:
            raise InvalidInput.at(("body", "cron_expr"), *MISSING)
        own = set(ScheduleCreate.model_fields) - {"name", *_MOMENTS}
        return Definition(**{name: getattr(self, name) for name in own} | self.moments(_zone(self.timezone)))


class ScheduleUpdate(_ScheduleBody):
    """Changes to a schedule. Fields that are left out stay as they are."""

    name: Name = ""
    cron_expr: CronExpression | None = None
    endpoint: Endpoint = ""
    method: Method = "POST"
    payload: Payload = None
    timezone: Zone = "UTC"
    description: Description | None = None
    timeout_seconds: Timeout = 3600
    max_retries: Retries = 0
    retry_delay_seconds: RetryDelay = 60
    jitter_seconds: UpToADay = 0
    on_missed: OnMissed = OnMissed.ONCE
    grace_seconds: UpToADay = 3600
    overlap: Overlap = Overlap.ENQUEUE
    session: SessionPolicy = SessionPolicy.SCHEDULE
    enabled: bool = True

    @classmethod
    async def read(cls, request: Request, settings: Settings) -> Self:
        """Read the body of ``request``. Null is a value here: it removes what may be absent.

        :raises InvalidInput: it is not a JSON object, or a value is wrong; it names each.
        """
        return validated(cls, await read_object(request, settings), "body")

    def changes(self, timezone: str) -> dict[str, Any]:
        """The fields of the definition that change.

        :param timezone: the schedule's, if it is not changed.
        :raises InvalidInput: a time is not valid.
        """
        names = self.model_fields_set - {"name", "enabled", *_MOMENTS}
        zone = self.timezone if "timezone" in names else timezone
        return {name: getattr(self, name) for name in names} | self.moments(_zone(zone))


def _zone(timezone: str) -> str:
    try:
        zone_of(timezone)
    except InvalidCron as error:
        raise InvalidInput(str(error)) from error
    return timezone


# --- answers ------------------------------------------------------------------------------------------

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
    """The next instants of a schedule."""

    timezone: str
    data: list[Instant]


def schedule_object(schedule: Schedule, scopes: Scopes) -> ScheduleResponse:
    """A schedule as a caller with these scopes sees it."""
    definition, payload = schedule.definition, schedule.definition.payload
    if payload is not None and not scopes.allows(_WRITE):
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
    if run is not None and run.row.state.is_settled:
        code = 200
    if state is RunState.ERROR:
        error = "Run failed with status ERROR"
    answer: ScheduleRunResponse = {
        "id": firing.id,
        "schedule_id": firing.schedule_id,
        "attempt": firing.attempt,
        "triggered_at": int(firing.created_at),
        "completed_at": int(firing.created_at) if run is None and firing.outcome is not None else None,
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


# --- operations ---------------------------------------------------------------------------------------


@operation("GET", "/schedules", "list_schedules_schedules_get", scope=_READ, tag=_TAG, summary="List Schedules")
async def list_schedules(
    schedules: ScheduleService, request: Request, caller: Caller, query: SchedulesQuery
) -> PaginatedResponse[ScheduleResponse]:
    """List the caller's schedules, newest first; an administrator's list has those of all."""
    conditions = ScheduleFilter(enabled=query.enabled, limit=query.limit, page=query.page)
    page, total = await schedules.search(conditions, caller)
    scopes = principal_of(request).scopes
    shown = [schedule_object(schedule, scopes) for schedule in page]
    return page_of(shown, total, page=query.page, limit=query.limit)


@operation(
    "POST",
    "/schedules",
    "create_schedule_schedules_post",
    scope=_WRITE,
    tag=_TAG,
    summary="Create Schedule",
    errors={409: "Another schedule has this name"},
    other_answers={201: Answer(ScheduleResponse)},
)
async def create_schedule(schedules: ScheduleService, request: Request, body: ScheduleCreate) -> Response:
    """Create a schedule. It acts with the caller's rights, which are checked at each firing."""
    principal = principal_of(request)
    schedule = await schedules.create(body.name, body.definition(), principal)
    return json_answer(schedule_object(schedule, principal.scopes), 201)


@operation(
    "GET",
    "/schedules/{schedule_id}",
    "get_schedule_schedules__schedule_id__get",
    scope=_READ,
    tag=_TAG,
    summary="Get Schedule",
    errors=_NOT_FOUND,
)
async def get_schedule(
    schedules: ScheduleService, request: Request, caller: Caller, schedule_id: str
) -> ScheduleResponse:
    """Get a schedule."""
    return schedule_object(await schedules.view(schedule_id, caller), principal_of(request).scopes)


@operation(
    "PATCH",
    "/schedules/{schedule_id}",
    "update_schedule_schedules__schedule_id__patch",
    scope=_WRITE,
    tag=_TAG,
    summary="Update Schedule",
    errors={**_NOT_FOUND, 409: "Another schedule has this name, or the schedule is declared in code"},
)
async def update_schedule(
    schedules: ScheduleService, request: Request, schedule_id: str, body: ScheduleUpdate
) -> ScheduleResponse:
    """Change a schedule. If its times change, it goes on with its next instant from now."""
    principal = principal_of(request)
    timezone = (await schedules.view(schedule_id, principal.caller)).definition.timezone
    name = body.name if "name" in body.model_fields_set else None
    enabled = body.enabled if "enabled" in body.model_fields_set else None
    schedule = await schedules.change(schedule_id, name, body.changes(timezone), enabled, principal)
    return schedule_object(schedule, principal.scopes)


@operation(
    "DELETE",
    "/schedules/{schedule_id}",
    "delete_schedule_schedules__schedule_id__delete",
    scope=_DELETE,
    tag=_TAG,
    summary="Delete Schedule",
    errors={**_NOT_FOUND, 409: "The schedule is declared in code"},
)
async def delete_schedule(schedules: ScheduleService, caller: Caller, schedule_id: str) -> None:
    """Delete a schedule with the list of its firings. Runs that it has started go on."""
    await schedules.remove(schedule_id, caller)


@operation(
    "POST",
    "/schedules/{schedule_id}/enable",
    "enable_schedule_schedules__schedule_id__enable_post",
    scope=_WRITE,
    tag=_TAG,
    summary="Enable Schedule",
    errors={**_NOT_FOUND, 409: "The schedule has no instant in the future"},
)
async def enable_schedule(schedules: ScheduleService, caller: Caller, schedule_id: str) -> ScheduleStateResponse:
    """Enable a schedule. It goes on with its next instant from now; those in between are not made up for."""
    return state_object(await schedules.set_enabled(schedule_id, True, caller))


@operation(
    "POST",
    "/schedules/{schedule_id}/disable",
    "disable_schedule_schedules__schedule_id__disable_post",
    scope=_WRITE,
    tag=_TAG,
    summary="Disable Schedule",
    errors=_NOT_FOUND,
)
async def disable_schedule(schedules: ScheduleService, caller: Caller, schedule_id: str) -> ScheduleStateResponse:
    """Disable a schedule. Runs that it has started go on, and failed ones are not retried."""
    return state_object(await schedules.set_enabled(schedule_id, False, caller))


@operation(
    "POST",
    "/schedules/{schedule_id}/trigger",
    "trigger_schedule_schedules__schedule_id__trigger_post",
    scope=_WRITE,
    tag=_TAG,
    summary="Trigger Schedule",
    errors={**_NOT_FOUND, 409: "Schedule is disabled", 503: "The server is not ready"},
    other_answers={200: Answer(ScheduleRunResponse, headers=[REPLAYED_HEADER])},
)
async def trigger_schedule(
    schedules: ScheduleService,
    server: Server,
    request: Request,
    caller: Caller,
    headers: IdempotencyHeaders,
    query: TriggerQuery,
    schedule_id: str,
) -> Response:
    """Fire a schedule now, in addition to its instants, and answer at once; with `wait`, after its run has ended."""
    server.require_ready()
    wait_seconds = min(query.wait or 0.0, server.settings.wait_max_seconds)
    async with validity_of(request).held():
        firing = await schedules.trigger(schedule_id, caller, headers.key, wait_seconds)
    return json_answer(firing_object(firing, principal_of(request).scopes))


@operation(
    "GET",
    "/schedules/{schedule_id}/next",
    "list_schedule_instants",
    scope=_READ,
    tag=_TAG,
    summary="List Schedule Instants",
    errors=_NOT_FOUND,
)
async def list_instants(schedules: ScheduleService, caller: Caller, query: NextQuery, schedule_id: str) -> NextInstants:
    """List the next instants of a schedule, as if it were enabled."""
    schedule, instants = await schedules.next_instants(schedule_id, query.n, caller)
    timezone = schedule.definition.timezone
    return {"timezone": timezone, "data": [instant_object(at, timezone) for at in instants]}


def instant_object(at: float, timezone: str) -> Instant:
    """One instant."""
    return {"at": int(at), "local": local_time(at, timezone)}


@operation(
    "GET",
    "/schedules/{schedule_id}/runs",
    "list_schedule_runs_schedules__schedule_id__runs_get",
    scope=_READ,
    tag=_TAG,
    summary="List Schedule Runs",
    errors=_NOT_FOUND,
)
async def list_firings(
    schedules: ScheduleService, request: Request, caller: Caller, query: FiringsQuery, schedule_id: str
) -> PaginatedResponse[ScheduleRunResponse]:
    """List what became of each instant and trigger of a schedule, newest first."""
    page, total = await schedules.firings(schedule_id, caller, limit=query.limit, page=query.page)
    scopes = principal_of(request).scopes
    shown = [firing_object(firing, scopes) for firing in page]
    return page_of(shown, total, page=query.page, limit=query.limit)


@operation(
    "GET",
    "/schedules/{schedule_id}/runs/{run_id}",
    "get_schedule_run_schedules__schedule_id__runs__run_id__get",
    scope=_READ,
    tag=_TAG,
    summary="Get Schedule Run",
    errors={404: "Schedule run not found"},
)
async def get_firing(
    schedules: ScheduleService, request: Request, caller: Caller, schedule_id: str, run_id: str
) -> ScheduleRunResponse:
    """Get what became of an instant or a trigger. `run_id` is the id in the list, not that of the agent's run."""
    return firing_object(await schedules.firing(schedule_id, run_id, caller), principal_of(request).scopes)


FEATURE = Feature(
    service=ScheduleService,
    operations=[
        list_schedules,
        create_schedule,
        get_schedule,
        update_schedule,
        delete_schedule,
        enable_schedule,
        disable_schedule,
        trigger_schedule,
        list_instants,
        list_firings,
        get_firing,
    ],
    start=ScheduleService.start,
    upkeep=ScheduleService.upkeep,
    run_removal_hook=REMOVAL_HOOK,
)
