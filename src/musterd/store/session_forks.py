"""Forking a session: a new session that starts with copies of the finished runs of another one.

A copy has new ids and everything that its original has: members, conversation, events, journal, media. Nothing is
executed for it. The source session does not change, and its unfinished runs are not copied.

A fork is written in small transactions, so that no other writer waits for a long session. Until it is complete, its
``deleted_at`` lies in the future: no one sees the session, and if the fork is never completed, for example because its
process is killed, it is removed like any deleted session once that time has come.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import BadRequest, Conflict, NotFound
from musterd.core.jsontypes import JsonObject
from musterd.core.records import ComponentKind, SessionRow
from musterd.core.states import RunState
from musterd.store import sessions, transitions
from musterd.store.database import Row, Statement, Tx
from musterd.store.rows import qualified, run_params, run_row
from musterd.store.session_copies import (
    Ids,
    attempt_copy,
    events_copy,
    io_copy,
    message_copy,
    renamed,
    run_copy,
    step_copy,
    use_copy,
)
from musterd.store.shards import SessionTx

ENDED = Statement(
    "fork_ended",
    """SELECT r.run_id, r.root_id, r.next_event FROM runs root
       JOIN runs r ON r.root_id = root.run_id AND r.shard = root.shard
       WHERE root.session_id = :session_id AND root.shard = :shard AND root.parent_id IS NULL
       AND root.state IN ('completed', 'error', 'cancelled') ORDER BY root.seq""",
)
LOCK_SOURCE = Statement(
    "fork_hold_source",
    """SELECT 1 AS found FROM sessions
       WHERE session_id = :source AND shard = :shard AND deleted_at IS NULL LOCK_ROW""",
)
EXTEND = Statement(
    "fork_go_on",
    "UPDATE sessions SET deleted_at = :until WHERE session_id = :session_id AND shard = :shard AND deleted_at > :now",
)
# Like EXTEND, only while the deadline lies ahead: after it the rows may be in removal.
FINISH = Statement(
    "fork_finish",
    "UPDATE sessions SET deleted_at = NULL WHERE session_id = :session_id AND shard = :shard AND deleted_at > :now",
)
GIVE_UP = Statement(
    "fork_give_up",
    "UPDATE sessions SET deleted_at = :now WHERE session_id = :session_id AND shard = :shard AND deleted_at > :now",
)
RUNS = Statement(
    "fork_runs",
    f"SELECT {qualified('r')} FROM runs r WHERE IN_LIST(r.root_id, :roots) AND r.shard = :shard ORDER BY r.created_at",
)
IO = Statement(
    "fork_io",
    """SELECT run_id, input, output, messages FROM run_io
       WHERE shard = :shard
       AND run_id IN (SELECT run_id FROM runs WHERE IN_LIST(root_id, :roots) AND shard = :shard)""",
)
ADD_IO = Statement(
    "fork_io_add",
    """INSERT INTO run_io (run_id, shard, input, output, messages)
       VALUES (:run_id, :shard, :input, :output, :messages)""",
)
EVENTS = Statement(
    "fork_events",
    "SELECT root_id, first_index, count, payload FROM run_events WHERE IN_LIST(root_id, :roots) AND shard = :shard",
)
ADD_EVENTS = Statement(
    "fork_events_add",
    """INSERT INTO run_events (root_id, first_index, shard, count, payload)
       VALUES (:root_id, :first_index, :shard, :count, :payload)""",
)


def _values(columns: str) -> str:
    """The parameters of a row with these columns, and its shard."""
    return ", ".join(f":{name}" for name in (*columns.split(", "), "shard"))


_STEP = (
    "root_id, path, kind, state, fingerprint, name, call_id, attempt, tries, started_at, ended_at, result, error, "
    "usage, cost, codec, earlier, timing, content"
)
STEPS = Statement("fork_steps", f"SELECT {_STEP} FROM journal WHERE IN_LIST(root_id, :roots) AND shard = :shard")
ADD_STEP = Statement("fork_step_add", f"INSERT INTO journal ({_STEP}, shard) VALUES ({_values(_STEP)})")
_ATTEMPT = "root_id, attempt, worker, started_at, ended_at, outcome"
ATTEMPTS = Statement(
    "fork_attempts", f"SELECT {_ATTEMPT} FROM run_attempts WHERE IN_LIST(root_id, :roots) AND shard = :shard"
)
ADD_ATTEMPT = Statement(
    "fork_attempt_add",
    f"INSERT INTO run_attempts ({_ATTEMPT}, shard) VALUES ({_values(_ATTEMPT)})",
)
USES = Statement(
    "fork_blob_uses",
    "SELECT root_id, hash, until_end FROM blob_uses WHERE IN_LIST(root_id, :roots) AND shard = :shard",
)
ADD_USE = Statement(
    "fork_blob_use_add",
    "INSERT INTO blob_uses (root_id, hash, shard, until_end) VALUES (:root_id, :hash, :shard, :until_end)",
)
_MESSAGE = "id, root_id, run_id, text, sent_by, created_at, taken_at, taken_path, next_run_id"
MESSAGES = Statement(
    "fork_messages", f"SELECT {_MESSAGE} FROM run_messages WHERE IN_LIST(root_id, :roots) AND shard = :shard"
)
ADD_MESSAGE = Statement(
    "fork_message_add",
    f"INSERT INTO run_messages ({_MESSAGE}, shard) VALUES ({_values(_MESSAGE)})",
)
PIECE_EVENTS = 1000
"""How many events are read at once. Larger trees are read on their own, smaller ones together."""
EVENTS_OF_A_RUN = 20
"""The weight of a run in addition to its events."""
BATCH_ROWS, BATCH_CHARACTERS = 500, 512 * 1024
"""How much one transaction adds at most; a single longer row is added on its own."""
FINISH_SECONDS = 600.0
"""How long a fork may make no progress before it is given up."""

Added = tuple[Statement, JsonObject]
"""A row to add, with the statement that adds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkTarget:
    """The session that a fork creates.

    :param user_id: the user id; None: that of the source.
    """

    session_id: str
    component_kind: ComponentKind
    component_id: str
    user_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """A fork that is being made.

    :param session: the new session as it will be stored.
    :param ids: the ids of the copies by the ids of their originals.
    :param weights: the root runs to copy, in order, each with its approximate size.
    :param keeps_webhook: whether a run that continues a copy uses the original's webhook.
    """

    source_id: str
    session: SessionRow
    ids: Ids
    weights: dict[str, int]
    keeps_webhook: bool

    @property
    def first_run_id(self) -> str:
        """The first run of the new session."""
        return self.ids[next(iter(self.weights))]

    def pieces(self) -> Iterator[list[str]]:
        """The root runs, grouped so that each group can be read at once."""
        piece, piece_weight = list[str](), 0
        for root_id, weight in self.weights.items():
            if piece and piece_weight + weight > PIECE_EVENTS:
                yield piece
                piece, piece_weight = [], 0
            piece.append(root_id)
            piece_weight += weight
        yield piece


