"""``musterd db``: what a database holds, and a copy of it."""

import json
from pathlib import Path

from musterd.cli.units import shown_age, shown_size
from musterd.core import clock
from musterd.core.errors import StartError
from musterd.core.settings import Settings
from musterd.store import inspection
from musterd.store.backup import back_up
from musterd.store.open_database import shown_url, sqlite_path
from musterd.store.upgrade import HEAD


def info(settings: Settings, *, as_json: bool) -> int:
    """Say what the database holds; it is not changed, nor brought up to date.

    :raises StartError: it cannot be used, in words.
    """
    url = settings.db
    place, revision = inspection.place(url), inspection.revision(url)
    told: dict[str, object] = {
        "database": shown_url(url),
        "kind": place.kind,
        "size_bytes": place.size,
        "free_bytes": place.free,
        "schema": revision,
        "schema_of_this_version": HEAD,
    }
    if revision is not None:
        found = inspection.inspect(url)
        told |= {
            "instance": found.instance,
            "created_at": found.created_at,
            "sessions": found.sessions,
            "runs": found.runs,
            "runs_not_ended": found.stats.runs,
            "oldest_ready_seconds": round(found.stats.oldest_ready_seconds, 3),
            "approvals_pending": found.stats.approvals,
            "workers": found.stats.workers,
        }
    print(json.dumps(told) if as_json else "\n".join(_lines(told)))  # noqa: T201 - what a command says
    return 0


def _lines(told: dict[str, object]) -> list[str]:
    width = max(map(len, told))
    return [f"{name.removesuffix('_bytes'):{width}}  {_shown(name, value)}" for name, value in told.items()]


def _shown(name: str, value: object) -> str:
    if value is None:
        return "none: there are no records" if name == "schema" else "not known"
    if isinstance(value, dict):
        return ", ".join(f"{count} {state}" for state, count in value.items())
    if isinstance(value, int) and name.endswith("_bytes"):
        return shown_size(value)
    if isinstance(value, float) and name == "created_at":
        return f"{shown_age(clock.now() - value)} ago"
    return str(value)


def backup(settings: Settings, file: Path, *, force: bool) -> int:
    """Copy the database into ``file`` while it is in use.

    :raises StartError: it cannot be done, in words.
    """
    if not inspection.is_file(settings.db):
        raise StartError(
            "a Postgres database is backed up with its own means — pg_dump --format=custom --file=FILE, "
            "or your host's backups; pg_restore brings it back"
        )
    made = back_up(sqlite_path(settings.db), file.absolute(), replaces=force)
    size = shown_size(made.size)
    print(f"musterd: {made.path}: {size}, {made.runs} runs, found sound, in {made.seconds:.1f} s")  # noqa: T201
    return 0
