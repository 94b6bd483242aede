"""The schema of the first release.

Times are unix seconds, and JSON is text. ``shard`` follows from the id of the session (``store/shards.py``). Long texts
have tables of their own: every flush of events updates ``runs.next_event``, which costs 70 times as much in a row that
holds a megabyte.
"""

import sqlalchemy as sa
from alembic import op

from musterd.store.migrations.columns import count as _count
from musterd.store.migrations.columns import index as _index
from musterd.store.migrations.columns import key as _key
from musterd.store.migrations.columns import number as _number
from musterd.store.migrations.columns import shard as _shard
from musterd.store.migrations.columns import text as _text
from musterd.store.migrations.columns import time as _time
from musterd.store.migrations.knowledge_tables import create_knowledge_tables

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None

ROOT = "parent_id IS NULL"
UNFINISHED = "state IN ('scheduled', 'queued', 'ready', 'running', 'paused')"
NOT_DELETED = "deleted_at IS NULL"


def upgrade() -> None:
    """Create all tables and indexes."""
    _create_instance_and_workers()
    _create_sessions()
    _create_session_indexes()
    _create_runs()
    _create_run_indexes()
    _create_run_list_indexes()
    _create_run_payloads()
    _create_blobs()
    _create_requests()
    _create_approvals()
    _create_run_messages()
    _create_service_accounts()
    _create_deliveries()
    _create_memories()
    _create_daily_metrics()
    _create_schedules()
    _create_firings()
    create_knowledge_tables()


def downgrade() -> None:
    """Schemas are never downgraded.

    :raises NotImplementedError: always.
    """
    raise NotImplementedError("restore a backup instead")


def _create_instance_and_workers() -> None:
    op.create_table(
        "instance",
        _key("id"),
        _time("created_at", required=True),
        _text("oldest_writer", required=True),  # the oldest revision whose programs may write this database
    )
    op.create_table(
        "workers",
        _key("id"),
        _count("heartbeat"),
        _time("beaten_at", required=True),  # by the worker's clock; compared with nothing
        _text("components", required=True),
        _text("host", required=True),
        _count("pid"),
        _time("started_at", required=True),
        _text("version", default=""),
        _text("role", default=""),
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        _key("session_id"),
        _shard(),
        _text("owner"),  # the user that a token authenticated
        _text("user_id"),  # the user that the client named
        _text("component_kind", required=True),
        _text("component_id", required=True),
        _text("name"),
        _text("first_message", required=True),
        _text("state", required=True),
        _text("metadata"),
        _text("summary"),
        _count("next_seq"),
        _time("created_at", required=True),
        _time("updated_at", required=True),
        _time("deleted_at"),
        _text("forked_from"),
        sqlite_with_rowid=False,
    )


def _create_session_indexes() -> None:
    _index("sessions", "deleted", ["deleted_at"], "deleted_at IS NOT NULL")
    newest = ["created_at", "session_id", "deleted_at"]
    _index("sessions", "component_created", ["component_kind", "component_id", *newest], NOT_DELETED)
    _index("sessions", "user_created", ["user_id", *newest], f"{NOT_DELETED} AND user_id IS NOT NULL")
    _index("sessions", "owner_created", ["owner", *newest], f"{NOT_DELETED} AND owner IS NOT NULL")
    # These hold all columns that a list can filter by, so that sessions that do not match are passed over without a
    # look at their rows.
    filters = ["owner", "user_id", "component_kind", "component_id"]
    if op.get_context().dialect.name == "sqlite":
        # All that a search by name compares: SQLite would read each row whole, with the session state. Postgres stores
        # long values apart from the row, and cannot put long names into an index.
        names = ["name", "first_message"]
        _index("sessions", "names", ["created_at", "session_id", *filters, *names, "deleted_at"], NOT_DELETED)
    _index("sessions", "created", ["created_at", "session_id", *filters, "deleted_at"], NOT_DELETED)
    _index("sessions", "updated", ["updated_at", "session_id", *filters, "deleted_at"], NOT_DELETED)
    of_user = ["user_id", "updated_at", "session_id", "owner", "component_kind", "component_id", "deleted_at"]
    _index("sessions", "user_updated", of_user, f"{NOT_DELETED} AND user_id IS NOT NULL")
    title = sa.text("substr(COALESCE(name, first_message), 1, 100)")  # Postgres cannot index long texts
    _index("sessions", "title", [title, "session_id"], NOT_DELETED)


