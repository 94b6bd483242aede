"""Postgres tables that are partitioned by shard, and the statements that touch more than one partition of a table.

A database of several servers keeps the partitions of a table on different ones. So a statement of a run must touch one
partition of each table. This file knows of Postgres alone: its hash partitions follow the same rules, for example that
each unique key holds the partition key.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import psycopg
from psycopg.rows import tuple_row

from musterd.store.database import Params, Statement, for_postgres
from musterd.store.postgres_tx import PostgresTx

PARTITIONS = 2  # enough to see whether a statement touches several; each costs time in every test
_PARTITION = re.compile(r"(?P<table>\w+)_p\d+")
_READS_OR_WRITES = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b")
"""Other statements, such as CREATE INDEX, cannot be explained."""

SCATTERS: Mapping[str, Sequence[str]] = {
    "a test looks at the tables, or changes them": ("test", "test_"),
    "the run, approval or delivery is named by its id alone": (
        "run_get_by_id",
        "run_view",
        "run_component",
        "run_session",
        "run_summaries",
        "approval_get",
        "delivery_get",
        "trace_by_run",
        "trace_by_stored",
        "trace_by_sent",
        "firing_view",
    ),
    "it claims, or looks for, work of all sessions": (
        "runs_claim",
        "runs_claim_by_ids",
        "owners_running",
        "owners_ready_suspects",
        "runs_within_limits",
        "suspects_most_crashes",
        "runs_due",
        "runs_overdue",
        "runs_expired",
        "schedule_lock_sessions",
        "deliveries_due",
        "deliveries_claim",
        "deliveries_claimed",
        "firings_to_look_at",
        "schedules_any_due",
        "look_runs",
        "look_sessions",
        "look_any_ready",
        "look_ready",
        "look_ready_suspect",
        "look_expired",
    ),
    "it releases the runs of a worker": (
        "workers_announced",
        "workers_all",
        "worker_seen",
        "worker_lock_sessions",
        "worker_runs",
        "worker_running_attempts",
        "components_waiting",
    ),
    "it counts the runs of all sessions, for a limit, for metrics or for musterd doctor": (
        "runs_waiting",
        "runs_of_owner",
        "standing_",
        "day_",
        "roots_",
        "usage_",
        "inspection_",
    ),
    "it lists or searches runs, sessions, approvals or deliveries, for people or for the model's tools": (
        "runs_page",
        "runs_count",
        "runs_count_search",
        "runs_waiting_count",
        "runs_searched",
        "run_queues",
        "sessions_page",
        "sessions_count",
        "session_last_runs",
        "session_questions",
        "session_sums",
        "approvals_page",
        "approvals_count",
        "deliveries_page",
        "changes_",
        "traces_",
        "trace_plans",
        "trace_paths",
        "firings_page",
        "step_contents",
        "history_other_sessions",
    ),
    "it removes or compacts what is old or deleted": (
        "retention_",
        "removal_",
        "deletion_to_cancel",
        "deletion_over",
        "deletion_roots",
        "deletion_remove",
        "sessions_buried",
        "joining_unjoined",
        "deliveries_give_up",
        "deliveries_pending_of",
        "deliveries_forget",
        "firings_keep_of_runs",
    ),
    "a blob is shared by all sessions, and is removed with its last use": (
        "blob_used_by",
        "blob_disuse_by",
        "blob_remove_unused",
    ),
    "it looks for runs that an import has stored before": (
        "import_known_runs",
        "import_stored_runs",
        "import_has_approval",
    ),
}
"""The names of the statements that may touch several partitions, by the reason. A name that ends with ``_`` stands for
all that begin with it; lists are composed, and have further words after their name."""


def partition(connection: psycopg.Connection[Any]) -> None:
    """Replace each table that has a shard by one that is partitioned by its hash. The tables are empty."""
    tables = [
        row[0]
        for row in connection.execute(
            "SELECT table_name FROM information_schema.columns "
            "WHERE table_schema = current_schema() AND column_name = 'shard'"
        )
    ]
    for table in tables:
        texts = [f"ALTER TABLE {table} RENAME TO whole"]
        texts += [f"CREATE TABLE {table} (LIKE whole INCLUDING ALL) PARTITION BY HASH (shard)"]
        texts += [
            f"CREATE TABLE {table}_p{number} PARTITION OF {table} "
            f"FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number})"
            for number in range(PARTITIONS)
        ]
        for text in [*texts, "DROP TABLE whole"]:
            connection.execute(text.encode())


def may_scatter(name: str) -> bool:
    """Whether the statement may touch several partitions of a table."""
    word = name.partition(" ")[0]
    return any(
        word == listed or (listed.endswith("_") and word.startswith(listed))
        for names in SCATTERS.values()
        for listed in names
    )


class PlanWatch:
    """Explains the statements that a test executes on Postgres, each with the parameters of its first execution.

    A statement is explained once in a process, in the first test that executes it: planning costs more than all else
    that most tests do.

    :ivar executed: the names of the statements.
    :ivar scattered: the partitions that a statement touches, by its name, if it touches several of one table and is
        not in ``SCATTERS``.
    """

    _explained: ClassVar[set[str]] = set()

    def __init__(self) -> None:
        self.executed: set[str] = set()
        self.scattered: dict[str, list[str]] = {}

    async def explain(self, tx: PostgresTx, statement: Statement, params: Params) -> None:
        """Note the partitions that a statement touches."""
        self.executed.add(statement.name)
        if statement.name in self._explained or not _READS_OR_WRITES.match(statement.text):
            return
        self._explained.add(statement.name)
        cursor = tx._cursor.connection.cursor(row_factory=tuple_row)
        text = f"EXPLAIN (FORMAT JSON) {for_postgres(statement.text)}"
        row = await (await cursor.execute(text.encode(), params, prepare=False)).fetchone()
        assert row is not None
        partitions = sorted(set(_partitions(row[0])))
        tables = {match["table"] for name in partitions if (match := _PARTITION.fullmatch(name))}
        if len(partitions) > len(tables) and not may_scatter(statement.name):
            self.scattered[statement.name] = partitions

    def install(self, replace: Callable[[object, str, object], None]) -> None:
        """Explain from now on what any transaction executes.

        :param replace: ``monkeypatch.setattr``.
        """
        for name in ("run", "one", "all"):
            replace(PostgresTx, name, self._explaining(getattr(PostgresTx, name)))
        for name in ("many", "each"):
            replace(PostgresTx, name, self._explaining_first(getattr(PostgresTx, name)))

    def _explaining(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        async def explained(tx: PostgresTx, statement: Statement, params: Params) -> Any:
            await self.explain(tx, statement, params)
            return await execute(tx, statement, params)

        return explained

    def _explaining_first(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        async def explained(tx: PostgresTx, statement: Statement, params: Sequence[Params]) -> Any:
            for first in params[:1]:
                await self.explain(tx, statement, first)
            return await execute(tx, statement, params)

        return explained


def _partitions(plan: Any) -> Iterator[str]:
    """The partitions that a plan reads or writes."""
    if isinstance(plan, list):
        for item in plan:
            yield from _partitions(item)
    elif isinstance(plan, dict):
        name = plan.get("Relation Name")
        if isinstance(name, str) and _PARTITION.fullmatch(name):
            yield name
        for value in plan.values():
            yield from _partitions(value)
