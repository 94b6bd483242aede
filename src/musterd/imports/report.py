"""What an import has done: numbers, and what was left out with the reason."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from musterd.core.jsontypes import JsonObject

KINDS = ("sessions", "runs", "member_runs", "memories", "approvals")
LISTED_ROWS = 1000
"""The most rows that are left out and listed; further ones are only counted."""
_FILE = "declare agents, teams and workflows in a file"
OTHER_TABLES = {
    "agno_knowledge": "add the documents to a knowledge base with musterd knowledge add",
    "agno_schedules": "create the schedules again",
    "agno_schedule_runs": "firings of schedules are not imported",
    "agno_eval_runs": "musterd has no evaluations",
    "agno_metrics": "daily usage is computed from the runs",
    "agno_traces": "traces are made from the runs",
    "agno_spans": "traces are made from the runs",
    "agno_learnings": "of what was learned, only memories are imported",
    "agno_culture": "musterd has no culture",
    "agno_components": _FILE,
    "agno_component_configs": _FILE,
    "agno_component_links": _FILE,
}
"""What to do about the rows of tables that are not imported."""


@dataclass(slots=True)
class Counts:
    """How many rows of a kind there are in AgentOS, and what became of them.

    :param taken: stored by this import; of a dry run: those that would be stored.
    :param present: stored before.
    """

    total: int = 0
    taken: int = 0
    present: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class LeftOutRow:
    """A row that was not imported."""

    kind: str
    id: str
    session_id: str | None
    reason: str


@dataclass(slots=True, kw_only=True)
class Report:
    """The report of an import.

    :param ended: how many root runs AgentOS had not finished, by their status there.
    :param components: how many root runs there are of each component, by its kind and its id in musterd.
    :param other_tables: the numbers of rows of tables that are not imported.
    :param missing_runs: runs that were stored and are not there afterwards.
    """

    counts: dict[str, Counts] = field(default_factory=lambda: {kind: Counts() for kind in KINDS})
    ended: Counter[str] = field(default_factory=Counter)
    components: Counter[tuple[str, str]] = field(default_factory=Counter)
    left_out: list[LeftOutRow] = field(default_factory=list)
    other_tables: dict[str, int] = field(default_factory=dict)
    unknown_columns: list[str] = field(default_factory=list)
    missing_runs: int = 0

    def leave_out(self, kind: str, row_id: str, reason: str, session_id: str | None = None) -> None:
        """Count a row that is not imported, and list it with the reason."""
        self.counts[kind].left_out += 1
        if len(self.left_out) < LISTED_ROWS:
            self.left_out.append(LeftOutRow(kind, row_id, session_id, reason))

    @property
    def is_complete(self) -> bool:
        """Whether every row that is imported at all is stored."""
        return not self.missing_runs and not any(counts.left_out for counts in self.counts.values())

    def as_json(self) -> JsonObject:
        """The report as a JSON object."""
        counts: dict[str, Any] = {
            kind: {name: getattr(counts, name) for name in Counts.__slots__} for kind, counts in self.counts.items()
        }
        return {
            **counts,
            "missing_runs": self.missing_runs,
            "ended": dict(sorted(self.ended.items())),
            "components": [
                {"kind": kind, "id": component_id, "runs": runs}
                for (kind, component_id), runs in sorted(self.components.items())
            ],
            "left_out": [{name: getattr(row, name) for name in LeftOutRow.__slots__} for row in self.left_out],
            "other_tables": [
                {"table": name, "rows": rows, "hint": OTHER_TABLES.get(name)}
                for name, rows in sorted(self.other_tables.items())
            ],
            "unknown_columns": self.unknown_columns,
            "is_complete": self.is_complete,
        }
