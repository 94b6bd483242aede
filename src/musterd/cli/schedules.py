"""``musterd schedules`` and ``musterd cron``: schedules without a running server."""

from itertools import islice

from musterd.cli.offline_database import with_database
from musterd.cli.output import print_list
from musterd.cli.settings import settings_from
from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.cron import Cron, InvalidCron, local_time
from musterd.core.errors import Conflict, NotFound, StartError
from musterd.core.scopes import EVERYTHING
from musterd.features.schedules import store
from musterd.features.schedules.answers import instant_object, schedule_object
from musterd.features.schedules.records import Firing, Schedule, ScheduleFilter
from musterd.store.database import Database, Tx

PAGE = 1000
INSTANTS = 10
_EVERYBODY = Caller()


def show(*, db: str | None, as_json: bool) -> int:
    """Print all schedules."""
    schedules = with_database(settings_from(db), _all_schedules)
    return print_list(schedules, _line, lambda schedule: schedule_object(schedule, EVERYTHING), as_json=as_json)


def trigger(name: str, *, db: str | None) -> int:
    """Let a server fire a schedule now, and print the id of the firing.

    :raises NotFound: there is no such schedule.
    :raises Conflict: it is disabled, or several have the name.
    """

    from musterd.features.schedules.management import Schedules

    async def work(database: Database) -> Firing:
        schedule = await database.read(lambda tx: _named(tx, name))
        return await Schedules(database).trigger(schedule.id, _EVERYBODY)

    print(with_database(settings_from(db), work).id)  # noqa: T201 - the output of the command
    return 0


def enable(name: str, *, enabled: bool, db: str | None) -> int:
    """Enable or disable a schedule, and print it.

    :raises NotFound: there is no such schedule.
    :raises Conflict: it has no instant any more, or several have the name.
    """
    from musterd.features.schedules.management import Schedules

    async def work(database: Database) -> Schedule:
        schedule = await database.read(lambda tx: _named(tx, name))
        return await Schedules(database).set_enabled(schedule.id, enabled, _EVERYBODY)

    print(_line(with_database(settings_from(db), work)))  # noqa: T201 - the output of the command
    return 0


def show_cron(expression: str, timezone: str, *, as_json: bool) -> int:
    """Print the next instants of a cron expression.

    :raises StartError: it cannot be used.
    """
    try:
        cron = Cron.parse(expression, timezone)
    except InvalidCron as error:
        raise StartError(str(error)) from error
    return print_list(
        islice(cron.all_after(clock.now()), INSTANTS),
        lambda instant: local_time(instant, timezone),
        lambda instant: instant_object(instant, timezone),
        as_json=as_json,
    )


async def _all_schedules(database: Database) -> list[Schedule]:
    schedules: list[Schedule] = []
    while True:
        query = ScheduleFilter(limit=PAGE, page=len(schedules) // PAGE + 1)
        page, total = await database.scan(lambda tx, query=query: store.search(tx, query, _EVERYBODY))  # type: ignore[misc]
        schedules += page
        if len(schedules) >= total or not page:
            return schedules


async def _named(tx: Tx, name: str) -> Schedule:
    schedules = await store.named(tx, name)
    if not schedules:
        raise NotFound(f"{name}: there is no such schedule")
    if len(schedules) > 1:
        ids = ", ".join(schedule.id for schedule in schedules)
        raise Conflict(f"{name}: several users have a schedule of this name; use one of the ids {ids}")
    return schedules[0]


def _line(schedule: Schedule) -> str:
    definition = schedule.definition
    times = definition.cron_expr or "once"
    if schedule.next_run_at is None:
        following = "disabled"
    else:
        following = f"next {local_time(schedule.next_run_at, definition.timezone)}"
    return f"{schedule.id}  {schedule.name}  {times}  {definition.timezone}  {following}  {definition.endpoint}"