async def plan(tx: Tx, source_id: str, target: ForkTarget, caller: Caller) -> Fork:
    """Plan a fork: read the session's state and its finished runs, on one snapshot.

    :raises NotFound: there is no such session of this component that the caller may see.
    :raises BadRequest: no run of the session has finished.
    """
    source = await sessions.get(tx, source_id, caller)
    component = (target.component_kind, target.component_id)
    if source is None or (source.component_kind, source.component_id) != component:
        raise _not_found(source_id)
    ids, weights = dict[str, str](), dict[str, int]()
    for row in await SessionTx(tx, source_id).all(ENDED, {"session_id": source_id}):
        ids[row["run_id"]] = clock.new_id()
        weights[row["root_id"]] = weights.get(row["root_id"], 0) + int(row["next_event"]) + EVENTS_OF_A_RUN
    if not weights:
        raise BadRequest(f"Session {source_id} has no finished runs to fork.")
    session = _session(source, target, caller, ids, next_seq=len(weights))
    keeps_webhook = session.owner == source.owner
    return Fork(source_id=source_id, session=session, ids=ids, weights=weights, keeps_webhook=keeps_webhook)


async def begin(tx: Tx, fork: Fork) -> None:
    """Add the new session, still hidden.

    :raises NotFound: the source session was deleted.
    """
    await _lock_source(tx, fork)
    await sessions.add(tx, replace(fork.session, deleted_at=clock.now() + FINISH_SECONDS))


async def originals(tx: SessionTx, roots: Sequence[str]) -> list[tuple[Statement, Sequence[Row]]]:
    """The payload rows of some trees, each group with the statement that adds a copy."""
    params = {"roots": json.dumps(roots)}
    tables = (
        (ADD_IO, IO),
        (ADD_EVENTS, EVENTS),
        (ADD_STEP, STEPS),
        (ADD_ATTEMPT, ATTEMPTS),
        (ADD_MESSAGE, MESSAGES),
    )
    return [(add, await tx.all(statement, params)) for add, statement in tables]


def copies(fork: Fork, groups: Iterable[tuple[Statement, Sequence[Row]]]) -> list[Added]:
    """Copies of the rows that :func:`originals` read, with the ids of the fork."""
    ids, keeps_webhook = fork.ids, fork.keeps_webhook
    copy_by = {
        ADD_IO: lambda row: io_copy(row, ids, keeps_webhook=keeps_webhook),
        ADD_EVENTS: lambda row: events_copy(row, ids),
        ADD_STEP: lambda row: step_copy(row, ids),
        ADD_ATTEMPT: lambda row: attempt_copy(row, ids),
        ADD_MESSAGE: lambda row: message_copy(row, ids),
    }
    return [(add, copy_by[add](row)) for add, rows in groups for row in rows]


