"""Words to a run at work: messages for its agents, members' runs that are to stop.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the messages, and the count by which an attempt notices that there is something to read."""
    op.add_column("runs", sa.Column("signals", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "run_messages",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("root_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),  # whose model is to read it: the root's or a member's
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("sent_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("taken_at", sa.Double()),
        sa.Column("taken_path", sa.Text()),  # the model call that saw it
        sa.Column("next_run_id", sa.Text()),  # the run that it began, where its own had ended
        sqlite_with_rowid=False,
    )
    op.create_index("run_messages_root", "run_messages", ["root_id", "created_at"])


def downgrade() -> None:
    """Messages are not given up."""
    raise NotImplementedError("the third revision cannot be undone")
