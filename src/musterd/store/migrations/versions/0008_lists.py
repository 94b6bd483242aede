"""Lists of sessions and of runs go by indexes; what was forked or copied says from what.

Revision ID: 0008
Revises: 0007
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_LIVE = "state IN ('scheduled', 'queued', 'ready', 'running', 'paused')"


def upgrade() -> None:
    """Add the origins, and an index for each way in which lists are asked for."""
    op.add_column("sessions", sa.Column("forked_from", sa.Text()))
    op.add_column("runs", sa.Column("copied_from", sa.Text()))  # such a run was paid for once, where it was made
    there = "deleted_at IS NULL"
    _index("sessions", "created", ["created_at", "session_id", "deleted_at"], there)
    _index(
        "sessions",
        "component_created",
        ["component_kind", "component_id", "created_at", "session_id", "deleted_at"],
        there,
    )
    _index(
        "sessions",
        "user_created",
        ["user_id", "created_at", "session_id", "deleted_at"],
        f"{there} AND user_id IS NOT NULL",
    )
    _index(
        "sessions",
        "owner_created",
        ["owner", "created_at", "session_id", "deleted_at"],
        f"{there} AND owner IS NOT NULL",
    )
    roots, newest = "parent_id IS NULL", ["created_at", "run_id"]
    # By a term, so that no other statement is led through all runs of a component.
    _index("runs", "component", [sa.text("(component_kind || '/' || component_id)"), *newest], roots)
    _index("runs", "user", ["user_id", *newest], f"{roots} AND user_id IS NOT NULL")
    for state in ("error", "cancelled"):
        _index("runs", state, newest, f"state = '{state}' AND {roots}")
    _index("runs", "live", ["session_id", "seq"], f"{roots} AND {_LIVE}")
    _index("runs", "live_created", newest, f"{roots} AND {_LIVE}")


def _index(table: str, name: str, columns: "Sequence[str | sa.TextClause]", condition: str) -> None:
    where = sa.text(condition)
    op.create_index(f"{table}_{name}", table, columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """There is no way back."""
    raise NotImplementedError("restore a backup instead")