def batches(added: Iterable[Added]) -> Iterator[list[Added]]:
    """Rows to add, grouped so that one transaction can add each group."""
    batch, batch_characters = list[Added](), 0
    for item in added:
        characters = sum(len(value) for value in item[1].values() if isinstance(value, str))
        if batch and (len(batch) >= BATCH_ROWS or batch_characters + characters > BATCH_CHARACTERS):
            yield batch
            batch, batch_characters = [], 0
        batch.append(item)
        batch_characters += characters
    if batch:
        yield batch


async def add_runs(tx: Tx, fork: Fork, roots: Sequence[str]) -> None:
    """Add the run rows of some trees, and their uses of blobs.

    The payload was read before this transaction, without a lock. The uses are added while the source is locked, so from
    here on the blobs stay, even if the source's runs are removed.

    :raises NotFound: the source session was deleted.
    :raises Conflict: one of the trees was removed, or the fork was given up.
    """
    await _extend(tx, fork)
    of_roots = {"roots": json.dumps(roots)}
    seqs = {root_id: seq for seq, root_id in enumerate(fork.weights)}
    source, target = SessionTx(tx, fork.source_id), SessionTx(tx, fork.session.session_id)
    runs = [run_row(row) for row in await source.all(RUNS, of_roots)]
    if {run.run_id for run in runs if run.parent_id is None} != set(roots):  # retention removed some of them meanwhile
        raise Conflict(f"Runs of session {fork.source_id} were removed while it was being forked; fork it again.")
    params_by_state: dict[RunState, list[JsonObject]] = {}
    for run in runs:
        copy = run_copy(run, fork.session, fork.ids, seqs.get(run.run_id))
        params_by_state.setdefault(copy.state, []).append(run_params(copy))
    for state, params in params_by_state.items():
        await target.many(transitions.COPY[state], params)
    if uses := [use_copy(row, fork.ids) for row in await source.all(USES, of_roots)]:
        await target.many(ADD_USE, uses)


async def add(tx: Tx, fork: Fork, batch: Iterable[Added]) -> None:
    """Add payload rows of trees whose run rows were added before.

    :raises NotFound: the source session was deleted.
    :raises Conflict: the fork was given up.
    """
    await _extend(tx, fork)
    rows_by_statement: dict[Statement, list[JsonObject]] = {}
    for statement, row in batch:
        rows_by_statement.setdefault(statement, []).append(row)
    target = SessionTx(tx, fork.session.session_id)
    for statement, rows in rows_by_statement.items():
        await target.many(statement, rows)


async def finish(tx: Tx, fork: Fork) -> None:
    """Make the complete session visible.

    :raises NotFound: the source session was deleted.
    :raises Conflict: the fork was given up.
    """
    await _lock_source(tx, fork)
    target = SessionTx(tx, fork.session.session_id)
    if not await target.run(FINISH, {"session_id": target.session_id, "now": clock.now()}):
        raise _given_up()


async def give_up(tx: Tx, fork: Fork) -> None:
    """Give the fork up; its rows are removed like those of a deleted session."""
    target = SessionTx(tx, fork.session.session_id)
    await target.run(GIVE_UP, {"session_id": target.session_id, "now": clock.now()})


async def _extend(tx: Tx, fork: Fork) -> None:
    """Lock the source, and give the fork more time before it is removed as abandoned.

    The update matches only while the deadline lies ahead. So this transaction and a removal of the fork exclude each
    other: no rows are added to a session that is being removed.
    """
    await _lock_source(tx, fork)
    target, now = SessionTx(tx, fork.session.session_id), clock.now()
    if not await target.run(EXTEND, {"session_id": target.session_id, "now": now, "until": now + FINISH_SECONDS}):
        raise _given_up()


async def _lock_source(tx: Tx, fork: Fork) -> None:
    """Lock the source session: removals lock it too, so none of its runs is removed during this transaction."""
    if await SessionTx(tx, fork.source_id).one(LOCK_SOURCE, {"source": fork.source_id}) is None:
        raise _not_found(fork.source_id)


def _not_found(source_id: str) -> NotFound:
    return NotFound(f"Session with ID {source_id} not found")


def _given_up() -> Conflict:
    return Conflict("The fork took too long and was abandoned; fork the session again.")


def _session(source: SessionRow, target: ForkTarget, caller: Caller, ids: Ids, *, next_seq: int) -> SessionRow:
    now = clock.now()
    return replace(
        source,
        session_id=target.session_id,
        owner=caller.user_id,
        user_id=caller.user_id or target.user_id or source.user_id,
        summary=None if source.summary is None else renamed(source.summary, ids),
        next_seq=next_seq,
        created_at=now,
        updated_at=now,
        forked_from=source.session_id,
    )
