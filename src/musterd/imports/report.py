"""The report of an import: counts, and the rows that were skipped with the reasons."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from musterd.core.jsontypes import JsonObject

KINDS = ("sessions", "runs", "member_runs", "memories", "approvals")
LISTED_ROWS = 1000
"""The maximum number of skipped rows that are listed; the rest are only counted."""
_FILE = "declare agents, teams and workflows in a file"
OTHER_TABLES = {
    "agno_knowledge": "add the documents to a knowledge base with musterd knowledge add",
    "agno_schedules": "create the schedules again",
    "agno_schedule_runs": "firings of schedules are not imported",
    "agno_eval_runs": "musterd has no evaluations",
    "agno_metrics": "daily usage is computed from the runs",
    "agno_traces": "traces are made from the runs",
    "agno_spans": "traces are made from the runs",
    "agno_learnings": "memories are imported, other learnings are not",
    "agno_culture": "an Agno file keeps using it in AgentOS's database",
    "agno_components": _FILE,
    "agno_component_configs": _FILE,
    "agno_component_links": _FILE,
}
"""What a user can do about each table that is not imported."""


@dataclass(slots=True)
class Counts:
    """How many rows of one kind AgentOS has, and what the import did with them.

    :param imported: stored by this import, or in a dry run, rows that would be stored.
    :param present: stored before this import.
    """

    total: int = 0
    imported: int = 0
    present: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A row that was not imported."""

    kind: str
    id: str
    session_id: str | None
    reason: str


@dataclass(slots=True, kw_only=True)
class Report:
    """The report of an import.

    :param unfinished: how many of the imported root runs AgentOS had not finished, by their status in AgentOS.
    :param components: how many root runs each component has, by its kind and its id in musterd.
    :param other_tables: the row counts of tables that are not imported.
    :param missing_runs: how many stored runs cannot be read back afterwards.
    """

    counts: dict[str, Counts] = field(default_factory=lambda: {kind: Counts() for kind in KINDS})
    unfinished: Counter[str] = field(default_factory=Counter)
    components: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: list[SkippedRow] = field(default_factory=list)
    other_tables: dict[str, int] = field(default_factory=dict)
    unknown_columns: list[str] = field(default_factory=list)
    missing_runs: int = 0

    def skip(self, kind: str, row_id: str, reason: str, session_id: str | None = None) -> None:
        """Count a row that is not imported, and list it with its reason."""
        self.counts[kind].skipped += 1
        if len(self.skipped) < LISTED_ROWS:
            self.skipped.append(SkippedRow(kind, row_id, session_id, reason))

    @property
    def is_complete(self) -> bool:
        """Whether every row of the imported tables is stored."""
        return not self.missing_runs and not any(counts.skipped for counts in self.counts.values())

    def as_json(self) -> JsonObject:
        """The report as a JSON object."""
        counts: dict[str, Any] = {
            kind: {name: getattr(counts, name) for name in Counts.__slots__} for kind, counts in self.counts.items()
        }
        return {
            **counts,
            "missing_runs": self.missing_runs,
            "unfinished": dict(sorted(self.unfinished.items())),
            "components": [
                {"kind": kind, "id": component_id, "runs": runs}
                for (kind, component_id), runs in sorted(self.components.items())
            ],
            "skipped": [{name: getattr(row, name) for name in SkippedRow.__slots__} for row in self.skipped],
            "other_tables": [
                {"table": name, "rows": rows, "hint": OTHER_TABLES.get(name)}
                for name, rows in sorted(self.other_tables.items())
            ],
            "unknown_columns": self.unknown_columns,
            "is_complete": self.is_complete,
        }
