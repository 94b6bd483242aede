"""Schedules and their firings."""

import sqlalchemy as sa
from alembic import op

revision = "v0002"
down_revision = "v0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of schedules and firings."""
    _create_schedules()
    _create_firings()


def downgrade() -> None:
    """Schemas are never downgraded.

    :raises NotImplementedError: always.
    """
    raise NotImplementedError("restore a backup instead")


def _create_schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("owner", sa.Text()),  # the user that a token authenticated
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("component", sa.Text(), nullable=False),  # kind:id; empty: it runs none
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("maker", sa.Text(), nullable=False),  # with whose rights it acts
        sa.Column("declared", sa.Text()),  # a hash of its declaration in code
        sa.Column("enabled", sa.BigInteger(), nullable=False),
        sa.Column("next_run_at", sa.Double()),
        sa.Column("due_at", sa.Double()),  # next_run_at with the jitter
        sa.Column("version", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double()),
        sqlite_with_rowid=False,
    )
    op.create_index("schedules_name", "schedules", [sa.text("(COALESCE(owner, ''))"), "name"], unique=True)
    op.create_index("schedules_created", "schedules", ["created_at", "id"])
    op.create_index("schedules_owner", "schedules", ["owner", "created_at", "id"])
    _index_where("schedules", "due", ["due_at", "component"], "due_at IS NOT NULL")
    _index_where("schedules", "declared", ["component"], "declared IS NOT NULL")


def _create_firings() -> None:
    op.create_table(
        "firings",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("schedule_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("scheduled_for", sa.Double()),
        sa.Column("run_id", sa.Text()),
        sa.Column("session_id", sa.Text()),
        sa.Column("outcome", sa.Text()),  # of a firing without a run
        sa.Column("status_code", sa.BigInteger()),
        sa.Column("error", sa.Text()),
        sa.Column("look_at", sa.Double()),  # when upkeep has to start its run, or to retry it
        sa.Column("created_at", sa.Double(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("firings_schedule", "firings", ["schedule_id", "created_at"])
    # An instant fires once, whatever processes and clocks do.
    first = "attempt = 1 AND scheduled_for IS NOT NULL"
    _index_where("firings", "instant", ["schedule_id", "scheduled_for"], first, unique=True)
    _index_where("firings", "run", ["run_id"], "run_id IS NOT NULL")
    _index_where("firings", "look", ["look_at"], "look_at IS NOT NULL")
    _index_where("firings", "without_run", ["created_at"], "run_id IS NULL")


def _index_where(table: str, name: str, columns: list[str], condition: str, *, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(f"{table}_{name}", table, columns, unique=unique, sqlite_where=where, postgresql_where=where)
