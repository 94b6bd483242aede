"""Which runs refer to a blob: it goes with the last of them.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the uses. Blobs that stand here already have none, and stay."""
    op.create_table(
        "blob_uses",
        sa.Column("root_id", sa.Text(), primary_key=True),
        sa.Column("hash", sa.Text(), primary_key=True),
        sa.Column("until_end", sa.Boolean(), nullable=False),  # else: until its session is deleted
        sqlite_with_rowid=False,
    )
    op.create_index("blob_uses_hash", "blob_uses", ["hash"])


def downgrade() -> None:
    """What a run refers to is not forgotten."""
    raise NotImplementedError("the fourth revision cannot be undone")
