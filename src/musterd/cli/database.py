"""``musterd db``: show what a database contains, and back it up."""

from pathlib import Path

from musterd.cli.output import counted, print_json, print_text, with_iso_times
from musterd.cli.units import format_age, format_size
from musterd.core import clock
from musterd.core.errors import StartError
from musterd.core.redacted_urls import redacted_url
from musterd.core.settings import Settings
from musterd.store import inspection
from musterd.store.backup import back_up
from musterd.store.open_database import sqlite_path
from musterd.store.schema import HEAD


def info(settings: Settings, *, as_json: bool) -> int:
    """Print what the database contains. The database is not changed or upgraded.

    :raises StartError: the database cannot be used; the message says why.
    """
    url = settings.db
    storage, revision = inspection.storage(url), inspection.revision(url)
    facts: dict[str, object] = {
        "database": redacted_url(url),
        "kind": storage.kind,
        "size_bytes": storage.size,
        "free_bytes": storage.free,
        "schema": revision,
        "schema_of_this_version": HEAD,
    }
    if revision is not None:
        contents = inspection.inspect(url)
        facts |= {
            "instance": contents.instance,
            "created_at": contents.created_at,
            "sessions": contents.sessions,
            "runs": contents.runs,
            "runs_not_ended": contents.stats.runs,
            "oldest_ready_seconds": round(contents.stats.oldest_ready_seconds, 3),
            "knowledge_bases": len(contents.embedders),
            "knowledge_embedders": contents.embedders,
            "knowledge_contents": contents.knowledge_contents,
            "approvals_pending": contents.stats.approvals,
            "workers": contents.stats.workers,
        }
    if as_json:
        print_json(with_iso_times(facts))
    else:
        print_text("\n".join(_lines(facts)))
    return 0


def _lines(facts: dict[str, object]) -> list[str]:
    width = max(map(len, facts))
    return [
        f"{name.removesuffix('_bytes').replace('_', ' '):{width}}  {_format(name, value)}"
        for name, value in facts.items()
    ]


def _format(name: str, value: object) -> str:
    if value is None:
        return "none, not a musterd database" if name == "schema" else "unknown"
    if name == "knowledge_embedders" and isinstance(value, dict):
        return ", ".join(f"{base}: {embedder or 'words alone'}" for base, embedder in value.items()) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{count} {state}" for state, count in value.items())
    if isinstance(value, int) and name.endswith("_bytes"):
        return format_size(value)
    if isinstance(value, float) and name == "created_at":
        return f"{format_age(clock.now() - value)} ago"
    return str(value)


def backup(settings: Settings, file: Path, *, force: bool) -> int:
    """Copy the database into ``file``, even while it is in use.

    :raises StartError: the backup is not possible; the message says why.
    """
    if not inspection.is_file(settings.db):
        raise StartError(
            "only SQLite databases can be backed up with this command — use pg_dump --format=custom --file=FILE "
            "and pg_restore, or your host's backups"
        )
    copy = back_up(sqlite_path(settings.db), file.absolute(), replaces=force)
    size = format_size(copy.size)
    result = f"{size}, {counted(copy.runs, 'run')}, integrity check passed, in {copy.seconds:.1f} s"
    print_text(f"musterd: {copy.path}: {result}")
    return 0
