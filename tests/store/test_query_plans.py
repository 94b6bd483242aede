"""What is asked on every request, claim and flush goes by an index, however many rows there are."""

import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest

import musterd.store
from musterd.core.callers import Caller
from musterd.core.deliveries import DeliveryFilter, DeliveryState
from musterd.core.states import RunState
from musterd.features.accounts import store as accounts
from musterd.features.knowledge import chunk_store as chunks
from musterd.features.knowledge import sources as content_sources
from musterd.features.knowledge import store as contents
from musterd.features.memories import store as memories
from musterd.features.schedules import store as schedules
from musterd.features.traces import store as traces
from musterd.features.usage import store as usage
from musterd.store import (
    acceptance,
    approvals,
    attempt_input,
    attempt_writes,
    blobs,
    cancels,
    decisions,
    delays,
    deliveries,
    disconnect,
    event_compaction,
    events,
    history,
    idempotency,
    journal,
    messages,
    pauses,
    probes,
    retention,
    run_attempts,
    run_changes,
    run_forks,
    run_lists,
    run_locks,
    run_outputs,
    run_removal,
    run_steps,
    run_summaries,
    runs,
    session_deletion,
    session_forks,
    session_queue,
    session_runs,
    session_search,
    sessions,
    stats,
    steering,
    step_contents,
    suspects,
    transitions,
    user_limits,
    workers,
)
from musterd.store.database import Statement, for_sqlite
from musterd.store.rows import GET_RUN, GET_RUN_BY_ID, RUN_FIELDS
from tests.support.store import statements_of

ROWS = 10_000
MODULES = [
    *(import_module(module.name) for module in iter_modules(musterd.store.__path__, "musterd.store.")),
    accounts,
    chunks,
    content_sources,
    contents,
    memories,
    schedules,
    traces,
    usage,
]
NOBODY = Caller()
USER: Mapping[str, Any] = {"user_id": "ada", "owner_key": ""}
LANE: Mapping[str, Any] = {"lane": "s7", "seq": 5000, "session_id": "s7"}
CONTENT: Mapping[str, Any] = {
    "id": "c",
    "knowledge_id": "docs",
    "owner": "ada",
    "sees_all": 0,
    "name": "n",
    "source": "folder",
    "now": 1.0,
    "worker": "w",
    "attempts": 1,
    "served": '["docs"]',
    "content_id": "c",
    "version": 1,
    "published_version": 1,
    "job_version": 2,
    "embedder": "e",
    "after": 0,
    "after_owner": "ada",
    "first": 0,
    "last": 9,
    "limit": 100,
    "contents": '["c"]',
    "allowed": '["c"]',
    "words": '["one", "two"]',
    "query": '"one" OR "two"',
    "anchors": '"one"',
    "others": '"two"',
    "ids": "[1, 2]",
    "hashes": '["h"]',
}
OF_CONTENTS = (
    *(contents.GET, contents.LOCK, contents.NAMED, contents.METADATA, contents.VISIBLE, contents.OF_SOURCE),
    *(contents.DELETE_ALL, contents.DELETE_SHARED, contents.HOLD, contents.PUBLISH, contents.STALE),
    contents.RESUME,
    *(
        contents.CHUNKS,
        contents.CHUNKS_OF,
        contents.FORGET_REQUESTS,
        contents.GET_BASE,
        contents.CLAIMABLE,
        contents.CLAIMABLE_AFTER,
        contents.LOCK_CLAIMABLE_AFTER,
        chunks.UNNEEDED,
        chunks.OF_VERSION,
    ),
    *(chunks.TO_EMBED, chunks.TO_EMBED_AGAIN, chunks.FIRST_CHANGED, chunks.CHANGED, chunks.VECTORS),
    *(chunks.BY_WORDS, chunks.WORD_COUNTS),
    *(chunks.ALLOWED_BY_WORDS, chunks.HITS, chunks.PUBLISHED, chunks.REMOVE, chunks.REMOVE_WORDS),
    *(chunks.LOCK, chunks.LOCK_EMBEDDINGS, chunks.REMOVE_UNUSED),
)

