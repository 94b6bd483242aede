"""The operations on schedules."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.requests import Request
from starlette.responses import Response

from musterd.core.callers import Caller
from musterd.core.cron import LATEST, InvalidCron, instant_of, zone_of
from musterd.core.cron import MAX_LENGTH as MAX_CRON
from musterd.core.errors import InvalidInput
from musterd.core.settings import Settings
from musterd.features.schedules import store
from musterd.features.schedules.answers import (
    WRITE,
    NextInstants,
    ScheduleResponse,
    ScheduleRunResponse,
    ScheduleStateResponse,
    firing_object,
    instant_object,
    schedule_object,
    state_object,
)
from musterd.features.schedules.management import Schedules
from musterd.features.schedules.records import (
    NAME,
    NAME_LENGTH,
    Definition,
    Firing,
    OnMissed,
    Overlap,
    Schedule,
    ScheduleFilter,
    SessionPolicy,
)
from musterd.features.schedules.removal import REMOVAL_HOOK
from musterd.features.schedules.service import ScheduleService
from musterd.http.auth.expiry import validity_of
from musterd.http.auth.principals import Principal
from musterd.http.auth.scopes import principal_of
from musterd.http.feature import Feature, FeatureDuty
from musterd.http.json_bodies import read_object
from musterd.http.operation import Answer, operation
from musterd.http.parameters import Body, JsonObjectField, PageQuery, Query, Text, validated
from musterd.http.responses import answer_with_runs, json_answer
from musterd.http.run_operation import REPLAYED_HEADER, IdempotencyHeaders
from musterd.http.run_requests import Budget
from musterd.http.server import Server
from musterd.wire.pages import MAX_PAGES
from musterd.wire.problems import MISSING
from musterd.wire.shapes import PaginatedResponse, page_of

_TAG = "Schedules"
_READ, _DELETE = "schedules:read", "schedules:delete"
_NOT_FOUND = {404: "Schedule not found"}
MAX_SCHEDULES = 1000
MAX_INSTANTS = 100
MAX_DAY_SECONDS = 86_400


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

    wait: float | None = Field(None, ge=0, description="Seconds to wait for its end, at most MUSTERD_WAIT_MAX_SECONDS")


class NextQuery(Query):
    """The query of the next instants."""

    n: int = Field(10, ge=1, le=MAX_INSTANTS, description="How many")


class BackfillBody(Body):
    """The instants to make up for."""

    start: float = Field(ge=0, allow_inf_nan=False, description="The first one, in unix seconds.")
    end: float = Field(ge=0, allow_inf_nan=False, description="The last one.")


class _ScheduleBody(Body):
    """The fields that a new schedule and a change have in common, except those with defaults."""

    at: Moment = Field(None, description="Fire once at this time, in place of `cron_expr`.")
    starts_at: Moment = Field(None, description="No instant before this time.")
    ends_at: Moment = Field(None, description="No instant after this time.")
    budget: Budget = Field(None, description="A budget for each run.")

    def moments(self, timezone: str) -> dict[str, float | None]:
        """The times that are given, as unix seconds.

        :raises InvalidInput: one is not a time, or too far from today.
        """
        times: dict[str, float | None] = {}
        for name in _MOMENTS:
            if name in self.model_fields_set:
                try:
                    times[name] = _moment(getattr(self, name), timezone)
                except ValueError as error:
                    words = "Input should be unix seconds before the year 9000, or a time in ISO 8601"
                    raise InvalidInput.at(("body", name), "datetime_parsing", words) from error
        return times


def _moment(value: str | float | None, timezone: str) -> float | None:
    if value is None:
        return None
    moment = value if isinstance(value, int | float) else instant_of(datetime.fromisoformat(value), timezone)
    if not 0 <= moment < LATEST:  # such as milliseconds: nothing could show it as a date
        raise ValueError(value)
    return moment


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
    jitter_seconds: UpToADay = Field(
        0, description="Most seconds by which a firing is later than its instant; constant for each schedule."
    )
    on_missed: OnMissed = Field(OnMissed.ONCE, description="What happens to missed instants: once, skip, all.")
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


def _unchanged() -> Any:
    """The default of a field that need not be given, and may not be null unless its type says so."""
    return Field(default_factory=lambda: None)


class ScheduleUpdate(_ScheduleBody):
    """Changes to a schedule. Fields that are left out stay as they are."""

    name: Name = _unchanged()
    cron_expr: CronExpression | None = _unchanged()
    endpoint: Endpoint = _unchanged()
    method: Method = _unchanged()
    payload: Payload = _unchanged()
    timezone: Zone = _unchanged()
    description: Description | None = _unchanged()
    timeout_seconds: Timeout = _unchanged()
    max_retries: Retries = _unchanged()
    retry_delay_seconds: RetryDelay = _unchanged()
    jitter_seconds: UpToADay = _unchanged()
    on_missed: OnMissed = _unchanged()
    grace_seconds: UpToADay = _unchanged()
    overlap: Overlap = _unchanged()
    session: SessionPolicy = _unchanged()
    enabled: bool = _unchanged()

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


async def change(schedules: Schedules, schedule_id: str, body: ScheduleUpdate, principal: Principal) -> Schedule:
    """Make the changes of a body; the errors are those of :meth:`Schedules.change`."""
    timezone = (await schedules.view(schedule_id, principal.caller)).definition.timezone
    name = body.name if "name" in body.model_fields_set else None
    enabled = body.enabled if "enabled" in body.model_fields_set else None
    return await schedules.change(schedule_id, name, body.changes(timezone), enabled, principal)


# --- operations ---------------------------------------------------------------------------------------


@operation("GET", "/schedules", "list_schedules_schedules_get", scope=_READ, tag=_TAG, summary="List Schedules")
async def list_schedules(
    schedules: ScheduleService, request: Request, caller: Caller, query: SchedulesQuery
) -> PaginatedResponse[ScheduleResponse]:
    """List the caller's schedules, newest first; an administrator's list has those of all."""
    conditions = ScheduleFilter(enabled=query.enabled, limit=query.limit, page=query.page)
    page, total = await schedules.search(conditions, caller)
    scopes = principal_of(request).scopes
    data = [schedule_object(schedule, scopes) for schedule in page]
    return page_of(data, total, page=query.page, limit=query.limit)


@operation(
    "POST",
    "/schedules",
    "create_schedule_schedules_post",
    scope=WRITE,
    tag=_TAG,
    summary="Create Schedule",
    errors={409: "Another schedule has this name"},
    other_answers={201: Answer(ScheduleResponse, headers=[REPLAYED_HEADER])},
)
async def create_schedule(
    schedules: ScheduleService, request: Request, headers: IdempotencyHeaders, body: ScheduleCreate
) -> Response:
    """Create a schedule. It acts with the caller's rights, which are checked at each firing."""
    principal = principal_of(request)
    schedule, is_repeated = await schedules.create_once(body.name, body.definition(), principal, headers.key)
    return json_answer(schedule_object(schedule, principal.scopes), 201, headers.replayed(is_repeated))


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
    scope=WRITE,
    tag=_TAG,
    summary="Update Schedule",
    errors={**_NOT_FOUND, 409: "Another schedule has this name, or the schedule is declared in code"},
)
async def update_schedule(
    schedules: ScheduleService, request: Request, schedule_id: str, body: ScheduleUpdate
) -> ScheduleResponse:
    """Change a schedule. If its times change, it goes on with its next instant from now."""
    principal = principal_of(request)
    return schedule_object(await change(schedules, schedule_id, body, principal), principal.scopes)


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
    scope=WRITE,
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
    scope=WRITE,
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
    scope=WRITE,
    tag=_TAG,
    summary="Trigger Schedule",
    errors={**_NOT_FOUND, 409: "Schedule is disabled, or the key is taken", 503: "The server is not ready"},
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
        firing, is_repeated = await schedules.trigger_once(schedule_id, caller, headers.key, wait_seconds)
    return await _answer(firing, request, headers.replayed(is_repeated))


