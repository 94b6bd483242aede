"""Sessions are searched by name in an index; runs that older programs accepted meanwhile get the id of their trace.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

from musterd.core.trace_ids import stored_trace_id

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index, and the ids that are missing."""
    if op.get_context().dialect.name == "sqlite":
        # All that a search by name compares: SQLite would read each session whole, with its state. Postgres has what is
        # long elsewhere, and cannot have long names in an index.
        columns = ["created_at", "session_id", "owner", "user_id", "component_kind", "component_id"]
        there = sa.text("deleted_at IS NULL")
        op.create_index(
            "sessions_names", "sessions", [*columns, "name", "first_message", "deleted_at"], sqlite_where=there
        )
    _name_traces()


def _name_traces() -> None:
    """As 0007 did for what stood there: programs of 0004 to 0006 went on beside it."""
    connection = op.get_bind()
    roots = connection.execute(sa.text("SELECT run_id FROM runs WHERE parent_id IS NULL AND trace_id IS NULL"))
    named = [{"run_id": run_id, "trace_id": found} for (run_id,) in roots if (found := stored_trace_id(run_id))]
    if named:
        connection.execute(sa.text("UPDATE runs SET trace_id = :trace_id WHERE run_id = :run_id"), named)


def downgrade() -> None:
    """There is no way back."""
    raise NotImplementedError("restore a backup instead")