HOT: dict[Statement, Mapping[str, Any]] = {
    **{view: {"run_id": "r70"} for view in runs.VIEWS.values()},
    runs.AHEAD: LANE,
    runs.AHEAD_OF_INTERRUPTER: LANE,
    runs.TREE: {"root_id": "r70"},
    runs.MEMBERS: {"root_id": "r70"},
    runs.COMPONENT: {"run_id": "r70"},
    run_summaries.BY_IDS: {"run_ids": '["r70", "r71"]'},
    run_summaries.MEMBERS: {"root_id": "r70"},
    run_summaries.QUEUES: {"lanes": '["s7", "s8"]'},
    runs.HISTORY: {**LANE, "kind": "agent", "component_id": "solo", "limit": 3},
    run_outputs.GET_INPUT: {"run_id": "r70"},
    GET_RUN: {"run_id": "r70"},
    GET_RUN_BY_ID: {"run_id": "r70"},
    runs.SESSION: {"run_id": "r70"},
    **{view: {"run_id": "r70"} for view in runs.VIEWS_IN_SESSION.values()},
    idempotency.GET: {"caller": "", "kind": "run_id", "key": "r70"},
    idempotency.RUN_BY_ALIAS: {"caller": "ada", "alias": "r70"},
    idempotency.RUN_BY_ALIAS_IN_SESSION: {"session_id": "s1", "alias": "r70"},
    session_queue.HEAD: LANE,
    delays.DUE: {"now": 9_000.0, "limit": 100},
    delays.OVERDUE: {"now": 9_000.0, "limit": 100},
    acceptance.WAITING: {},
    transitions.CLAIM: {
        "worker": "w",
        "now": 1.0,
        "components": '["agent:solo"]',
        "limit": 8,
        "min_crashes": 0,
        "max_crashes": 1,
    },
    transitions.CLAIM_BY_IDS: {
        "run_ids": '["r7", "r8"]',
        "worker": "w",
        "now": 1.0,
        "components": '["agent:solo"]',
        "min_crashes": 0,
        "max_crashes": 1,
    },
    attempt_writes.FENCE: {
        "root": "r70",
        "attempt": 1,
        "count": 1,
        "first_token_at": None,
        "has_ended_steps": False,
        "totals": None,
        "activity": None,
    },
    transitions.CLOSE_MEMBERS[RunState.ERROR]: {"root": "r70", "now": 1.0},
    transitions.PROMOTE: LANE,
    transitions.RESUME_MEMBERS: {"root": "r70"},
    attempt_input.GET_MESSAGES: {"run_id": "r70"},
    journal.STEPS: {"root_id": "r70"},
    journal.STEPS_WITH_CONTENTS: {"root_id": "r70"},
    step_contents.OF_TREE: {"root": "r70", "paths": '["s0"]'},
    step_contents.READ: {"roots": '["r70"]', "paths": '["s0"]'},
    run_steps.RESULTS: {"root": "r70", "paths": '["t0/m"]'},
    journal.USAGE: {"root_id": "r70"},
    approvals.OF_ROOT: {"root_id": "r70"},
    decisions.PENDING: {"root": "r70"},
    approvals.CLOSE: {"root": "r70", "status": "cancelled"},
    transitions.PAUSE: {
        "root": "r70",
        "attempt": 1,
        "count": 1,
        "expires_at": 1.0,
        "first_token_at": None,
        "totals": None,
        "activity": None,
    },
    run_attempts.END: {"root": "r70", "attempt": 1, "ended_at": 1.0, "outcome": "paused"},
    run_attempts.OF_ROOT: {"root": "r70"},
    run_attempts.LAST_EVENTS: {"root": "r70"},
    run_attempts.LAST_STEP: {"root": "r70"},
    run_steps.PAGE: {"root": "r70", "below": "%", "limit": 100},
    run_steps.PAGE_AFTER: {"root": "r70", "below": "t0/c0/%", "after": "t0/c0/t0/m", "limit": 100},
    run_steps.ONE: {"root": "r70", "path": "t0/m"},
    run_steps.PLACES: {"root": "r70"},
    run_steps.PLACES_ELSEWHERE: {"run_ids": '["r70", "r71"]'},
    run_steps.APPROVALS: {"root": "r70"},
    transitions.PAUSE_MEMBERS: {"root": "r70"},
    run_locks.LOCK_RUN: {"run_id": "r70", "session_id": "s7"},
    events.AFTER: {"root_id": "r70", "start": 900, "limit": 200},
    sessions.GET: {"session_id": "s7"},
    sessions.LOCK: {"session_id": "s7"},
    run_locks.LOCK_SESSION: {"session_id": "s7"},
    workers.LOCK_SESSIONS: {"worker": "w"},
    sessions.LIVE_RUNS: {"session_id": "s7"},
    sessions.LIST_DELETED: {"now": 1e9},
    session_runs.LIVE: {"session_id": "s7"},
    session_runs.AFTER: {"session_id": "s7", "seq": 9_000, "limit": 100},
    session_runs.NAMED: {"session_id": "s7", "run_ids": '["r70", "r77"]'},
    disconnect.LET_GO: {"run_id": "r70"},
    workers.RUNNING: {"worker": "w"},
    workers.CRASHES: {"run_id": "r70"},
    suspects.MAX_CRASHES: {"run_ids": '["r70", "r71"]'},
    suspects.SURVIVED: {"run_id": "r70", "attempt": 1},
    user_limits.RUNNING: {},
    user_limits.READY_SUSPECTS: {"components": '["agent:solo"]', "now": 1.0},
    user_limits.CANDIDATES: {
        "components": '["agent:solo"]',
        "now": 1.0,
        "min_crashes": 0,
        "max_crashes": 1,
        "full": '["alice"]',
        "chosen": '["r70"]',
        "limit": 100,
    },
    probes.ANY_READY: {"now": 1.0},
    probes.READY: {"components": '["agent:solo"]', "now": 1.0},
    probes.READY_SUSPECT: {"components": '["agent:solo"]', "now": 1.0, "max_per_owner": 2, "worker": "w"},
    probes.RUNS: {"run_ids": '["r70", "r71"]'},
    probes.SESSIONS: {"session_ids": '["s7", "s8"]'},
    probes.EXPIRED: {"now": 1.0},
    pauses.EXPIRED: {"now": 1.0, "limit": 100},
    attempt_writes.CLOSE_STEPS: {"root": "r70"},
    cancels.OPEN_STEPS: {"root": "r70"},
    session_deletion.UNCANCELLED: {"session_id": "s7", "limit": 100},
    run_outputs.GET: {"run_id": "r70"},
    run_outputs.SET: {"run_id": "r70", "output": "{}"},
    sessions.RUN: {"run_id": "r70"},
    sessions.BEGIN: {
        "session_id": "s7",
        "first_message": "m",
        "user_id": None,
        "component_kind": "agent",
        "component_id": "solo",
    },
    sessions.CHANGE: {"session_id": "s7", "name": None, "state": "{}", "metadata": None, "summary": None, "now": 1.0},
    run_lists.LIVE: {"session_id": "s7"},
    session_forks.ENDED: {"session_id": "s7"},
    session_forks.LOCK_SOURCE: {"source": "s7"},
    session_forks.EXTEND: {"session_id": "s7", "now": 1e9, "until": 2e9},
    session_forks.FINISH: {"session_id": "s7", "now": 1e9},
    session_forks.GIVE_UP: {"session_id": "s7", "now": 1e9},
    session_forks.RUNS: {"roots": '["r70"]'},
    session_forks.IO: {"roots": '["r70"]'},
    session_forks.EVENTS: {"roots": '["r70"]'},
    session_forks.STEPS: {"roots": '["r70"]'},
    session_forks.ATTEMPTS: {"roots": '["r70"]'},
    session_forks.USES: {"roots": '["r70"]'},
    session_forks.MESSAGES: {"roots": '["r70"]'},
    runs.STATE: {"run_id": "r70"},
    messages.OF_ROOT: {"root": "r70"},
    messages.TAKE: {"id": "m", "path": "t0/m", "now": 1.0},
    messages.BEGAN_NEXT: {"root": "r70", "next": "r71", "now": 1.0},
    steering.SIGNAL: {"root": "r70"},
    steering.MEMBER: {"root": "r70", "run_id": "r71"},
    steering.FLAGGED: {"root": "r70"},
    approvals.CLOSE_BELOW: {"root": "r70", "below": "t0/c0/%"},
    transitions.CLOSE_MEMBERS_BELOW[RunState.ERROR]: {"root": "r70", "now": 1.0, "below": "t0/c0/%"},
    transitions.FINISH[RunState.COMPLETED]: {
        "root": "r70",
        "attempt": 1,
        "count": 1,
        "now": 1.0,
        "error_code": None,
        "first_token_at": None,
        "totals": None,
    },
    transitions.FINISH_MEMBER[RunState.COMPLETED]: {"run_id": "r70", "now": 1.0, "error_code": None},
    transitions.RESUME[RunState.READY]: {"run_id": "r70", "holder": "s7"},
    transitions.JOIN_QUEUE[RunState.READY]: {"run_id": "r70", "seq": 1, "holder": "s7", "now": 1.0},
    transitions.RELEASE: {"run_id": "r70", "attempt": 1, "not_before": None, "crashes": 0, "in_all": 0},
    transitions.CANCEL: {"run_id": "r70", "state": "ready", "now": 1.0, "by": "client"},
    transitions.FAIL: {"run_id": "r70", "state": "ready", "attempt": 1, "now": 1.0, "code": "deadline"},
    sessions.TAKE_SEQ: {"session_id": "s7"},
    runs.BY_IDS: {"run_ids": '["r70", "r71"]'},
    run_forks.OTHER_FORK: {"session_id": "s7", "origin": "r70"},
    run_forks.OUTLINE: {"origin": "r70"},
    run_forks.COPY_STEPS: {"root": "r71", "origin": "r70", "paths": "[]"},
    history.BY_ID: {"run_id": "r70"},
    history.OF_MEMBER: {**LANE, "kind": "agent", "component_id": "solo", "limit": 3},
    history.SINCE: {"session_id": "s7", "run_id": "r70", "summed_by": "r71", "since": 9.0, "limit": 3},
    history.OF_SESSION: {"session_id": "s7", "limit": 3},
    history.OTHER_SESSIONS: {
        "user_id": "ada",
        "owner": "",
        "kind": "agent",
        "component_id": "solo",
        "session_id": "s7",
        "limit": 3,
    },
    retention.OVER: {"before": 9.0, "limit": 100},
    retention.LIVE_OF: {"sessions": '["s7"]'},
    run_removal.HOLD: {"sessions": '["s7"]'},
    run_removal.TREES: {"roots": '["r70"]'},
    session_deletion.TO_CANCEL: {"now": 1e9},
    session_deletion.OVER: {"now": 1e9, "limit": 20},
    session_deletion.ROOTS: {"sessions": '["s7"]', "limit": 20},
    session_deletion.REMOVE: {"sessions": '["s7"]'},
    retention.UNUSED: {"before": 9.0, "limit": 100},
    retention.REMOVE_UNUSED: {"sessions": '["s7"]', "before": 9.0},
    event_compaction.UNJOINED: {"before": 9.0, "limit": 100},
    event_compaction.TAKE: {"root": "r70"},
    event_compaction.ROWS: {"root": "r70", "after": -1, "limit": 500},
    blobs.USED_BY: {"roots": '["r70"]'},
    blobs.SEVERAL: {"names": '["a", "b"]'},
    **{statement: {"roots": '["r70"]', "runs": '["r70"]'} for statement in run_removal.OF_ROOTS},
    **{statement: {} for statement in (stats.SCHEDULED, stats.QUEUED, stats.READY)},
    **{statement: {} for statement in (stats.RUNNING, stats.PAUSED, stats.PENDING)},
    run_changes.RUNNING: {},
    run_changes.ACCEPTED: {"since": 9_990.0},
    run_changes.FINISHED: {"since": 9_990.0},
    run_changes.PENDING: {},
    run_changes.APPROVALS: {"ids": '["a", "b"]'},
    run_changes.LIVE: {"owner": None, "limit": 100},
    run_changes.MISSED: {"owner": None, "since": 9_990.0, "limit": 100},
    run_changes.APPROVALS_OF: {"root_ids": '["r70"]', "since": 1.0},
    history.SET_SUMMARY: {"session_id": "s7", "summary": "{}"},
    deliveries.DUE: {"now": 1.0, "hosts": "[]", "owners": "[]", "limit": 100},
    deliveries.CLAIM: {"ids": '["d1"]', "now": 1.0, "until": 2.0, "lease": "l"},
    deliveries.CLAIMED: {"ids": '["d1"]', "lease": "l"},
    deliveries.RECORD_OUTCOME: {
        "id": "d1",
        "lease": "l",
        "state": "pending",
        "due_at": 1.0,
        "status": 500,
        "error": "",
        "now": 1.0,
    },
    deliveries.REDELIVER: {"id": "d1", "now": 1.0},
    deliveries.GET: {"id": "d1"},
    deliveries.GIVE_UP: {"before": 1.0, "now": 2.0, "error": "x", "limit": 100},
    deliveries.PENDING_OF: {"roots": '["r70"]'},
    deliveries.FORGET: {"before": 1.0, "limit": 100},
    user_limits.LIVE: {"owner": "ada"},
    accounts.BY_TOKEN: {"token_hash": "h"},
    accounts.BY_NAME: {"name": "ci"},
    accounts.NOT_REVOKED: {"ids": '["a", "b"]'},
    accounts.SET_USED: {"id": "a", "now": 2.0, "before": 1.0},
    accounts.REVOKE: {"id": "a", "now": 2.0},
    schedules.GET: {"id": "s"},
    schedules.LOCK: {"id": "s"},
    schedules.NAMED: {"owner": "ada", "name": "morning"},
    schedules.OF_USER: {"owner": "ada", "user_id": "ada", "limit": 50},
    schedules.OF_NAMED_USER: {"user_id": "ada", "limit": 50},
    schedules.DUE: {"now": 9.0, "unserved": 1.0, "served": '["agent:solo"]', "limit": 100},
    schedules.ANY_DUE: {"now": 9.0},
    schedules.NEXT_DUE: {"now": 9.0, "served": '["agent:solo"]'},
    schedules.TO_LOOK_AT: {"now": 9.0, "unserved": 1.0, "given_up": 0.5, "served": '["agent:solo"]', "limit": 100},
    schedules.ADVANCE: {"id": "s", "version": 1, "instant": 1.0, "next_run_at": 2.0, "due_at": 2.0, "enabled": 1},
    schedules.CLOSE_FIRING: {"id": "f", "seen": 1.0},
    schedules.SEVERAL: {"ids": '["s"]'},
    schedules.SEVERAL_FIRINGS: {"ids": '["f"]'},
    schedules.VIEW: {"id": "f", "schedule_id": "s"},
    schedules.PAGE: {"schedule_id": "s", "limit": 10, "offset": 0},
    schedules.COUNT: {"schedule_id": "s"},
    schedules.OF_RUN: {"run_id": "r70"},
    schedules.KEEP_OF_RUNS: {"runs": '["r70"]'},
    schedules.REMOVE_FIRINGS: {"id": "s"},
    schedules.OLD: {"before": 1.0, "limit": 100},
    **dict.fromkeys(OF_CONTENTS, CONTENT),
    content_sources.GET: {"root": "content:c"},
    memories.GET: {"memory_id": "m"},
    memories.OF_USER: {"user_id": "ada"},
    memories.LOCK_USER: {"user_id": "ada"},
    memories.NEWEST: {**USER, "limit": 50},
    memories.WITH_IDS: {**USER, "ids": '["m"]'},
    memories.TEXTS: {**USER, "limit": 500},
    memories.WITH_KEYS: {**USER, "keys": '["k"]'},
    memories.FORGET: {**USER, "memory_id": "m", "updated_at": 1.0},
    memories.FORGET_EARLIER: {**USER, "memory_key": "k", "updated_at": 1.0},
    memories.CLEAR: {**USER, "before": 1.0},
    usage.LIVE: {"start": 1.0, "end": 2.0},
    usage.NEXT: {"start": 1.0},
    usage.NEXT_OWN: {"start": 1.0, "owner": "ada"},
    usage.TIMES_OF_ROOTS: {"roots": '["r70", "r71"]'},
    usage.STORED: {"owner": "", "first": "2026-01-01", "last": "2026-12-31"},
    usage.IS_CLOSED: {"day": "2026-01-01"},
    usage.REMOVED: {"day": "2026-01-01"},
    usage.CLOSED: {"day": "2026-01-01"},
    traces.BY_RUN: {"run_id": "r70"},
    traces.BY_STORED: {"trace_id": "x", "owner": None},
    traces.BY_SENT: {"low": "x", "high": "y", "owner": None},
    traces.TREE: {"root_id": "r70"},
    traces.OUTLINE: {"root_id": "r70"},
}


