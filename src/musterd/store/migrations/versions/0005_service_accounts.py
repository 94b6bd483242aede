"""Service accounts, and an index that tells what a user's runs at work and waiting are.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the accounts and the index."""
    op.create_table(
        "service_accounts",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),  # a token is shown once, and stored nowhere
        sa.Column("token_prefix", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.Text()),
        sa.Column("expires_at", sa.Double()),
        sa.Column("last_used_at", sa.Double()),
        sa.Column("revoked_at", sa.Double()),
        sqlite_with_rowid=False,
    )
    op.create_index("service_accounts_token", "service_accounts", ["token_hash"], unique=True)
    op.create_index(
        "service_accounts_name",
        "service_accounts",
        ["name"],
        unique=True,
        sqlite_where=sa.text("revoked_at IS NULL"),
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    lives = "owner IS NOT NULL AND parent_id IS NULL AND state IN ('scheduled', 'queued', 'ready', 'running')"
    op.create_index(
        "runs_of_owner",
        "runs",
        ["owner", "state"],
        sqlite_where=sa.text(lives),
        postgresql_where=sa.text(lives),
    )


def downgrade() -> None:
    """Accounts are not forgotten."""
    raise NotImplementedError("the fifth revision cannot be undone")
