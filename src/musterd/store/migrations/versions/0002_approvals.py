"""Approvals as records: what became of each stands beside it, and every question about a call is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what the inbox shows and is searched by."""
    op.add_column("approvals", sa.Column("status", sa.Text(), nullable=False, server_default="pending"))
    op.add_column("approvals", sa.Column("approval_type", sa.Text()))
    op.add_column("approvals", sa.Column("resolution_data", sa.Text()))
    op.execute(
        """UPDATE approvals SET status = CASE WHEN decision LIKE '%"verdict":"refused"}' THEN 'rejected'
                                              WHEN decision IS NOT NULL THEN 'approved'
                                              WHEN state = 'closed' THEN 'cancelled' ELSE 'pending' END"""
    )
    # A call that is cut off behind its approval is asked about once more: the first answer stays on record.
    op.drop_index("approvals_root", "approvals")
    op.create_index("approvals_root", "approvals", ["root_id", "path"])
    op.drop_index("approvals_open", "approvals")
    op.create_index("approvals_inbox", "approvals", ["status", "created_at", "id"])
    op.create_index("approvals_created", "approvals", ["created_at", "id"])


def downgrade() -> None:
    """There is no way back."""
    raise NotImplementedError("restore a backup instead")