@pytest.fixture(scope="module")
def big(template: Path) -> Iterator[sqlite3.Connection]:
    """A copy in memory of the schema, with many runs in 10 sessions: most are over, a thousand each wait."""
    with closing(sqlite3.connect(":memory:")) as connection:
        with closing(sqlite3.connect(template)) as source:
            source.backup(connection)
        others = [name for name in RUN_FIELDS if name not in ("run_id", "session_id", "lane", "seq", "state")]
        overrides = {"root_id": "'r' || :n", "parent_id": "NULL", "component_kind": "'agent'", "component_id": "'solo'"}
        overrides |= {"queued_at": ":n", "created_at": ":n", "worker": "CASE WHEN :n % 1000 = 0 THEN 'w' END"}
        values = ", ".join(overrides.get(name, "0") for name in [*others, "holder"] if name != "holder")
        columns = ", ".join(name for name in others if name != "holder")
        state = "CASE WHEN :n > 9000 THEN 'queued' WHEN :n > 8000 THEN 'ready' ELSE 'completed' END"
        connection.executemany(
            f"""INSERT INTO runs (run_id, shard, session_id, lane, seq, state, holder, {columns})
                VALUES ('r' || :n, :n % 10, 's' || :n % 10, 's' || :n % 10, :n, {state}, NULL, {values})""",  # noqa: S608
            [{"n": number} for number in range(ROWS)],
        )
        connection.executemany(
            "INSERT INTO run_io (run_id, shard, input) VALUES (?, ?, '{}')", [(f"r{n}", n % 10) for n in range(ROWS)]
        )
        connection.executemany(
            "INSERT INTO run_events (root_id, first_index, shard, count, payload) VALUES ('r70', ?, 0, 1, '[]')",
            [(n,) for n in range(ROWS)],
        )
        yield connection


