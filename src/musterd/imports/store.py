"""Stores imported sessions, memories and approvals. A row is stored once, even if it is imported several times.

A session is stored in parts, so that other writers do not wait for a long one. Until the last part is committed, its
``deleted_at`` is in the future, which hides it, as for a fork (:mod:`musterd.store.session_forks`). A later import
continues with it. If there is none, the session is removed at that time like a deleted one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from musterd.core import jsontext
from musterd.core.callers import Caller
from musterd.core.jsontypes import JsonObject
from musterd.core.records import RunRow, SessionRow
from musterd.core.states import RunState
from musterd.features.memories import store as memories
from musterd.features.memories.records import Memory
from musterd.features.usage import store as usage
from musterd.imports.approvals import ImportedApproval
from musterd.imports.events import events_of
from musterd.imports.runs import ImportedRun
from musterd.imports.trees import SkippedRun
from musterd.store import blobs, idempotency, session_forks, sessions, transitions
from musterd.store.database import Statement, Tx
from musterd.store.rows import GET_RUN_BY_ID, run_params, run_row, session_row
from musterd.store.shards import SessionTx

KNOWN_RUNS = Statement("import_known_runs", "SELECT run_id, session_id FROM runs WHERE IN_LIST(run_id, :run_ids)")
ROOTS = Statement(
    "import_roots",
    "SELECT run_id, seq FROM runs WHERE session_id = :session_id AND shard = :shard AND parent_id IS NULL",
)
GROW = Statement(
    "import_grow",
    """UPDATE sessions SET next_seq = :next_seq, state = :state, summary = :summary, updated_at = :updated_at,
           first_message = CASE first_message WHEN '' THEN :first_message ELSE first_message END
       WHERE session_id = :session_id AND shard = :shard""",
)
STORED_RUNS = Statement(
    "import_stored_runs",
    """SELECT count(*) AS n FROM runs r JOIN run_io io ON io.run_id = r.run_id AND io.shard = r.shard
       JOIN sessions s ON s.session_id = r.session_id AND s.shard = r.shard AND s.deleted_at IS NULL
       WHERE IN_LIST(r.run_id, :run_ids)""",
)
ADD_APPROVAL = Statement(
    "import_approval",
    """INSERT INTO approvals (id, shard, root_id, run_id, path, kind, state, status, approval_type, request,
                              decision, decided_by, resolution_data, created_at, decided_at)
       VALUES (:id, :shard, :root_id, :run_id, :path, :kind, 'closed', :status, :approval_type, :request,
               :decision, :decided_by, :resolution_data, :created_at, :decided_at)
       ON CONFLICT (id, shard) DO NOTHING""",
)
# The first attempt of a run leaves its worker in the run, or its end in run_attempts. An imported run has neither.
IS_IMPORTED = Statement(
    "import_is_imported",
    """SELECT r.run_id FROM runs r WHERE r.run_id = :root_id AND r.shard = :shard AND r.attempt = 1 AND r.worker IS NULL
       AND NOT EXISTS (SELECT 1 FROM run_attempts a WHERE a.root_id = r.run_id AND a.shard = r.shard)""",
)
HAS_APPROVAL = Statement("import_has_approval", "SELECT id FROM approvals WHERE id = :id")
HIDDEN_DAYS = 7
HIDDEN_SECONDS = HIDDEN_DAYS * 86_400.0
"""How long a partly imported session is kept for a later import to continue."""
PART_TREES, PART_CHARACTERS = 200, 512 * 1024
"""The maximum that one transaction adds; a larger tree gets a transaction of its own."""

Tree = list[ImportedRun]
"""A root run, and the runs that it started."""
_OPERATOR = Caller()


class NotStored(Exception):
    """The session or the approval cannot be stored. The message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Trees of a session that one transaction adds.

    :param root_ids: the roots of all trees of the session.
    """

    session: SessionRow
    trees: list[Tree]
    root_ids: frozenset[str]
    is_first: bool
    is_last: bool


@dataclass(slots=True, kw_only=True)
class Stored:
    """The result of storing trees of a session.

    :param added: trees that were stored.
    :param present: trees that had been stored before.
    :param skipped: runs whose trees cannot be stored.
    :param is_new: whether the session did not exist before.
    """

    added: list[Tree] = field(default_factory=list)
    present: list[Tree] = field(default_factory=list)
    skipped: list[SkippedRun] = field(default_factory=list)
    is_new: bool = False

    def add(self, other: "Stored") -> None:
        """Add the result of another part."""
        self.added += other.added
        self.present += other.present
        self.skipped += other.skipped
        self.is_new |= other.is_new


def parts(session: SessionRow, trees: Sequence[Tree]) -> Iterator[Part]:
    """Split a session into parts. A session without trees is one part."""
    groups: list[list[Tree]] = [[]]
    characters = 0
    for tree in trees:
        size = sum(len(text) for run in tree for text in run.messages)
        if groups[-1] and (len(groups[-1]) >= PART_TREES or characters + size > PART_CHARACTERS):
            groups.append([])
            characters = 0
        groups[-1].append(tree)
        characters += size
    root_ids = frozenset(tree[0].row.run_id for tree in trees)
    for number, group in enumerate(groups):
        yield Part(
            session=session,
            trees=group,
            root_ids=root_ids,
            is_first=number == 0,
            is_last=number == len(groups) - 1,
        )


async def store_part(tx: Tx, part: Part, now: float) -> Stored:
    """Store one part of a session.

    :raises NotStored: the session must not be changed, or was deleted during the import.
    """
    tx = SessionTx(tx, part.session.session_id)
    # Locked until the commit: another import of the same session waits here, and then sees these runs.
    current = await sessions.lock(tx, part.session.session_id)
    if current is not None and current.deleted_at is None:
        return await _extend_visible(tx, part, current)
    next_seq = 0
    if current is None:
        if not part.is_first:
            raise NotStored("the session was deleted during the import")
        await sessions.add(tx, replace(part.session, deleted_at=now + HIDDEN_SECONDS))
    else:
        next_seq = await _require_continuable(tx, part, current, now)
        await tx.run(session_forks.EXTEND, {**_key(part.session), "now": now, "until": now + HIDDEN_SECONDS})
    stored = await _classify(tx, part)
    await _append(tx, stored.added, next_seq, now)
    if part.is_last:
        # AgentOS may have changed the session since the first part was stored.
        await _grow(tx, part, next_seq + len(stored.added), part.session.updated_at)
        # In the transaction that stores the last runs, so that a visible session is complete.
        await tx.run(session_forks.FINISH, {**_key(part.session), "now": now})
    stored.is_new = part.is_first
    return stored


async def preview(tx: Tx, part: Part, now: float) -> Stored:
    """What :func:`store_part` would do; nothing is changed.

    :raises NotStored: the session must not be changed.
    """
    tx = SessionTx(tx, part.session.session_id)
    row = await tx.one(sessions.GET, _key(part.session))
    current = None if row is None else session_row(row)
    if current is not None and current.deleted_at is not None:
        await _require_continuable(tx, part, current, now)
    stored = await _classify(tx, part)
    stored.is_new = part.is_first and (current is None or current.deleted_at is not None)
    if current is not None and current.deleted_at is None and stored.added:
        await _require_extensible(tx, part, current)
    return stored


async def _extend_visible(tx: SessionTx, part: Part, current: SessionRow) -> Stored:
    """Add the missing trees to a session that is already visible.

    :raises NotStored: the session must not be changed.
    """
    stored = await _classify(tx, part)
    if not stored.added:
        return stored
    await _require_extensible(tx, part, current)
    await _append(tx, stored.added, current.next_seq, part.session.updated_at)
    next_seq = current.next_seq + len(stored.added)
    await _grow(tx, part, next_seq, max(current.updated_at, part.session.updated_at))
    return stored


async def _append(tx: SessionTx, trees: Sequence[Tree], next_seq: int, now: float) -> None:
    """Add trees after those of the session, whatever their place in AgentOS is, so that each has another ``seq``."""
    for seq, tree in enumerate(trees, next_seq):
        tree[0].row.seq = seq
    await _add(tx, trees, now)
    await usage.add_late(tx, [tree[0].row.run_id for tree in trees], now)


async def _grow(tx: SessionTx, part: Part, next_seq: int, updated_at: float) -> None:
    grown = {
        "next_seq": next_seq,
        "state": jsontext.dumps(part.session.state),
        "summary": None if part.session.summary is None else jsontext.dumps(part.session.summary),
        "updated_at": updated_at,
        "first_message": part.session.first_message,
    }
    await tx.run(GROW, {**_key(part.session), **grown})


async def _require_continuable(tx: SessionTx, part: Part, current: SessionRow, now: float) -> int:
    """Check that a hidden session is an earlier part of the same import. Otherwise users would see runs of others.

    :return: the ``seq`` of the next run.
    :raises NotStored: it is being deleted, is a fork, belongs to another user, or has other runs.
    """
    if current.deleted_at is None or current.deleted_at <= now:
        raise NotStored("the session is being deleted — import again after a server on this database has removed it")
    if current.forked_from is not None:
        raise NotStored("a fork with this session id is being made in musterd")
    if (current.owner, current.user_id) != (part.session.owner, part.session.user_id):
        raise NotStored(
            "an interrupted import stored a part of the session for another owner — import with the same --owned or "
            f"--no-owned as before, or {HIDDEN_DAYS} days later"
        )
    roots = await tx.all(ROOTS, _key(part.session))
    if {row["run_id"] for row in roots} - part.root_ids:
        raise NotStored(
            "an interrupted import stored runs of the session that this AgentOS database does not have — import again "
            f"{HIDDEN_DAYS} days later"
        )
    return 1 + max((int(row["seq"]) for row in roots), default=-1)


async def _require_extensible(tx: SessionTx, part: Part, current: SessionRow) -> None:
    """Check that all runs of a session come from AgentOS. Otherwise the added runs would be in the wrong order.

    :raises NotStored: the session has other runs, or belongs to another user.
    """
    if {row["run_id"] for row in await tx.all(ROOTS, _key(part.session))} - part.root_ids:
        raise NotStored("the session has runs that were started in musterd, so no runs can be imported into it")
    if current.owner != part.session.owner:
        raise NotStored("the session belongs to another user in musterd")


def _key(session: SessionRow) -> JsonObject:
    return {"session_id": session.session_id}


async def _classify(tx: Tx, part: Part) -> Stored:
    """Sort the trees into those already stored, those to add, and those whose run ids belong to another session."""
    run_ids = [run.row.run_id for tree in part.trees for run in tree]
    rows = await tx.all(KNOWN_RUNS, {"run_ids": jsontext.dumps(run_ids)}) if run_ids else ()
    session_of = {row["run_id"]: row["session_id"] for row in rows}
    stored = Stored()
    for tree in part.trees:
        root_id = tree[0].row.run_id
        if session_of.get(root_id) == part.session.session_id:
            stored.present.append(tree)
        elif conflicting_ids := [run.row.run_id for run in tree if run.row.run_id in session_of]:
            reason = f"session {session_of[conflicting_ids[0]]} already has a run {conflicting_ids[0]}"
            stored.skipped.append(SkippedRun(root_id, reason))
        else:
            stored.added.append(tree)
    return stored


async def _add(tx: SessionTx, trees: Sequence[Tree], now: float) -> None:
    params_by_state: dict[RunState, list[JsonObject]] = {}
    payloads = list[JsonObject]()
    for tree in trees:
        tree[0].row.next_event = 2 * len(tree)  # each run of the tree has a start event and an end event
    runs = [run for tree in trees for run in tree]
    for run in runs:
        params_by_state.setdefault(run.row.state, []).append(run_params(run.row))
        payloads.append(_payload(run))
    for state, params in params_by_state.items():
        await tx.many(transitions.COPY[state], params)
    if trees:
        # A client may choose one of the ids for a run of another session while this transaction goes on.
        await idempotency.take_run_ids(tx, [run.row.run_id for run in runs], now)
        await tx.many(session_forks.ADD_IO, payloads)
        await tx.many(session_forks.ADD_EVENTS, [_flush(tree) for tree in trees])
    for tree in trees:
        if contents := {name: content for run in tree for name, content in run.contents.items()}:
            await blobs.put(tx, tree[0].row.run_id, contents.values(), now)


def _payload(run: ImportedRun) -> JsonObject:
    return {
        "run_id": run.row.run_id,
        "input": jsontext.dumps(run.input.as_json()),
        "output": jsontext.dumps(run.output.as_json()),
        "messages": "[" + ",".join(run.messages) + "]" if run.messages else None,
    }


def _flush(tree: Tree) -> JsonObject:
    events = events_of(tree)
    return {
        "root_id": tree[0].row.run_id,
        "first_index": 0,
        "count": len(events),
        "payload": jsontext.dumps(events),
    }


async def count_runs(tx: Tx, run_ids: Sequence[str]) -> int:
    """How many of these runs are stored in visible sessions."""
    row = await tx.one(STORED_RUNS, {"run_ids": jsontext.dumps(list(run_ids))})
    return 0 if row is None else int(row["n"])


async def store_memory(tx: Tx, memory: Memory) -> bool:
    """Store a memory; False if it is already stored, or if its user has one with the same text."""
    await memories.lock_user(tx, memory.user_id)
    return await memories.add(tx, memory)


async def has_memory(tx: Tx, memory: Memory) -> bool:
    """Whether a memory is already stored, or its user has one with the same text."""
    if await memories.get(tx, memory.memory_id, _OPERATOR) is not None:
        return True
    return bool(await memories.with_keys(tx, memory.user_id, memory.owner, [memory.key]))


async def store_approval(tx: Tx, approval: ImportedApproval) -> bool:
    """Store an approval; False if it is already stored.

    :raises NotStored: its run is not stored, or was started in musterd.
    """
    if await _is_stored(tx, approval):
        return False
    row = await tx.one(GET_RUN_BY_ID, {"run_id": approval.run_id})
    if row is None:
        raise NotStored(f"its run {approval.run_id} is not in the database")
    run = run_row(row)
    await _require_imported(tx, run)
    return await SessionTx(tx, run.session_id).run(ADD_APPROVAL, approval.params(run)) > 0


async def has_approval(tx: Tx, approval: ImportedApproval) -> bool:
    """Whether an approval is already stored.

    :raises NotStored: its run was started in musterd.
    """
    if await _is_stored(tx, approval):
        return True
    # A dry run stores no runs, so a missing one is not reported.
    if (row := await tx.one(GET_RUN_BY_ID, {"run_id": approval.run_id})) is not None:
        await _require_imported(tx, run_row(row))
    return False


async def _is_stored(tx: Tx, approval: ImportedApproval) -> bool:
    return await tx.one(HAS_APPROVAL, {"id": approval.requirement.id}) is not None


async def _require_imported(tx: Tx, run: RunRow) -> None:
    if await SessionTx(tx, run.session_id).one(IS_IMPORTED, {"root_id": run.root_id}) is None:
        raise NotStored(f"its run {run.run_id} was started in musterd")
