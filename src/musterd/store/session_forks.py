"""Forking a session: a new one that begins with copies of the runs that have ended in an old one.

A copy has ids of its own, and all that its original has: members, conversation, events, ledger, media. Nothing is done
for it: its steps have their results. The old session stays as it is; a run that has not ended stays there.

It is made in small transactions, one after the other, so that nobody who writes waits for a long session. Until it is
whole it is a session that is deleted ahead of time, so nobody sees it; where nobody finishes it in time, it goes as
deleted sessions do.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import BadRequest, Conflict, NotFound
from musterd.core.jsontypes import JsonObject
from musterd.core.records import ComponentKind, SessionRow
from musterd.store import sessions
from musterd.store.database import Row, Statement, Tx
from musterd.store.rows import ADD_RUN, qualified, run_params, run_row
from musterd.store.session_copies import (
    Ids,
    events_copy,
    io_copy,
    message_copy,
    renamed,
    run_copy,
    step_copy,
    use_copy,
)

ENDED = Statement(
    "fork_ended",
    """SELECT r.run_id, r.root_id, r.next_event FROM runs root JOIN runs r ON r.root_id = root.run_id
       WHERE root.session_id = :session_id AND root.parent_id IS NULL
       AND root.state IN ('completed', 'error', 'cancelled') ORDER BY root.seq""",
)
HOLD_SOURCE = Statement(
    "fork_hold_source", "SELECT 1 AS found FROM sessions WHERE session_id = :source AND deleted_at IS NULL LOCK_ROW"
)
GO_ON = Statement(
    "fork_go_on",
    "UPDATE sessions SET deleted_at = :until WHERE session_id = :session_id AND deleted_at > :now",
)
FINISH = Statement(
    "fork_finish",
    "UPDATE sessions SET deleted_at = NULL WHERE session_id = :session_id AND deleted_at > :now",
)
GIVE_UP = Statement(
    "fork_give_up", "UPDATE sessions SET deleted_at = :now WHERE session_id = :session_id AND deleted_at > :now"
)
RUNS = Statement(
    "fork_runs", f"SELECT {qualified('r')} FROM runs r WHERE IN_LIST(r.root_id, :names) ORDER BY r.created_at"
)
IO = Statement(
    "fork_io",
    """SELECT run_id, input, output, messages FROM run_io
       WHERE run_id IN (SELECT run_id FROM runs WHERE IN_LIST(root_id, :names))""",
)
ADD_IO = Statement(
    "fork_io_add",
    "INSERT INTO run_io (run_id, input, output, messages) VALUES (:run_id, :input, :output, :messages)",
)
EVENTS = Statement(
    "fork_events", "SELECT root_id, first_index, count, payload FROM run_events WHERE IN_LIST(root_id, :names)"
)
ADD_EVENTS = Statement(
    "fork_events_add",
    """INSERT INTO run_events (root_id, first_index, count, payload)
       VALUES (:root_id, :first_index, :count, :payload)""",
)
_STEP = "root_id, path, kind, state, fingerprint, attempt, started_at, ended_at, result, usage, cost, codec"
STEPS = Statement("fork_steps", f"SELECT {_STEP} FROM journal WHERE IN_LIST(root_id, :names)")
ADD_STEP = Statement(
    "fork_step_add", f"INSERT INTO journal ({_STEP}) VALUES ({', '.join(':' + name for name in _STEP.split(', '))})"
)
USES = Statement("fork_blob_uses", "SELECT root_id, hash, until_end FROM blob_uses WHERE IN_LIST(root_id, :names)")
ADD_USE = Statement(
    "fork_blob_use_add", "INSERT INTO blob_uses (root_id, hash, until_end) VALUES (:root_id, :hash, :until_end)"
)
_WORDS = "id, root_id, run_id, text, sent_by, created_at, taken_at, taken_path, next_run_id"
MESSAGES = Statement("fork_messages", f"SELECT {_WORDS} FROM run_messages WHERE IN_LIST(root_id, :names)")
ADD_MESSAGE = Statement(
    "fork_message_add",
    f"INSERT INTO run_messages ({_WORDS}) VALUES ({', '.join(':' + name for name in _WORDS.split(', '))})",
)
PIECE_EVENTS = 1000
"""Trees whose events are more are read on their own, those with fewer together."""
EVENTS_OF_A_RUN = 20
"""What a run weighs beside its events."""
BATCH_ROWS, BATCH_CHARACTERS = 500, 512 * 1024
"""What one transaction adds at most, but for a row that is longer."""
FINISH_SECONDS = 600.0
"""How long a fork may stand still before it is given up."""

Added = tuple[Statement, JsonObject]
"""A row to add, and how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkedSession:
    """A session that is to begin with what has ended in another one.

    :param user_id: what the user is called; None: as there.
    """

    session_id: str
    component_kind: ComponentKind
    component_id: str
    user_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """A fork that is being made.

    :param session: the new session, as it is to be.
    :param ids: the copies' ids by their originals'.
    :param weights: the root runs that are copied, in order, and about how much there is of each.
    :param keeps_webhook: whether what goes on from a copy tells whom the original told.
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
        """The root runs, as many at a time as are read at once."""
        piece, weight = list[str](), 0
        for root_id, more in self.weights.items():
            if piece and weight + more > PIECE_EVENTS:
                yield piece
                piece, weight = [], 0
            piece.append(root_id)
            weight += more
        yield piece


async def look(tx: Tx, source_id: str, wanted: ForkedSession, caller: Caller) -> Fork:
    """What a fork of a session is to hold: its state and what has ended in it, at one moment.

    :raises NotFound: there is none of this component that the caller may see.
    :raises BadRequest: no run of it has ended.
    """
    source = await sessions.get(tx, source_id, caller)
    own = (wanted.component_kind, wanted.component_id)
    if source is None or (source.component_kind, source.component_id) != own:
        raise _gone(source_id)
    ids, weights = dict[str, str](), dict[str, int]()
    for row in await tx.all(ENDED, {"session_id": source_id}):
        ids[row["run_id"]] = clock.new_id()
        weights[row["root_id"]] = weights.get(row["root_id"], 0) + int(row["next_event"]) + EVENTS_OF_A_RUN
    if not weights:
        raise BadRequest(f"No run of session {source_id} has ended: there is nothing to fork.")
    session = _session(source, wanted, caller, ids, next_seq=len(weights))
    keeps_webhook = session.owner == source.owner
    return Fork(source_id=source_id, session=session, ids=ids, weights=weights, keeps_webhook=keeps_webhook)


async def begin(tx: Tx, fork: Fork) -> None:
    """Begin the new session, which nobody sees.

    :raises NotFound: the old one was deleted.
    """
    await _hold_source(tx, fork)
    await sessions.add(tx, replace(fork.session, deleted_at=clock.now() + FINISH_SECONDS))


async def originals(tx: Tx, roots: Sequence[str]) -> list[tuple[Statement, Sequence[Row]]]:
    """The payload of some trees, and how a copy of each row is added."""
    names = {"names": json.dumps(roots)}
    read = ((ADD_IO, IO), (ADD_EVENTS, EVENTS), (ADD_STEP, STEPS), (ADD_MESSAGE, MESSAGES))
    return [(add, await tx.all(statement, names)) for add, statement in read]


def copies(fork: Fork, found: Iterable[tuple[Statement, Sequence[Row]]]) -> list[Added]:
    """The same, as they stand in the fork."""
    ids, keeps = fork.ids, fork.keeps_webhook
    made = {
        ADD_IO: lambda row: io_copy(row, ids, keeps_webhook=keeps),
        ADD_EVENTS: lambda row: events_copy(row, ids),
        ADD_STEP: lambda row: step_copy(row, ids),
        ADD_MESSAGE: lambda row: message_copy(row, ids),
    }
    return [(add, made[add](row)) for add, rows in found for row in rows]


def batches(added: Iterable[Added]) -> Iterator[list[Added]]:
    """Rows to add, as many at a time as one transaction takes."""
    batch, characters = list[Added](), 0
    for one in added:
        more = sum(len(value) for value in one[1].values() if isinstance(value, str))
        if batch and (len(batch) >= BATCH_ROWS or characters + more > BATCH_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(one)
        characters += more
    if batch:
        yield batch


async def add_runs(tx: Tx, fork: Fork, roots: Sequence[str]) -> None:
    """Add the rows of some trees, and their uses of blobs: from then on these stay.

    :raises NotFound: the old session was deleted.
    :raises Conflict: one of the trees is gone, or the fork was given up.
    """
    await _go_on(tx, fork)
    names = {"names": json.dumps(roots)}
    seqs = {root_id: seq for seq, root_id in enumerate(fork.weights)}
    found = [run_row(row) for row in await tx.all(RUNS, names)]
    if {run.run_id for run in found if run.parent_id is None} != set(roots):
        raise Conflict(f"Runs of session {fork.source_id} went while it was forked; fork it again.")
    runs = [run_copy(run, fork.session, fork.ids, seqs.get(run.run_id)) for run in found]
    await tx.many(ADD_RUN, [run_params(run) for run in runs])
    if uses := [use_copy(row, fork.ids) for row in await tx.all(USES, names)]:
        await tx.many(ADD_USE, uses)


async def add(tx: Tx, fork: Fork, batch: Iterable[Added]) -> None:
    """Add rows of trees that are there.

    :raises NotFound: the old session was deleted.
    :raises Conflict: the fork was given up.
    """
    await _go_on(tx, fork)
    rows: dict[Statement, list[JsonObject]] = {}
    for statement, row in batch:
        rows.setdefault(statement, []).append(row)
    for statement, some in rows.items():
        await tx.many(statement, some)


async def finish(tx: Tx, fork: Fork) -> None:
    """Let the new session be seen: it is whole.

    :raises NotFound: the old session was deleted.
    :raises Conflict: the fork was given up.
    """
    await _hold_source(tx, fork)
    if not await tx.run(FINISH, {"session_id": fork.session.session_id, "now": clock.now()}):
        raise _given_up()


async def give_up(tx: Tx, fork: Fork) -> None:
    """Let what there is of the fork go."""
    await tx.run(GIVE_UP, {"session_id": fork.session.session_id, "now": clock.now()})


async def _go_on(tx: Tx, fork: Fork) -> None:
    await _hold_source(tx, fork)
    now = clock.now()
    if not await tx.run(GO_ON, {"session_id": fork.session.session_id, "now": now, "until": now + FINISH_SECONDS}):
        raise _given_up()


async def _hold_source(tx: Tx, fork: Fork) -> None:
    """Hold the old session: nothing of it goes meanwhile."""
    if await tx.one(HOLD_SOURCE, {"source": fork.source_id}) is None:
        raise _gone(fork.source_id)


def _gone(source_id: str) -> NotFound:
    return NotFound(f"Session with ID {source_id} not found")


def _given_up() -> Conflict:
    return Conflict("The fork took too long and was given up; fork the session again.")


def _session(source: SessionRow, wanted: ForkedSession, caller: Caller, ids: Ids, *, next_seq: int) -> SessionRow:
    now = clock.now()
    return replace(
        source,
        session_id=wanted.session_id,
        owner=caller.user_id,
        user_id=caller.user_id or wanted.user_id or source.user_id,
        summary=None if source.summary is None else renamed(source.summary, ids),
        next_seq=next_seq,
        created_at=now,
        updated_at=now,
        forked_from=source.session_id,
    )
