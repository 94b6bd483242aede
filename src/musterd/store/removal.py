"""Removal: all that hangs on runs, and how it goes: with their session, or with a run that is old enough."""

from collections.abc import Sequence

from musterd.store.database import Statement

HANGING = (
    ("run_events", "root_id"),
    ("journal", "root_id"),
    ("requests", "run_id"),
    ("approvals", "root_id"),
    ("run_messages", "root_id"),
    ("deliveries", "run_id"),
    ("run_io", "run_id"),
)
"""The tables with rows of runs, each with the column that says of which. What runs refer to of blobs goes by
:mod:`musterd.store.blobs`."""


def _statements(name: str, condition: str) -> Sequence[Statement]:
    below = [
        Statement(
            f"{name}_remove_{table}",
            f"DELETE FROM {table} WHERE {column} IN (SELECT run_id FROM runs WHERE {condition})",
        )
        for table, column in HANGING
    ]
    return [*below, Statement(f"{name}_remove_runs", f"DELETE FROM runs WHERE {condition}")]


OF_SESSION = _statements("session", "session_id = :session_id")
OF_ROOT = _statements("root", "root_id = :root")
