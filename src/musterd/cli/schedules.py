"""``musterd schedules`` and ``musterd cron``: schedules without a running server."""

from itertools import islice

from musterd.cli.offline_database import with_database
from musterd.cli.output import Column, print_json, print_table, print_text, with_iso_times
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
CRON_HELP = "give five fields (minute, hour, day, month, weekday), such as '0 9 * * 1', and a zone such as Europe/Oslo"
COLUMNS = [
    Column("NAME"),
    Column("TIMES"),
    Column("ZONE"),
    Column("NEXT"),
    Column("ENDPOINT", is_text=True),
    Column("ID"),
]
_EVERYBODY = Caller()


def show(*, db: str | None, as_json: bool) -> int:
    """Print all schedules."""
    schedules = with_database(settings_from(db), _all_schedules)
    if as_json:
        print_json(with_iso_times([schedule_object(schedule, EVERYTHING) for schedule in schedules]))
    else:
        print_table(COLUMNS, map(_cells, schedules), empty="There are no schedules.")
    return 0


def trigger(name: str, *, db: str | None) -> int:
    """Let a server fire a schedule now, and print the id of the firing.

    :raises NotFound: there is no such schedule.
    :raises Conflict: it is disabled, or several have the name.
    """

    from musterd.features.schedules.management import Schedules

    async def work(database: Database) -> Firing:
        schedule = await database.read(lambda tx: _named(tx, name))
        return await Schedules(database).trigger(schedule.id, _EVERYBODY)

    print_text(with_database(settings_from(db), work).id)
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

    print_table(COLUMNS, [_cells(with_database(settings_from(db), work))], empty="")
    return 0


def show_cron(expression: str, timezone: str, *, as_json: bool) -> int:
    """Print the next instants of a cron expression.

    :raises StartError: it cannot be used.
    """
    try:
        cron = Cron.parse(expression, timezone)
    except InvalidCron as error:
        raise StartError(f"{error} — {CRON_HELP}") from error
    instants = list(islice(cron.all_after(clock.now()), INSTANTS))
    if as_json:
        print_json(with_iso_times([instant_object(instant, timezone) for instant in instants]))
    for instant in () if as_json else instants:
        print_text(local_time(instant, timezone))
    return 0


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


def _cells(schedule: Schedule) -> tuple[str, ...]:
    definition, next_run_at = schedule.definition, schedule.next_run_at
    following = "disabled" if next_run_at is None else local_time(next_run_at, definition.timezone)
    times = definition.cron_expr or "once"
    return schedule.name, times, definition.timezone, following, definition.endpoint, schedule.id