def _create_runs() -> None:
    op.create_table(
        "runs",
        _key("run_id"),
        _shard(),
        _text("root_id", required=True),
        _text("parent_id"),
        _text("forked_from"),
        _text("copied_from"),  # the tokens of a copy are counted at its original only
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
        # the queue
        _text("lane"),
        _number("seq"),
        _text("holder"),
        _text("on_busy", default="enqueue"),
        _count("priority"),
        _count("hold_paused"),
        # the attempt
        _count("attempt"),
        _count("crashes"),
        _count("crashes_in_all"),
        _text("worker"),
        _text("salt"),
        _count("next_event"),
        _count("signals"),  # an attempt that sees it increase reads its messages and the cancels of members
        _count("is_background"),
        _count("cancel_on_disconnect"),
        _time("created_at", required=True),
        _time("queued_at"),
        _time("started_at"),
        _time("first_token_at"),
        _time("ended_at"),
        _time("not_before"),
        _time("deadline_at"),
        _time("expires_at"),
        # the finish
        _time("cancel_requested_at"),
        _text("cancel_by"),
        _text("error_code"),
        _text("totals"),  # what the tree has used so far, as JSON
        _text("activity"),  # what the run does now, as JSON
        _text("webhooks"),  # URLs, separated by spaces
        _text("traceparent"),
        _text("step"),  # of a run that a step of a workflow started: the step, as JSON
        _text("trace_id"),  # null if the run id itself is the trace id
        _count("is_compacted"),
        sqlite_with_rowid=False,
    )


def _create_run_indexes() -> None:
    _index("runs", "holder", ["holder", "shard"], unique=True)
    _index("runs", "session", ["session_id", "seq"])
    _index("runs", "root", ["root_id"])
    _index("runs", "queued", ["lane", "seq"], "state = 'queued'")
    _index("runs", "ready", [sa.text("priority DESC"), "queued_at", "owner", "state"], "state = 'ready'")
    _index("runs", "suspect", ["owner"], "state = 'ready' AND crashes >= 2")
    # Members run and pause, but never wait. In the conditions of the other states the column parent_id would cost a
    # look at the row of every waiting run.
    _index("runs", "running", ["worker"], f"state = 'running' AND {ROOT}")
    _index("runs", "scheduled", ["not_before"], "state = 'scheduled'")
    _index("runs", "paused", ["expires_at"], f"state = 'paused' AND {ROOT}")
    _index("runs", "interrupting", ["lane", "seq"], "state = 'queued' AND on_busy = 'interrupt'")
    waiting = "state IN ('scheduled', 'queued', 'ready')"
    _index("runs", "deadline", ["deadline_at"], f"{waiting} AND deadline_at IS NOT NULL")
    active = "state IN ('scheduled', 'queued', 'ready', 'running')"
    _index("runs", "of_owner", ["owner", "state"], f"owner IS NOT NULL AND {ROOT} AND {active}")
    _index("runs", "trace_id", ["trace_id"], "trace_id IS NOT NULL")
    _index("runs", "traceparent", ["traceparent"], "traceparent IS NOT NULL")
    _index("runs", "live", ["session_id", "seq"], f"{ROOT} AND {UNFINISHED}")
    _index("runs", "finished", ["is_compacted", "ended_at"], f"{ROOT} AND ended_at IS NOT NULL")


def _create_run_list_indexes() -> None:
    """Create an index for each order and filter of the lists of root runs.

    They hold the columns of their own conditions: SQLite reads the row for a column that an index lacks, even one that
    the index's condition settles. So runs are counted in an index alone, and an index of some runs is preferred to the
    one of all.
    """
    newest = ["created_at", "run_id", "parent_id"]
    _index("runs", "created", newest, ROOT)
    _index("runs", "owner", ["owner", *newest], f"{ROOT} AND owner IS NOT NULL")
    _index("runs", "user", ["user_id", *newest], f"{ROOT} AND user_id IS NOT NULL")
    _index("runs", "component", ["component_kind", "component_id", *newest], ROOT)
    _index("runs", "error", [*newest, "state"], f"state = 'error' AND {ROOT}")
    _index("runs", "cancelled", [*newest, "state"], f"state = 'cancelled' AND {ROOT}")
    _index("runs", "live_created", [*newest, "state"], f"{ROOT} AND {UNFINISHED}")
    # A run that has not started is not a trace: traces are counted as all root runs but these.
    _index("runs", "not_started", [*newest, "started_at"], f"{ROOT} AND started_at IS NULL")