def plan(connection: sqlite3.Connection, statement: Statement, params: Mapping[str, Any]) -> list[str]:
    rows = connection.execute(f"EXPLAIN QUERY PLAN {for_sqlite(statement.text)}", {"shard": 0, **params})
    return [str(row[-1]) for row in rows]


@pytest.mark.parametrize("statement", HOT, ids=lambda statement: statement.name)
def test_nothing_hot_reads_a_whole_table(big: sqlite3.Connection, statement: Statement) -> None:
    steps = plan(big, statement, HOT[statement])
    scans = [
        step
        for step in steps
        if step.startswith("SCAN")
        and not re.search(
            r"INDEX (runs_\w+|contents_(jobs|stale))|CONSTANT ROW|json_each|workers|picked|VIRTUAL TABLE|subquery",
            step,
        )
    ]
    assert scans == [], steps
    partial = [step for step in steps if step.startswith("SCAN") and "runs_" in step]
    small = re.compile(r"runs_(queued|ready|scheduled|running|paused|live_created)")
    assert all(small.search(step) for step in partial), "only what lives is looked at"


def test_runs_of_users_without_room_are_passed_over_without_a_look_at_their_rows(big: sqlite3.Connection) -> None:
    steps = plan(big, user_limits.CANDIDATES, HOT[user_limits.CANDIDATES])
    assert "SCAN ready USING COVERING INDEX runs_ready" in steps, steps
    for statement, index in ((user_limits.RUNNING, "runs_running"), (user_limits.READY_SUSPECTS, "runs_suspect")):
        reads = [step for step in plan(big, statement, HOT[statement]) if "runs" in step]
        assert [index in step for step in reads] == [True], reads


