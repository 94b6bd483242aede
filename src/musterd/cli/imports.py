"""``musterd import``: copy the data of another server into the database, without a running server."""

import asyncio
import sys
from collections.abc import Sequence

from musterd.cli.offline_database import with_database
from musterd.cli.output import counted, one_line, print_json, print_text, say
from musterd.cli.settings import settings_from
from musterd.core import clock
from musterd.core.errors import StartError
from musterd.core.redacted_urls import redacted_url
from musterd.core.settings import Settings
from musterd.http.auth.modes import auth_mode
from musterd.imports.agentos import AgentOSDatabase
from musterd.imports.importing import Import
from musterd.imports.report import OTHER_TABLES, Report
from musterd.imports.runs import Names
from musterd.store import inspection, schema
from musterd.store.database import Database

PROGRESS_SECONDS = 2.0
SHOWN_ROWS = 20
"""The maximum number of skipped rows that are printed; ``--json`` has more."""
INTERRUPTED = 130
_SINGULAR = {"sessions": "session", "runs": "run", "memories": "memory", "approvals": "approval"}


def import_agno(
    address: str, *, db: str | None, components: Sequence[str], owned: bool | None, dry_run: bool, as_json: bool
) -> int:
    """Import an AgentOS database and print the report.

    :param address: a file or a URL.
    :param components: new ids of components: ``old=new``.
    :param owned: whether what is imported belongs to its users; None: if the settings have token keys.
    :raises StartError: one of the databases cannot be used, or an item of ``components`` is not ``old=new``.
    """
    settings = settings_from(db)
    has_owners = auth_mode(settings) == "jwt" if owned is None else owned
    names = Names(components=_new_ids(components), has_owners=has_owners)
    source = AgentOSDatabase(address)
    try:
        report = _import(source, settings, names, writes=not dry_run)
    except KeyboardInterrupt:
        say("musterd: interrupted; run the same command again to continue")
        return INTERRUPTED
    finally:
        source.close()
    facts = {"source": source.name, "database": redacted_url(settings.db), "is_dry_run": dry_run}
    if as_json:
        print_json({**facts, "has_owners": has_owners, **report.as_json()})
    else:
        for line in _lines(report, is_dry_run=dry_run):
            print_text(line)
    return 0 if report.is_complete else 1


def _import(source: AgentOSDatabase, settings: Settings, names: Names, *, writes: bool) -> Report:
    tables = source.tables()  # before the target is opened, so that none is created if there is nothing to import

    def importing(target: Database | None) -> Import:
        return Import(source=source, tables=tables, target=target, names=names, writes=writes, on_progress=_Progress())

    if not writes:
        revision = inspection.revision(settings.db)
        if revision is None:
            return asyncio.run(importing(None).run())
        if revision < schema.HEAD:
            raise StartError(
                f"{redacted_url(settings.db)}: has the schema {revision}, and a dry run does not upgrade it to "
                f"{schema.HEAD} — start this version of musterd on it once, or import without --dry-run"
            )
    return with_database(settings, lambda database: importing(database).run(), creates_database=True)


def _new_ids(pairs: Sequence[str]) -> dict[str, str]:
    ids: dict[str, str] = {}
    for pair in pairs:
        old, separator, new = pair.partition("=")
        if not (old and separator and new):
            raise StartError(f"--component {pair}: not a new id — use old=new")
        ids[old] = new
    return ids


class _Progress:
    """Prints the progress of the import if stderr is a terminal."""

    def __init__(self) -> None:
        self._next_at = clock.monotonic() + PROGRESS_SECONDS
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        if self._is_terminal and clock.monotonic() >= self._next_at:
            say(f"{done} of {total} rows")
            self._next_at = clock.monotonic() + PROGRESS_SECONDS


def _lines(report: Report, *, is_dry_run: bool) -> list[str]:
    imported = "would import" if is_dry_run else "imported"
    lines = [
        f"{kind.replace('_', ' ')}: {counts.imported} {imported}, {counts.present} already present, "
        f"{counts.skipped} skipped"
        for kind, counts in report.counts.items()
        if kind != "member_runs" or counts.total
    ]
    lines += [
        f"{kind} {component_id}: {counted(runs, 'run')}"
        for (kind, component_id), runs in sorted(report.components.items())
    ]
    for status, runs in sorted(report.unfinished.items()):
        were = "was" if runs == 1 else "were"
        lines.append(f"{imported} as ERROR: {counted(runs, 'run')} that {were} {status} in AgentOS")
    for row in report.skipped[:SHOWN_ROWS]:
        place = "" if row.session_id is None else f" of session {row.session_id}"
        lines.append(f"skipped: {_SINGULAR[row.kind]} {row.id}{place}: {row.reason}")
    if (hidden := sum(counts.skipped for counts in report.counts.values()) - SHOWN_ROWS) > 0:
        lines.append(f"skipped: {hidden} more, which --json lists")
    for table, rows in sorted(report.other_tables.items()):
        lines.append(f"not imported: {counted(rows, 'row')} of {table}: {OTHER_TABLES[table]}")
    if report.unknown_columns:
        lines.append(f"not imported: columns that AgentOS 2.5 does not have: {', '.join(report.unknown_columns)}")
    if report.missing_runs:
        lines.append(f"missing: {counted(report.missing_runs, 'stored run')} cannot be read back — import again")
    return [one_line(line) for line in lines]