def _create_run_payloads() -> None:
    op.create_table(
        "run_io", _key("run_id"), _shard(), _text("input", required=True), _text("output"), _text("messages")
    )
    op.create_table(
        "run_events",
        _key("root_id"),
        sa.Column("first_index", sa.BigInteger(), primary_key=True, autoincrement=False),
        _shard(),
        _count("count"),
        _text("payload", required=True),
    )
    op.create_table(
        "journal",
        _key("root_id"),
        _key("path"),
        _shard(),
        _text("kind", required=True),
        _text("state", required=True),
        _text("fingerprint", required=True),
        _text("name"),  # of the tool, the hook or the model
        _text("call_id"),  # the model's id of a tool call
        _count("attempt"),
        _count("tries"),
        _count("codec", default=1),
        _text("error"),
        _text("usage"),
        sa.Column("cost", sa.Double()),
        _time("started_at", required=True),
        _time("ended_at"),
        _text("earlier"),  # earlier attempts of the step, as JSON
        _text("timing"),  # of a model call: its first token and its tries that failed, as JSON
        _text("result"),  # late: SQLite reads through a long value to the columns after it
        _text("content"),  # of a workflow's step: a large text of the result, which is not in the result then
    )
    # An attempt has a row once it ended without ending its run, and the later attempts of that run have rows as well.
    op.create_table(
        "run_attempts",
        _key("root_id"),
        sa.Column("attempt", sa.BigInteger(), primary_key=True, autoincrement=False),
        _shard(),
        _text("worker"),
        _time("started_at", required=True),
        _time("ended_at"),
        _text("outcome"),
        sqlite_with_rowid=False,
    )


def _create_blobs() -> None:
    op.create_table(
        "blobs",
        _key("hash"),
        _count("size"),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        _time("created_at", required=True),
    )
    op.create_table(
        "blob_uses",
        _key("root_id"),
        _key("hash"),
        _shard(),
        sa.Column("until_end", sa.Boolean(), nullable=False),  # else until the session is deleted
        sqlite_with_rowid=False,
    )
    _index("blob_uses", "hash", ["hash"])


def _create_requests() -> None:
    op.create_table(
        "requests",
        _key("caller"),
        _key("kind"),  # run_id, or the operation of an idempotency key
        _key("key"),
        _text("fingerprint", required=True),
        _text("run_id", required=True),
        _text("answer"),
        _time("created_at", required=True),
        sqlite_with_rowid=False,
    )
    _index("requests", "run", ["run_id"])


def _create_approvals() -> None:
    op.create_table(
        "approvals",
        _key("id"),
        _shard(),
        _text("root_id", required=True),
        _text("run_id", required=True),
        _text("path", required=True),
        _text("kind", required=True),
        _text("state", required=True),
        _text("status", default="pending"),
        _text("approval_type"),
        _text("request", required=True),
        _text("decision"),
        _text("decided_by"),
        _text("resolution_data"),
        _time("created_at", required=True),
        _time("decided_at"),
        _time("expires_at"),
        _text("default_decision"),
        sqlite_with_rowid=False,
    )
    # Not unique: a call that a crash cuts off after its approval asks again, and the first decision stays on record.
    _index("approvals", "root", ["root_id", "path"])
    listed = ["created_at", "id", "root_id", "approval_type", "kind"]
    _index("approvals", "created", [*listed, "status"])
    _index("approvals", "inbox", ["status", *listed])


def _create_run_messages() -> None:
    op.create_table(
        "run_messages",
        _key("id"),
        _shard(),
        _text("root_id", required=True),
        _text("run_id", required=True),  # the root or member whose model reads the message
        _text("text", required=True),
        _text("sent_by", required=True),
        _time("created_at", required=True),
        _time("taken_at"),
        _text("taken_path"),  # the model call that read it
        _text("next_run_id"),  # the run that it started, because its own had finished
        sqlite_with_rowid=False,
    )
    _index("run_messages", "root", ["root_id", "created_at"])


def _create_service_accounts() -> None:
    op.create_table(
        "service_accounts",
        _key("id"),
        _text("name", required=True),
        _text("token_hash", required=True),  # the token itself is not stored
        _text("token_prefix", required=True),
        _text("scopes", required=True),
        _time("created_at", required=True),
        _text("created_by"),
        _time("expires_at"),
        _time("last_used_at"),
        _time("revoked_at"),
        sqlite_with_rowid=False,
    )
    _index("service_accounts", "token", ["token_hash"], unique=True)
    _index("service_accounts", "name", ["name"], "revoked_at IS NULL", unique=True)
    _index("service_accounts", "created", ["created_at", "id"])
    _index("service_accounts", "names", ["name", "id"])
    _index("service_accounts", "expires_at", [sa.text("(COALESCE(expires_at, 0))"), "id"])
    _index("service_accounts", "last_used_at", [sa.text("(COALESCE(last_used_at, 0))"), "id"])


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        _key("id"),
        _shard(),
        _text("run_id", required=True),
        _text("url", required=True),
        _text("host", required=True),  # with its port: only few deliveries are sent to a host at a time
        _text("happening", required=True),
        _number("run_attempts", required=True),
        _text("facts", required=True),
        _text("state", required=True),
        _count("attempts"),
        _time("due_at", required=True),
        _text("lease"),
        _time("created_at", required=True),
        _time("ended_at"),
        _number("last_status"),
        _text("last_error"),
        sqlite_with_rowid=False,
    )
    _index("deliveries", "run", ["run_id", "created_at", "id"])
    _index("deliveries", "newest", ["created_at", "id"])
    _index("deliveries", "state", ["state", "created_at", "id"])
    _index("deliveries", "due", ["state", "due_at", "id"])
    _index("deliveries", "ended", ["ended_at"], "ended_at IS NOT NULL")


