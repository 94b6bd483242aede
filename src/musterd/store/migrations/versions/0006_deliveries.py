"""Webhooks: the addresses that a run's are, and the messages to them.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the deliveries, and to runs whom they tell."""
    op.add_column("runs", sa.Column("webhooks", sa.Text()))  # addresses, separated by spaces; most have none
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),  # host and port: few are sent to one at a time
        sa.Column("happening", sa.Text(), nullable=False),
        sa.Column("run_attempts", sa.BigInteger(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("lease", sa.Text()),  # of whoever sends it now
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double()),
        sa.Column("last_status", sa.BigInteger()),
        sa.Column("last_error", sa.Text()),
        sqlite_with_rowid=False,
    )
    op.create_index("deliveries_run", "deliveries", ["run_id", "created_at", "id"])
    op.create_index("deliveries_newest", "deliveries", ["created_at", "id"])
    op.create_index("deliveries_state", "deliveries", ["state", "created_at", "id"])
    op.create_index("deliveries_due", "deliveries", ["state", "due_at", "id"])
    has_ended = sa.text("ended_at IS NOT NULL")
    op.create_index("deliveries_ended", "deliveries", ["ended_at"], sqlite_where=has_ended, postgresql_where=has_ended)


def downgrade() -> None:
    """What is still to be told is not forgotten."""
    raise NotImplementedError("the sixth revision cannot be undone")
