"""Memories of users, the figures of days that are over, and what finds a run by its trace.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

from musterd.core.trace_ids import stored_trace_id

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ROOTS = sa.text("parent_id IS NULL")
OWNED = sa.text("parent_id IS NULL AND owner IS NOT NULL")


def upgrade() -> None:
    """Add the tables, and the order of root runs over all sessions."""
    op.create_table(
        "memories",
        sa.Column("memory_id", sa.Text(), primary_key=True),
        sa.Column("owner", sa.Text()),  # the user that a token proved
        sa.Column("user_id", sa.Text(), nullable=False),  # whom it is about
        sa.Column("memory", sa.Text(), nullable=False),
        sa.Column("topics", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text()),
        sa.Column("team_id", sa.Text()),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("memories_updated", "memories", ["updated_at", "memory_id"])
    op.create_index("memories_user", "memories", ["user_id", "updated_at", "memory_id"])
    op.create_index("memories_owner", "memories", ["owner", "updated_at", "memory_id"])
    op.create_table(
        "daily_metrics",
        sa.Column("day", sa.Text(), primary_key=True),
        sa.Column("owner", sa.Text(), primary_key=True),  # empty: everybody's
        sa.Column("is_over", sa.BigInteger(), nullable=False),  # else: of sessions that were deleted meanwhile, alone
        sa.Column("figures", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("daily_metrics_owner", "daily_metrics", ["owner", "day"])
    op.add_column("runs", sa.Column("trace_id", sa.Text()))
    _name_traces()
    op.create_index("runs_created", "runs", ["created_at", "run_id"], sqlite_where=ROOTS, postgresql_where=ROOTS)
    op.create_index("runs_owner", "runs", ["owner", "created_at", "run_id"], sqlite_where=OWNED, postgresql_where=OWNED)
    for column in ("trace_id", "traceparent"):
        is_there = sa.text(f"{column} IS NOT NULL")
        op.create_index(f"runs_{column}", "runs", [column], sqlite_where=is_there, postgresql_where=is_there)


def _name_traces() -> None:
    """Runs whose id a client chose get the id of their trace; of the others it is their own."""
    connection = op.get_bind()
    roots = connection.execute(sa.text("SELECT run_id FROM runs WHERE parent_id IS NULL"))
    named = [{"run_id": run_id, "trace_id": found} for (run_id,) in roots if (found := stored_trace_id(run_id))]
    if named:
        connection.execute(sa.text("UPDATE runs SET trace_id = :trace_id WHERE run_id = :run_id"), named)


def downgrade() -> None:
    """What users are remembered by is not given up."""
    raise NotImplementedError("this revision cannot be undone")