def test_sessions_of_other_components_are_passed_over_without_a_look_at_their_rows(big: sqlite3.Connection) -> None:
    steps = plan(big, history.OTHER_SESSIONS, HOT[history.OTHER_SESSIONS])
    assert "SEARCH s USING COVERING INDEX sessions_user_updated (user_id=?)" in steps, steps


def test_what_waits_is_counted_without_a_look_at_its_rows(big: sqlite3.Connection) -> None:
    steps = [step for step in plan(big, acceptance.WAITING, {}) if "runs" in step]
    assert len(steps) == 3
    assert all("COVERING INDEX" in step for step in steps)


@pytest.mark.parametrize(
    "statement, index",
    [
        (transitions.CLAIM, "runs_ready"),
        (transitions.PROMOTE, "runs_queued"),
        (session_queue.HEAD, "runs_holder"),
        (transitions.PROMOTE, "runs_interrupting"),
        (delays.DUE, "runs_scheduled"),
        (delays.OVERDUE, "runs_deadline"),
        (runs.AHEAD_OF_INTERRUPTER, "runs_interrupting"),
        (runs.AHEAD, "runs_queued"),
        (runs.HISTORY, "runs_session"),
        (history.OF_MEMBER, "runs_session"),
        (history.SINCE, "runs_session"),
        (history.OF_SESSION, "runs_session"),
        (session_runs.AFTER, "runs_session"),
        (history.OTHER_SESSIONS, "sessions_user_updated"),
        (workers.RUNNING, "runs_running"),
        (sessions.LIST_DELETED, "sessions_deleted"),
        (deliveries.DUE, "deliveries_due"),
        (deliveries.GIVE_UP, "deliveries_due"),
        (deliveries.PENDING_OF, "deliveries_run"),
        (deliveries.FORGET, "deliveries_ended"),
        (sessions.LIVE_RUNS, "runs_live"),
        (session_deletion.UNCANCELLED, "runs_live"),
        (retention.LIVE_OF, "runs_live"),
        (session_deletion.TO_CANCEL, "runs_live"),
        (session_deletion.OVER, "sessions_deleted"),
        (run_lists.LIVE, "runs_live"),
        (run_summaries.QUEUES, "runs_queued"),
        (run_summaries.QUEUES, "runs_holder"),
        (run_summaries.BY_IDS, "approvals_root"),
        (user_limits.LIVE, "runs_of_owner"),
        (retention.OVER, "runs_finished"),
        (retention.UNUSED, "sessions_updated"),
        (event_compaction.UNJOINED, "runs_finished"),
        (stats.PENDING, "approvals_inbox"),
        (run_changes.RUNNING, "runs_running"),
        (run_changes.ACCEPTED, "runs_created"),
        (run_changes.FINISHED, "runs_finished"),
        (run_changes.PENDING, "COVERING INDEX approvals_inbox"),
        (run_changes.LIVE, "runs_live_created"),
        (run_changes.MISSED, "runs_finished"),
        (schedules.NAMED, "schedules_name"),
        (schedules.DUE, "schedules_due"),
        (schedules.NEXT_DUE, "schedules_due"),
        (schedules.TO_LOOK_AT, "firings_look"),
        (schedules.PAGE, "firings_schedule"),
        (schedules.KEEP_OF_RUNS, "firings_run"),
        (schedules.OLD, "firings_without_run"),
    ],
    ids=lambda value: value.name if isinstance(value, Statement) else None,
)
def test_the_index_made_for_it_is_used(big: sqlite3.Connection, statement: Statement, index: str) -> None:
    assert any(index in step for step in plan(big, statement, HOT[statement]))


