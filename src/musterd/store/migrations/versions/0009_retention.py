"""When runs ended, by index, and whether the pieces of their texts were joined: for what goes, and shrinks, with time.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the mark and the index. Runs that stand here already have their pieces apart."""
    op.add_column("runs", sa.Column("pieces_joined", sa.BigInteger(), nullable=False, server_default="0"))
    is_over = sa.text("parent_id IS NULL AND ended_at IS NOT NULL")
    op.create_index("runs_over", "runs", ["pieces_joined", "ended_at"], sqlite_where=is_over, postgresql_where=is_over)


def downgrade() -> None:
    """What went does not come back."""
    raise NotImplementedError("the ninth revision cannot be undone")
