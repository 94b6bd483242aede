"""The records: sessions, runs and their payload, events, journal, blobs, requests, approvals, workers.

Times are unix seconds. JSON is text. Only narrow columns stand in ``runs``: an update of ``next_event`` happens on
every flush of events, and costs 70 times as much in a row that holds a megabyte.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _time(name: str, *, required: bool = False) -> "sa.Column[float]":
    return sa.Column(name, sa.Double(), nullable=not required)


def _text(name: str, *, required: bool = False, default: str | None = None) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=not (required or default is not None), server_default=default)


def _count(name: str, *, default: int | None = 0) -> "sa.Column[int]":
    server_default = None if default is None else str(default)
    return sa.Column(name, sa.BigInteger(), nullable=default is None, server_default=server_default)


def upgrade() -> None:
    """Create every table of the first version."""
    _create_instance_and_workers()
    _create_sessions()
    _create_runs()
    _create_run_payloads()
    _create_requests_and_approvals()


def downgrade() -> None:
    """There is nothing before the first version."""
    raise NotImplementedError("the first revision cannot be undone")


def _create_instance_and_workers() -> None:
    op.create_table(
        "instance",
        sa.Column("id", sa.Text(), primary_key=True),
        _time("created_at", required=True),
        _text("oldest_writer", required=True),  # the oldest version that may still write
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), primary_key=True),
        _count("beat"),
        _text("components", required=True),
        _text("host", required=True),
        _count("pid"),
        _time("started_at", required=True),
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.Text(), primary_key=True),
        _text("owner"),  # the user that a token proved
        _text("user_id"),  # what the client called the user
        _text("component_kind", required=True),
        _text("component_id", required=True),
        _text("name"),
        _text("first_message", required=True),
        _text("state", required=True),
        _text("metadata"),
        _text("summary"),
        _count("next_seq"),
        _count("version"),
        _time("created_at", required=True),
        _time("updated_at", required=True),
        _time("deleted_at"),
        sqlite_with_rowid=False,
    )
    op.create_index("sessions_updated", "sessions", ["updated_at", "session_id"])
    op.create_index("sessions_component", "sessions", ["component_kind", "component_id", "updated_at"])
    op.create_index("sessions_user", "sessions", ["user_id", "updated_at"])
    op.create_index(
        "sessions_deleted",
        "sessions",
        ["deleted_at"],
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Text(), primary_key=True),
        _text("root_id", required=True),
        _text("parent_id"),
        _text("forked_from"),
        _text("path", required=True),
        _text("session_id", required=True),
        _text("owner"),
        _text("user_id"),
        _text("component_kind", required=True),
        _text("component_id", required=True),
        _text("component_name", required=True),
        _text("model", required=True),
        _text("model_provider", required=True),
        _text("definition_hash", required=True),
        _text("state", required=True),
        _count("version"),
        # the lane
        _text("lane"),
        _count("seq", default=None),
        _text("holder"),
        _text("on_busy", required=True, default="enqueue"),
        _count("priority"),
        _count("hold_paused"),
        # the attempt
        _count("attempt"),
        _count("crashes"),
        _count("crashes_in_all"),
        _text("worker"),
        _text("salt"),
        _count("next_event"),
        _count("is_background"),
        _count("cancel_on_disconnect"),
        # times
        _time("created_at", required=True),
        _time("queued_at"),
        _time("started_at"),
        _time("first_token_at"),
        _time("ended_at"),
        _time("not_before"),
        _time("deadline_at"),
        _time("expires_at"),
        # the end
        _time("cancel_requested_at"),
        _text("cancel_by"),
        _text("error_code"),
        _text("traceparent"),
        sqlite_with_rowid=False,
    )
    _create_run_indexes()


def _create_run_indexes() -> None:
    op.create_index("runs_holder", "runs", ["holder"], unique=True)
    op.create_index("runs_session", "runs", ["session_id", "seq"])
    op.create_index("runs_root", "runs", ["root_id"])
    waiting: dict[str, list[str | sa.TextClause]] = {
        "queued": ["lane", "seq"],
        "ready": [sa.text("priority DESC"), "queued_at"],
        "running": ["worker"],
        "scheduled": ["not_before"],
        "paused": ["expires_at"],
    }
    for state, columns in waiting.items():
        # Members run and pause, but never wait. Their column in the condition would cost a look at every waiting row.
        roots = " AND parent_id IS NULL" if state in ("running", "paused") else ""
        where = sa.text(f"state = '{state}'{roots}")
        op.create_index(f"runs_{state}", "runs", columns, sqlite_where=where, postgresql_where=where)
    few = {
        "runs_interrupting": ("lane", "seq", "state = 'queued' AND on_busy = 'interrupt'"),
        "runs_deadline": ("deadline_at", "state IN ('scheduled', 'queued', 'ready') AND deadline_at IS NOT NULL"),
    }
    for name, (*names, condition) in few.items():
        where = sa.text(condition)
        op.create_index(name, "runs", list(names), sqlite_where=where, postgresql_where=where)


def _create_run_payloads() -> None:
    op.create_table(
        "run_io",
        sa.Column("run_id", sa.Text(), primary_key=True),
        _text("input", required=True),
        _text("output"),
        _text("messages"),
    )
    op.create_table(
        "run_events",
        sa.Column("root_id", sa.Text(), primary_key=True),
        sa.Column("first_index", sa.BigInteger(), primary_key=True, autoincrement=False),
        _count("count"),
        _text("payload", required=True),
    )
    op.create_table(
        "journal",
        sa.Column("root_id", sa.Text(), primary_key=True),
        sa.Column("path", sa.Text(), primary_key=True),
        _text("kind", required=True),
        _text("state", required=True),
        _text("fingerprint", required=True),
        _count("attempt"),
        _count("codec", default=1),
        _text("result"),
        _text("usage"),
        sa.Column("cost", sa.Double()),
        _time("started_at", required=True),
        _time("ended_at"),
    )
    op.create_table(
        "blobs",
        sa.Column("hash", sa.Text(), primary_key=True),
        _count("size"),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        _time("created_at", required=True),
    )


def _create_requests_and_approvals() -> None:
    op.create_table(
        "requests",
        sa.Column("caller", sa.Text(), primary_key=True),
        sa.Column("kind", sa.Text(), primary_key=True),  # run_id, or the operation of an idempotency key
        sa.Column("key", sa.Text(), primary_key=True),
        _text("fingerprint", required=True),
        _text("run_id", required=True),
        _text("answer"),
        _time("created_at", required=True),
        sqlite_with_rowid=False,
    )
    op.create_index("requests_run", "requests", ["run_id"])
    op.create_table(
        "approvals",
        sa.Column("id", sa.Text(), primary_key=True),
        _text("root_id", required=True),
        _text("run_id", required=True),
        _text("path", required=True),
        _text("kind", required=True),
        _text("state", required=True),
        _text("request", required=True),
        _text("decision"),
        _text("decided_by"),
        _time("created_at", required=True),
        _time("decided_at"),
        _time("consumed_at"),
        _time("expires_at"),
        _text("default_decision"),
        sqlite_with_rowid=False,
    )
    op.create_index("approvals_root", "approvals", ["root_id", "path"], unique=True)
    op.create_index("approvals_open", "approvals", ["state", "created_at"])