@pytest.mark.parametrize(
    "statement",
    [transitions.CLAIM, transitions.PROMOTE, runs.HISTORY, deliveries.DUE],
    ids=lambda statement: statement.name,
)
def test_order_comes_from_the_index(big: sqlite3.Connection, statement: Statement) -> None:
    assert [step for step in plan(big, statement, HOT[statement]) if "TEMP B-TREE" in step] == []


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (DeliveryFilter(), "deliveries_newest"),
        (DeliveryFilter(run_id="r70"), "deliveries_run"),
        (DeliveryFilter(state=DeliveryState.FAILED), "deliveries_state"),
        (DeliveryFilter(state=DeliveryState.FAILED, before="d1"), "deliveries_state"),
        (DeliveryFilter(before="d1"), "deliveries_newest"),
    ],
)
def test_a_page_of_deliveries_comes_from_the_index(
    big: sqlite3.Connection, filters: DeliveryFilter, index: str
) -> None:
    steps = plan(big, *deliveries.page_of(filters, Caller(), 1.0))
    assert any(index in step for step in steps)
    assert [step for step in steps if "TEMP B-TREE" in step] == []


@pytest.mark.parametrize("state", [None, DeliveryState.FAILED])
def test_a_users_page_of_deliveries_begins_with_the_users_runs(
    big: sqlite3.Connection, state: DeliveryState | None
) -> None:
    statement, params = deliveries.page_of(DeliveryFilter(state=state), Caller(user_id="ada"), None)
    first, second = [step for step in plan(big, statement, params) if re.search(r"(SCAN|SEARCH) [rd]\b", step)]
    assert "runs_owner" in first
    assert "deliveries_run" in second


