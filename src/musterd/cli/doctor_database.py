"""The checks of ``musterd doctor`` on the database. They change nothing and do not upgrade the schema."""

from collections.abc import Iterator

from musterd.cli.doctor_check import Check, fail, ok, warn
from musterd.cli.output import counted
from musterd.cli.units import format_age, format_size
from musterd.core.redacted_urls import redacted_url
from musterd.core.settings import Settings
from musterd.store import inspection
from musterd.store.inspection import DatabaseStorage, Inspected
from musterd.store.open_database import sqlite_path
from musterd.store.schema import HEAD
from musterd.store.sqlite_upgrade import require_usable_place

FREE_BYTES = 1024**3
"""Less free space than this is a warning."""
FREE_BYTES_LEAST = 64 * 1024**2
"""Less free space than this is a failure."""
SKEW_SECONDS = 5.0
WAIT_SECONDS = 60.0
"""A run that has waited longer than this for a worker is a warning."""


def database_checks(settings: Settings) -> Iterator[Check]:
    """All checks of the database, in order.

    :raises StartError: the database cannot be used, so that the remaining checks are not possible.
    """
    url = settings.db
    if inspection.is_file(url):
        require_usable_place(sqlite_path(url))
    place, revision = inspection.storage(url), inspection.revision(url)
    file_system = f", on {place.file_system}" if place.file_system is not None else ""
    yield ok("database", f"{redacted_url(url)}, {place.kind}{file_system}")
    yield from _space(place)
    if revision is None:
        yield ok("schema", f"none yet; the first start creates schema {HEAD}")
        return
    inspection.require_head_tables(url)
    if revision == HEAD:
        yield ok("schema", revision)
    elif revision < HEAD:
        cure = "back it up first; older processes continue to work only if the change log says so"
        yield warn("schema", f"{revision}: the next start of this version upgrades it to {HEAD}", cure)
    else:
        yield warn(
            "schema",
            f"{revision}: written by a newer version, which is compatible with this one ({HEAD})",
            "upgrade musterd on this machine",
        )
    inspection.require_writable(url)
    yield ok("writable", "yes")
    contents = inspection.inspect(url)
    runs, sessions = counted(contents.runs, "run"), counted(contents.sessions, "session")
    yield ok("records", f"{runs}, {sessions}, database id {contents.instance}")
    yield _knowledge(contents)
    yield _workers(contents)
    yield _waiting(contents)
    yield _upkeep(contents)


def _space(place: DatabaseStorage) -> Iterator[Check]:
    if place.free is not None:
        space = f"{format_size(place.free)} free; the database uses {format_size(place.size)}"
        if place.free < FREE_BYTES_LEAST:
            yield fail("disk", space, "free space on its volume; no runs are accepted when it is full")
        elif place.free < max(FREE_BYTES, place.size):
            yield warn("disk", space, "free space on its volume; MUSTERD_RETENTION_DAYS deletes old runs")
        else:
            yield ok("disk", space)
    if place.skew_seconds is not None:
        skew = f"{abs(place.skew_seconds):.1f} s between this machine and the server"
        is_off = abs(place.skew_seconds) > SKEW_SECONDS
        cure = "synchronize both clocks; delays, deadlines and expiry times use this machine's clock"
        yield warn("clock", skew, cure) if is_off else ok("clock", skew)


def _knowledge(contents: Inspected) -> Check:
    counts = ", ".join(f"{count} {status}" for status, count in contents.knowledge_contents.items() if count)
    return ok("knowledge", f"{counted(len(contents.embedders), 'knowledge base')}, contents: {counts or 'none'}")


def _workers(contents: Inspected) -> Check:
    count = contents.stats.workers
    if contents.dead:
        cure = "start a worker; it takes over the runs of dead workers at once"
        return warn("workers", f"{count} registered, {len(contents.dead)} of them dead", cure)
    return ok("workers", f"{count} registered")


def _waiting(contents: Inspected) -> Check:
    states = {state: count for state, count in contents.stats.runs.items() if count}
    counts = ", ".join(f"{count} {state}" for state, count in states.items()) or "no unfinished runs"
    waiting_seconds = contents.stats.oldest_ready_seconds
    if waiting_seconds > WAIT_SECONDS:
        cure = "start a worker, or raise MUSTERD_CONCURRENCY; /-/ready names components that no process serves"
        return warn("runs", f"{counts}; one has waited {format_age(waiting_seconds)} for a worker", cure)
    return ok("runs", counts)


def _upkeep(contents: Inspected) -> Check:
    if not contents.late:
        return ok("upkeep", "nothing is overdue")
    verb = "is" if contents.late == 1 else "are"
    overdue = f"{counted(contents.late, 'run')} {verb} overdue or expired by more than {inspection.LATE_SECONDS:g} s"
    return warn("upkeep", overdue, "start a process that does upkeep: musterd serve or musterd worker")