def _create_memories() -> None:
    op.create_table(
        "memories",
        _key("memory_id"),
        _text("owner"),  # the user that a token authenticated
        _text("user_id", required=True),  # the user that the memory is about
        _text("memory", required=True),
        _text("memory_key", required=True),  # core.user_memories.memory_key
        _text("topics", required=True),
        _text("agent_id"),
        _text("team_id"),
        _text("input"),  # the message that it comes from
        _text("source_run_id"),
        _text("profile_field"),
        _time("created_at", required=True),
        _time("updated_at", required=True),
        sqlite_with_rowid=False,
    )
    _index("memories", "said", ["user_id", sa.text("(COALESCE(owner, ''))"), "memory_key"], unique=True)
    _index("memories", "updated", ["updated_at", "memory_id"])
    _index("memories", "user", ["user_id", "updated_at", "memory_id"])
    _index("memories", "owner", ["owner", "updated_at", "memory_id"])
    _index("memories", "created", ["created_at", "memory_id"])
    _index("memories", "agent", ["agent_id", "updated_at", "memory_id"])
    _index("memories", "team", ["team_id", "updated_at", "memory_id"])
    _index("memories", "text", [sa.text("substr(memory, 1, 100)"), "memory_id"])


def _create_daily_metrics() -> None:
    op.create_table(
        "daily_metrics",
        _key("day"),
        _key("owner"),  # empty: all users together
        _number("is_over", required=True),  # 0: counts only sessions that were deleted before the day was over
        _text("figures", required=True),
        _time("created_at", required=True),
        _time("updated_at", required=True),
        sqlite_with_rowid=False,
    )
    _index("daily_metrics", "owner", ["owner", "day"])


def _create_schedules() -> None:
    op.create_table(
        "schedules",
        _key("id"),
        _text("owner"),  # the user that a token authenticated
        _text("user_id"),  # the user that its runs are for
        _text("name", required=True),
        _text("component", required=True),  # kind:id; empty: it runs none
        _text("definition", required=True),
        _text("maker", required=True),  # with whose rights it acts
        _text("declared"),  # a hash of its declaration in code
        _count("enabled"),
        _time("next_run_at"),
        _time("due_at"),  # next_run_at with the jitter
        _count("version"),
        _time("created_at", required=True),
        _time("updated_at"),
        sqlite_with_rowid=False,
    )
    _index("schedules", "name", [sa.text("(COALESCE(owner, ''))"), "name"], unique=True)
    _index("schedules", "created", ["created_at", "id"])
    _index("schedules", "owner", ["owner", "created_at", "id"])
    _index("schedules", "enabled", ["enabled", "created_at", "id"])
    _index("schedules", "due", ["due_at", "component"], "due_at IS NOT NULL")
    _index("schedules", "declared", ["component"], "declared IS NOT NULL")


def _create_firings() -> None:
    op.create_table(
        "firings",
        _key("id"),
        _text("schedule_id", required=True),
        _count("attempt"),
        _text("trigger", required=True),
        _time("scheduled_for"),
        _text("run_id"),
        _text("session_id"),
        _text("outcome"),  # of a firing without a run
        _number("status_code"),
        _text("error"),
        _time("look_at"),  # when upkeep has to start its run, or to retry it
        _time("created_at", required=True),
        sqlite_with_rowid=False,
    )
    _index("firings", "schedule", ["schedule_id", "created_at"])
    # An instant fires once, whatever processes and clocks do.
    first = "attempt = 1 AND scheduled_for IS NOT NULL"
    _index("firings", "instant", ["schedule_id", "scheduled_for"], first, unique=True)
    _index("firings", "run", ["run_id"], "run_id IS NOT NULL")
    _index("firings", "look", ["look_at"], "look_at IS NOT NULL")
    _index("firings", "without_run", ["created_at"], "run_id IS NULL")