# A plan can hide what a search visits: the virtual machine's steps do not.

STEPS = 5_000  # a look at each of 1,000 rows takes more


@pytest.mark.parametrize(
    "statement, params",
    [
        *((view, HOT[view]) for view in runs.VIEWS.values()),
        (runs.AHEAD, {"lane": "s7", "seq": 9017, "shard": 7}),
        (transitions.CLAIM, HOT[transitions.CLAIM]),
        (transitions.CLAIM_BY_IDS, HOT[transitions.CLAIM_BY_IDS]),
        (transitions.PROMOTE, HOT[transitions.PROMOTE]),
        (runs.HISTORY, HOT[runs.HISTORY]),
        (events.AFTER, {"root_id": "r70", "start": 9_900, "limit": 50}),
        (session_runs.AFTER, {"session_id": "s7", "seq": 9_900, "limit": 100, "shard": 7}),
    ],
    ids=lambda value: value.name if isinstance(value, Statement) else None,
)
def test_the_work_does_not_grow_with_the_rows(
    big: sqlite3.Connection, statement: Statement, params: Mapping[str, Any]
) -> None:
    assert work(big, statement, params) < STEPS


def work(connection: sqlite3.Connection, statement: Statement, params: Mapping[str, Any]) -> int:
    """How many steps the virtual machine takes."""
    ticks = 0

    def count() -> int:
        nonlocal ticks
        ticks += 1
        return 0

    params = {"shard": 0, **params}
    connection.execute(for_sqlite(statement.text), params).fetchall()  # the first also reads the schema
    connection.rollback()
    connection.set_progress_handler(count, 100)
    try:
        connection.execute(for_sqlite(statement.text), params).fetchall()
    finally:
        connection.set_progress_handler(None, 0)
        connection.rollback()
    return ticks * 100


# Lists


ALICE = Caller(user_id="alice", label="alice")
CURSOR = (5_000.0, "r5000")


