"""The import of an AgentOS database: sessions with their runs, then memories, then approvals.

Rows are read and stored one by one, so memory holds one session at a time. An import keeps no state. It looks up each
row by its id, so it continues where an interrupted import stopped.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from musterd.core import clock, faults
from musterd.core.jsontext import storable
from musterd.core.jsontypes import Json
from musterd.core.threads import in_thread
from musterd.imports import store
from musterd.imports.agentos import APPROVALS, MEMORIES, SESSIONS, AgentOSDatabase, Table, Tables
from musterd.imports.approvals import imported_approval
from musterd.imports.memories import imported_memory
from musterd.imports.report import Report
from musterd.imports.runs import STATES, Names
from musterd.imports.sessions import ImportedSession, imported_session
from musterd.imports.store import NotStored, Part, Stored
from musterd.imports.values import Unreadable, converting
from musterd.store.database import Database, Work

T = TypeVar("T")
_KINDS = {SESSIONS: "sessions", MEMORIES: "memories", APPROVALS: "approvals"}


@dataclass(slots=True, kw_only=True)
class Import:
    """One import.

    :param source: AgentOS's database.
    :param tables: its tables.
    :param target: the open database to store into; None in a dry run if it does not exist yet.
    :param writes: False in a dry run.
    :param on_progress: called after each row with the number of rows that are done and the total.
    """

    source: AgentOSDatabase
    tables: Tables
    target: Database | None
    names: Names
    writes: bool = True
    on_progress: Callable[[int, int], None] = lambda done, total: None
    report: Report = field(default_factory=Report)
    _done: int = 0
    _total: int = 0

    async def run(self) -> Report:
        """Import everything.

        :raises StartError: AgentOS's database cannot be read.
        :raises StoreUnavailable: the target cannot be written.
        """
        await self._count_rows()
        # Approvals come last, because each refers to its run.
        for shape, import_row in ((SESSIONS, self._session), (MEMORIES, self._memory), (APPROVALS, self._approval)):
            for table in self.tables.by_shape[shape]:
                for _ in range(await in_thread(self.source.count_without_id, table)):
                    self._skip(_KINDS[shape], "", "it has no id")
                async for key in self._keys(table):
                    try:
                        await import_row(table, key)
                    except (Unreadable, NotStored) as problem:
                        self._skip(_KINDS[shape], key, str(problem))
                    else:
                        self._advance()
        return self.report

    def _skip(self, kind: str, key: Json, reason: str) -> None:
        self.report.skip(kind, storable(key) if isinstance(key, str) else repr(key)[:100], reason)
        self._advance()

    def _advance(self) -> None:
        self._done += 1
        self.on_progress(self._done, self._total)

    async def _count_rows(self) -> None:
        """Count the rows, and record what is not imported."""
        for shape, shape_tables in self.tables.by_shape.items():
            for table in shape_tables:
                rows = await in_thread(self.source.count, table)
                self.report.counts[_KINDS[shape]].total += rows
                self._total += rows
                self.report.unknown_columns += [f"{table}.{column}" for column in table.unknown_columns]
        self.report.other_tables.update(self.tables.others)

    async def _keys(self, table: Table) -> AsyncIterator[str]:
        pages = self.source.ids(table)
        while page := await in_thread(next, pages, None):
            for key in page:
                yield key

    async def _converted(self, table: Table, key: str, convert: Callable[[Mapping[str, Json]], T]) -> T:
        """Read a row and convert it, in a thread.

        :raises Unreadable: it does not have AgentOS's format.
        """

        def read() -> T:
            with converting():
                return convert(self.source.row(table, key))

        return await in_thread(read)

    def _count(self, kind: str, *, is_new: bool) -> None:
        counts = self.report.counts[kind]
        counts.imported += is_new
        counts.present += not is_new

    # --- sessions -------------------------------------------------------------------------------------

    async def _session(self, table: Table, key: str) -> None:
        session = await self._converted(table, key, lambda row: imported_session(row, self.names))
        stored = Stored()
        for part in store.parts(session.row, session.runs.trees):
            stored.add(await self._store_part(part))
            faults.point("part_imported")
        self._count("sessions", is_new=stored.is_new)
        self._count_runs(session, stored)
        if self.writes:
            await self._count_missing(stored)

    async def _store_part(self, part: Part) -> Stored:
        if self.target is None:
            return Stored(added=part.trees, is_new=True)
        if self.writes:
            return await self.target.write(lambda tx: store.store_part(tx, part, clock.now()))
        return await self.target.scan(lambda tx: store.preview(tx, part, clock.now()))

    def _count_runs(self, session: ImportedSession, stored: Stored) -> None:
        report = self.report
        runs, member_runs = report.counts["runs"], report.counts["member_runs"]
        runs.imported += len(stored.added)
        runs.present += len(stored.present)
        member_runs.imported += sum(len(tree) - 1 for tree in stored.added)
        member_runs.present += sum(len(tree) - 1 for tree in stored.present)
        for item in (*session.runs.skipped, *stored.skipped):
            report.skip("runs", item.run_id, item.reason, session.row.session_id)
        runs.total = runs.imported + runs.present + runs.skipped
        member_runs.total = member_runs.imported + member_runs.present
        for root, *_ in (*stored.added, *stored.present):
            report.components[root.row.component_kind, root.row.component_id] += 1
        for root, *_ in stored.added:
            if root.stored_status not in STATES:
                report.unfinished[root.stored_status] += 1

    async def _count_missing(self, stored: Stored) -> None:
        """Count the session's runs that cannot be read back."""
        run_ids = [run.row.run_id for tree in (*stored.added, *stored.present) for run in tree]
        if self.target is not None and run_ids:
            self.report.missing_runs += len(run_ids) - await self.target.read(lambda tx: store.count_runs(tx, run_ids))

    # --- memories and approvals -----------------------------------------------------------------------

    async def _memory(self, table: Table, key: str) -> None:
        memory = await self._converted(table, key, lambda row: imported_memory(row, self.names))
        await self._store(
            "memories", partial(store.store_memory, memory=memory), partial(store.has_memory, memory=memory)
        )

    async def _approval(self, table: Table, key: str) -> None:
        approval = await self._converted(table, key, imported_approval)
        store_row = partial(store.store_approval, approval=approval)
        await self._store("approvals", store_row, partial(store.has_approval, approval=approval))

    async def _store(self, kind: str, store_row: Work[bool], has_row: Work[bool]) -> None:
        """Store a row and count it. A dry run only looks whether it is stored."""
        is_new = True
        if self.target is not None and self.writes:
            is_new = await self.target.write(store_row)
        elif self.target is not None:
            is_new = not await self.target.read(has_row)
        self._count(kind, is_new=is_new)
