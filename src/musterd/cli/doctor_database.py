"""What ``musterd doctor`` asks of the database. It changes nothing, and brings no schema up to date."""

from collections.abc import Iterator

from musterd.cli.doctor_check import Check, fail, ok, warn
from musterd.cli.units import shown_age, shown_size
from musterd.core.settings import Settings
from musterd.store import inspection
from musterd.store.inspection import Inspected, Place
from musterd.store.open_database import shown_url, sqlite_path
from musterd.store.upgrade import HEAD, require_usable_place

FREE_BYTES = 1024**3
"""Free space below which somebody should look."""
FREE_BYTES_LEAST = 64 * 1024**2
SKEW_SECONDS = 5.0
WAIT_SECONDS = 60.0
"""How long a run may wait for a worker before somebody should look."""


def database_checks(settings: Settings) -> Iterator[Check]:
    """Every check of the database, in order.

    :raises StartError: it cannot be used, in words; what follows could not be asked.
    """
    url = settings.db
    if inspection.is_file(url):
        require_usable_place(sqlite_path(url))
    place, revision = inspection.place(url), inspection.revision(url)
    where = f"{shown_url(url)}, {place.kind}"
    yield ok("database", where if place.file_system is None else f"{where}, on {place.file_system}")
    yield from _space(place)
    if revision is None:
        yield ok("schema", f"no records yet: the first start makes schema {HEAD}")
        return
    inspection.require_promised_tables(url)
    if revision == HEAD:
        yield ok("schema", revision)
    elif revision < HEAD:
        cure = "back it up first; older processes beside this one go on only where the change log says so"
        yield warn("schema", f"{revision}: the next start of this version brings it to {HEAD}", cure)
    else:
        yield warn("schema", f"{revision}: a newer version has written it, and lets this one ({HEAD}) go on", "upgrade")
    inspection.require_writable(url)
    yield ok("writable", "yes")
    found = inspection.inspect(url)
    yield ok("records", f"{found.runs} runs, {found.sessions} sessions, instance {found.instance}")
    yield _workers(found)
    yield _waiting(found)
    yield _upkeep(found)


def _space(place: Place) -> Iterator[Check]:
    if place.free is not None:
        found = f"{shown_size(place.free)} free, the database has {shown_size(place.size)}"
        if place.free < FREE_BYTES_LEAST:
            yield fail("disk", found, "free space on its volume: no run is accepted once it is full")
        elif place.free < max(FREE_BYTES, place.size):
            yield warn("disk", found, "free space on its volume; MUSTERD_RETENTION_DAYS lets old runs go")
        else:
            yield ok("disk", found)
    if place.skew_seconds is not None:
        found = f"{abs(place.skew_seconds):.1f} s between this machine and the server"
        is_off = abs(place.skew_seconds) > SKEW_SECONDS
        cure = "have both synchronised: delays, deadlines and expiries go by this machine's clock"
        yield warn("clock", found, cure) if is_off else ok("clock", found)


def _workers(found: Inspected) -> Check:
    count = found.stats.workers
    if found.dead:
        cure = "start one: it takes their runs over at once"
        return warn("workers", f"{count} announced, {len(found.dead)} of them dead", cure)
    return ok("workers", f"{count} announced")


def _waiting(found: Inspected) -> Check:
    states = {state: count for state, count in found.stats.runs.items() if count}
    told = ", ".join(f"{count} {state}" for state, count in states.items()) or "none that has not ended"
    waited = found.stats.oldest_ready_seconds
    if waited > WAIT_SECONDS:
        cure = "start a worker, or raise MUSTERD_CONCURRENCY; /-/ready names components that nobody drives"
        return warn("runs", f"{told}; one has waited {shown_age(waited)} for a worker", cure)
    return ok("runs", told)


def _upkeep(found: Inspected) -> Check:
    if not found.late:
        return ok("upkeep", "nothing is overdue")
    told = f"{found.late} runs are due, or expired, for more than {inspection.LATE_SECONDS:g} s"
    return warn("upkeep", told, "start a process that recovers: musterd serve or musterd worker")
