"""Every list is read in the order of an index, by any filter.

Revision ID: 0011
Revises: 0010
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

FILTERS = ["owner", "user_id", "component_kind", "component_id", "deleted_at"]


def upgrade() -> None:
    """Replace the indexes of lists of sessions, and add those that other lists lack."""
    # One index for each order in which sessions are listed. Those by time hold all that a list can filter by, so that
    # sessions that do not match are passed over without a look at their rows.
    there = "deleted_at IS NULL"
    for name in ("created", "updated", "component"):
        op.drop_index(f"sessions_{name}", "sessions")
    _index("sessions", "created", ["created_at", "session_id", *FILTERS], there)
    _index("sessions", "updated", ["updated_at", "session_id", *FILTERS], there)
    title = sa.text("substr(COALESCE(name, first_message), 1, 100)")  # Postgres cannot index long texts
    _index("sessions", "title", [title, "session_id"], there)

    for name in ("created", "inbox"):
        op.drop_index(f"approvals_{name}", "approvals")
    listed = ["created_at", "id", "root_id", "approval_type", "kind"]
    _index("approvals", "created", [*listed, "status"])
    _index("approvals", "inbox", ["status", *listed])

    _index("memories", "created", ["created_at", "memory_id"])
    _index("memories", "agent", ["agent_id", "updated_at", "memory_id"])
    _index("memories", "team", ["team_id", "updated_at", "memory_id"])
    _index("memories", "text", [sa.text("substr(memory, 1, 100)"), "memory_id"])

    _index("service_accounts", "created", ["created_at", "id"])
    _index("service_accounts", "names", ["name", "id"])
    for column in ("expires_at", "last_used_at"):
        _index("service_accounts", column, [sa.text(f"(COALESCE({column}, 0))"), "id"])

    _rebuild_run_indexes()


def _rebuild_run_indexes() -> None:
    """Put the columns of their conditions into indexes of root runs.

    SQLite reads the row for a column that an index lacks, even one that the index's own condition settles. With them
    runs are counted in an index alone, and an index of some runs is preferred to that of all.
    """
    roots, newest = "parent_id IS NULL", ["created_at", "run_id", "parent_id"]
    for name in ("created", "owner", "user", "component", "error", "cancelled", "live_created"):
        op.drop_index(f"runs_{name}", "runs")
    _index("runs", "created", newest, roots)
    _index("runs", "owner", ["owner", *newest], f"{roots} AND owner IS NOT NULL")
    _index("runs", "user", ["user_id", *newest], f"{roots} AND user_id IS NOT NULL")
    _index("runs", "component", ["component_kind", "component_id", *newest], roots)
    for state in ("error", "cancelled"):
        _index("runs", state, [*newest, "state"], f"state = '{state}' AND {roots}")
    live = "state IN ('scheduled', 'queued', 'ready', 'running', 'paused')"
    _index("runs", "live_created", [*newest, "state"], f"{roots} AND {live}")
    # Runs that have not begun are no traces: traces are counted as all root runs but these.
    _index("runs", "not_begun", [*newest, "started_at"], f"{roots} AND started_at IS NULL")


def _index(table: str, name: str, columns: "Sequence[str | sa.TextClause]", condition: str | None = None) -> None:
    where = None if condition is None else sa.text(condition)
    op.create_index(f"{table}_{name}", table, columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """There is no way back."""
    raise NotImplementedError("restore a backup instead")
