"""The toolkit ``schedules``, with which agents schedule runs for their user."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Unpack

from musterd.core import clock
from musterd.core.cron import InvalidCron, local_time, zone_of
from musterd.core.errors import RequestError
from musterd.core.jsontypes import JsonObject
from musterd.declare import ToolContext, Toolkit, tool
from musterd.declare.problems import note
from musterd.declare.source_location import current_place, declaration_error
from musterd.declare.tool_errors import ToolFailed
from musterd.declare.toolkit import ToolkitOptions
from musterd.features.schedules.api import ScheduleCreate
from musterd.features.schedules.records import Schedule
from musterd.features.schedules.run_schedules import RunSchedules
from musterd.features.schedules.service import ScheduleService
from musterd.http.parameters import validated
from musterd.loop.progress import CallContext

LISTED = 50
_NAMESPACE = "6c1f7f0e-3f0b-4c57-9d5c-2b6f1f5f2a90"


class SchedulerTools(Toolkit):
    """Tools with which an agent manages schedules of its user: ``tools=["schedules"]``.

    A schedule starts the agent, team or workflow whose run created it, with the rights of the user of that run. A
    person confirms each call that creates or deletes one, unless ``requires_confirmation_tools`` says otherwise.

    :param default_timezone: the time zone of schedules for which the model names none.
    :param options: those of :class:`musterd.Toolkit`.
    """

    name = "schedules"
    instructions = (
        "You can schedule work for later with the tools for schedules. At its times, a schedule sends you its message "
        "in a new conversation, so the message must say all that is needed."
    )
    requires_confirmation_tools = ("create_schedule", "delete_schedule")

    def __init__(self, *, default_timezone: str = "UTC", **options: Unpack[ToolkitOptions]) -> None:
        super().__init__(**options)
        self._default_timezone = default_timezone
        try:
            zone_of(default_timezone)
        except InvalidCron as error:
            problem, fix = f"SchedulerTools: {error}", 'use an IANA name, such as "Europe/Oslo"'
            note(declaration_error(current_place(), problem, fix))

    @tool(retry_safe=True)
    async def create_schedule(
        self,
        context: ToolContext,
        name: str,
        message: str,
        cron: str | None = None,
        at: str | None = None,
        timezone: str | None = None,
        description: str | None = None,
    ) -> JsonObject:
        """Schedule a message to yourself, at recurring times or once. Set either cron or at.

        Args:
            name: A short name that the user will recognize; letters, digits, spaces, dots, "-" and "_".
            message: What to do then, with everything that must be known for it.
            cron: Recurring times: five fields as in cron, like "0 7 * * MON-FRI".
            at: One time in ISO 8601, like "2030-01-31T09:00".
            timezone: The IANA time zone of these times, like "Europe/Oslo".
            description: What the schedule is for.
        """
        schedules = await _schedules(context)
        values: JsonObject = {
            "name": name,
            "cron_expr": cron,
            "at": at,
            "timezone": timezone or self._default_timezone,
            "description": description,
            "endpoint": schedules.endpoint,
            "payload": {"message": message},
        }
        set_values = {field: value for field, value in values.items() if value is not None}
        with _refusals_for_model():
            body = validated(ScheduleCreate, set_values, "body")
            # The same id if the call is repeated after a crash, which then finds the schedule that it has created.
            schedule_id = clock.derived_id(_NAMESPACE, context.idempotency_key)
            return _object(await schedules.create(schedule_id, body.name, body.definition()))

    @tool(retry_safe=True)
    async def list_schedules(self, context: ToolContext) -> JsonObject:
        """List the user's schedules, newest first, with the present time."""
        schedules = await _schedules(context)
        with _refusals_for_model():
            newest = await schedules.newest(LISTED)
        now = local_time(clock.now(), self._default_timezone)
        return {"now": now, "timezone": self._default_timezone, "schedules": [_object(one) for one in newest]}

    @tool(retry_safe=True)
    async def enable_schedule(self, context: ToolContext, schedule_id: str) -> JsonObject:
        """Enable a schedule. It goes on with its next time from now.

        Args:
            schedule_id: Its id in the list of schedules.
        """
        return await _set_enabled(context, schedule_id, True)

    @tool(retry_safe=True)
    async def disable_schedule(self, context: ToolContext, schedule_id: str) -> JsonObject:
        """Disable a schedule without deleting it.

        Args:
            schedule_id: Its id in the list of schedules.
        """
        return await _set_enabled(context, schedule_id, False)

    @tool(retry_safe=True)
    async def delete_schedule(self, context: ToolContext, schedule_id: str) -> str:
        """Delete a schedule. Runs that it has started go on.

        Args:
            schedule_id: Its id in the list of schedules.
        """
        schedules = await _schedules(context)
        with _refusals_for_model():
            await schedules.remove(schedule_id)
        return "The user has no schedule with this id now."


async def _schedules(context: ToolContext) -> RunSchedules:
    """The schedules of the user of the run that makes the call.

    :raises ToolFailed: they are not available to this run.
    """
    assert isinstance(context, CallContext), "only runs call these tools"
    with _refusals_for_model():
        return await context.services(ScheduleService).of_run(context.root_run_id)


async def _set_enabled(context: ToolContext, schedule_id: str, enabled: bool) -> JsonObject:
    schedules = await _schedules(context)
    with _refusals_for_model():
        return _object(await schedules.set_enabled(schedule_id, enabled))


@contextmanager
def _refusals_for_model() -> Iterator[None]:
    """Let the model read why it was refused.

    :raises ToolFailed: the request was refused.
    """
    try:
        yield
    except RequestError as error:
        raise ToolFailed(error.message) from error


def _object(schedule: Schedule) -> JsonObject:
    """A schedule as a model reads it. Fields without a value are left out."""
    definition = schedule.definition

    def local(at: float | None) -> str | None:
        return None if at is None else local_time(at, definition.timezone)

    values: JsonObject = {
        "schedule_id": schedule.id,
        "name": schedule.name,
        "description": definition.description,
        "message": (definition.payload or {}).get("message"),
        "cron": definition.cron_expr,
        "at": local(definition.at),
        "timezone": definition.timezone,
        "enabled": schedule.enabled,
        "next_time": local(schedule.next_run_at),
    }
    return {name: value for name, value in values.items() if value is not None}