async def _answer(firing: Firing, request: Request, headers: dict[str, str] | None = None) -> Response:
    scopes, runs = principal_of(request).scopes, [] if firing.run is None else [firing.run]
    return await answer_with_runs(lambda: firing_object(firing, scopes), runs, headers)


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


@operation(
    "POST",
    "/schedules/{schedule_id}/backfill",
    "backfill_schedule",
    scope=WRITE,
    tag=_TAG,
    summary="Backfill Schedule",
    errors={**_NOT_FOUND, 409: "Schedule is disabled"},
)
async def backfill_schedule(
    schedules: ScheduleService, caller: Caller, schedule_id: str, body: BackfillBody
) -> NextInstants:
    """Fire the past instants of a range that have not fired, at most 100, and list them. Their runs start soon."""
    schedule, instants = await schedules.backfill(schedule_id, body.start, body.end, caller)
    timezone = schedule.definition.timezone
    return {"timezone": timezone, "data": [instant_object(at, timezone) for at in instants]}


@operation(
    "GET",
    "/schedules/{schedule_id}/runs",
    "list_schedule_runs_schedules__schedule_id__runs_get",
    scope=_READ,
    tag=_TAG,
    summary="List Schedule Runs",
    errors=_NOT_FOUND,
    other_answers={200: Answer(PaginatedResponse[ScheduleRunResponse])},
)
async def list_firings(
    schedules: ScheduleService, request: Request, caller: Caller, query: FiringsQuery, schedule_id: str
) -> Response:
    """List what became of each instant and trigger of a schedule, newest first."""
    page, total = await schedules.firings(schedule_id, caller, limit=query.limit, page=query.page)
    scopes = principal_of(request).scopes

    def render() -> PaginatedResponse[ScheduleRunResponse]:
        data = [firing_object(firing, scopes) for firing in page]
        return page_of(data, total, page=query.page, limit=query.limit)

    return await answer_with_runs(render, [firing.run for firing in page if firing.run is not None])


@operation(
    "GET",
    "/schedules/{schedule_id}/runs/{run_id}",
    "get_schedule_run_schedules__schedule_id__runs__run_id__get",
    scope=_READ,
    tag=_TAG,
    summary="Get Schedule Run",
    errors={404: "Schedule run not found"},
    other_answers={200: Answer(ScheduleRunResponse)},
)
async def get_firing(
    schedules: ScheduleService, request: Request, caller: Caller, schedule_id: str, run_id: str
) -> Response:
    """Get what became of an instant or a trigger. `run_id` is the id in the list, not that of the agent's run."""
    return await _answer(await schedules.firing(schedule_id, run_id, caller), request)


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
        backfill_schedule,
        list_firings,
        get_firing,
    ],
    start=ScheduleService.start,
    upkeep=[
        FeatureDuty(name="fire_schedules", work=ScheduleService.fire_soon, is_due=store.is_any_due),
        FeatureDuty(name="remove_firings", work=ScheduleService.remove_old),
    ],
    run_removal_hook=REMOVAL_HOOK,
)