@pytest.mark.parametrize(
    "filters, caller, states, index",
    [
        ({}, NOBODY, None, "runs_created"),
        ({"after": CURSOR}, NOBODY, None, "runs_created"),
        ({"created_after": 9.0, "created_before": 99.0}, NOBODY, None, "runs_created"),
        ({"component": ("agent", "solo")}, NOBODY, None, "runs_component"),
        ({"component": ("agent", "solo"), "after": CURSOR}, NOBODY, None, "runs_component"),
        ({"user_id": "u1"}, NOBODY, None, "runs_user"),
        ({}, ALICE, None, "runs_owner"),
        ({"after": CURSOR}, ALICE, None, "runs_owner"),
        ({"session_id": "s7"}, NOBODY, None, "runs_session"),
        ({}, NOBODY, [RunState.COMPLETED], "runs_created"),
        ({}, NOBODY, [RunState.ERROR], "runs_error"),
        ({"after": CURSOR}, NOBODY, [RunState.CANCELLED], "runs_cancelled"),
        ({}, NOBODY, [RunState.QUEUED], "runs_live_created"),
        ({"after": CURSOR}, NOBODY, [RunState.READY, RunState.PAUSED], "runs_live_created"),
    ],
)
def test_a_page_of_runs_goes_by_an_index(
    big: sqlite3.Connection, filters: dict[str, Any], caller: Caller, states: list[RunState] | None, index: str
) -> None:
    statement, params = run_lists.page_statement(run_lists.RunsQuery(**filters), caller, states)
    steps = plan(big, statement, params)
    assert any(f"INDEX {index} " in f"{step} " for step in steps), steps
    assert (index == "runs_session") == any("TEMP B-TREE" in step for step in steps), steps
    assert all(step.startswith("SEARCH") for step in steps if re.match(r"\w+ (io|s)\b", step)), steps
    if index != "runs_session":
        assert work(big, statement, params) < STEPS


@pytest.mark.parametrize("filters", [{"limit": 20}, {"limit": 20, "before": "r5007"}, {"limit": 20, "before": "nope"}])
def test_a_page_of_a_session_ends_with_the_page(big: sqlite3.Connection, filters: dict[str, Any]) -> None:
    statement, params = run_lists.of_session_statement(run_lists.SessionRunsQuery(session_id="s7", **filters))
    params["shard"] = 7
    steps = plan(big, statement, params)
    assert any("runs_session" in step for step in steps), steps
    assert work(big, statement, params) < STEPS


@pytest.mark.parametrize(
    "filters, caller, index",
    [
        ({}, NOBODY, "sessions_created"),
        ({"component_kind": "team", "component_id": "desk"}, NOBODY, "sessions_component_created"),
        ({"user_id": "u1"}, NOBODY, "sessions_user_created"),
        ({}, ALICE, "sessions_owner_created"),
        ({"sort_by": "updated_at"}, NOBODY, "sessions_updated"),
        ({"sort_by": "updated_at", "user_id": "u1"}, NOBODY, "sessions_user_updated"),
    ],
)
def test_a_page_of_sessions_goes_by_an_index(
    big: sqlite3.Connection, filters: dict[str, Any], caller: Caller, index: str
) -> None:
    for descending in (True, False):
        session_filter = session_search.SessionFilter(descending=descending, **filters)
        steps = plan(big, *session_search.page_of(session_filter, caller))
        assert any(f"INDEX {index} " in f"{step} " for step in steps), steps
        assert not any("TEMP B-TREE" in step and "LAST TERM" not in step for step in steps[:-1]), (
            "only the page is sorted"
        )


@pytest.mark.parametrize(
    "filters, caller",
    [
        ({}, NOBODY),
        ({"component_kind": "team"}, NOBODY),
        ({"component_kind": "team", "component_id": "desk"}, NOBODY),
        ({"user_id": "u1"}, NOBODY),
        ({}, ALICE),
    ],
)
def test_sessions_are_counted_without_a_look_at_them(
    big: sqlite3.Connection, filters: dict[str, Any], caller: Caller
) -> None:
    steps = plan(big, *session_search.count_of(session_search.SessionFilter(**filters), caller))
    assert all("COVERING INDEX" in step for step in steps), steps


@pytest.mark.parametrize(
    "filters", [{}, {"component_kind": "team"}, {"component_kind": "team", "component_id": "desk"}]
)
def test_a_search_by_name_reads_whole_only_its_page(big: sqlite3.Connection, filters: Mapping[str, Any]) -> None:
    session_filter = session_search.SessionFilter(name="plan", **filters)
    assert plan(big, *session_search.count_of(session_filter, NOBODY)) == [
        "SCAN sessions USING COVERING INDEX sessions_names"
    ]
    by_key, *_ = steps = plan(big, *session_search.page_of(session_filter, NOBODY))
    assert by_key == "SEARCH sessions USING PRIMARY KEY (session_id=?)"
    assert "SCAN sessions USING COVERING INDEX sessions_names" in steps


def test_every_statement_has_a_name_of_its_own() -> None:
    by_name: dict[str, Statement] = {}
    for module in MODULES:
        for statement in statements_of(module):
            assert by_name.setdefault(statement.name, statement) is statement
