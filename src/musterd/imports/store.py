"""Storing what is imported: each session hidden until it is complete, and every row once however often it is imported.

A session is stored in parts, so that no other writer waits for a long one. Until the last part is committed, its
``deleted_at`` lies in the future, as that of a fork (:mod:`musterd.store.session_forks`): no one sees half a session.
A later import goes on with it. If there is none, the session is removed like a deleted one once that time has come.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from musterd.core import jsontext
from musterd.core.callers import Caller
from musterd.core.jsontypes import JsonObject
from musterd.core.records import SessionRow
from musterd.core.states import RunState
from musterd.features.memories import store as memories
from musterd.features.memories.records import Memory
from musterd.imports.approvals import ImportedApproval
from musterd.imports.events import events_of
from musterd.imports.runs import ImportedRun
from musterd.imports.trees import LeftOut
from musterd.store import blobs, session_forks, sessions, transitions
from musterd.store.database import Statement, Tx
from musterd.store.rows import GET_RUN, run_params, run_row

KNOWN_RUNS = Statement("import_known_runs", "SELECT run_id, session_id FROM runs WHERE IN_LIST(run_id, :run_ids)")
ROOTS = Statement("import_roots", "SELECT run_id FROM runs WHERE session_id = :session_id AND parent_id IS NULL")
GROW = Statement(
    "import_grow",
    """UPDATE sessions SET next_seq = :next_seq, state = :state, summary = :summary, updated_at = :updated_at,
           first_message = CASE first_message WHEN '' THEN :first_message ELSE first_message END
       WHERE session_id = :session_id""",
)
STORED_RUNS = Statement(
    "import_stored_runs",
    """SELECT count(*) AS n FROM runs r JOIN run_io io ON io.run_id = r.run_id
       JOIN sessions s ON s.session_id = r.session_id AND s.deleted_at IS NULL WHERE IN_LIST(r.run_id, :run_ids)""",
)
ADD_APPROVAL = Statement(
    "import_approval",
    """INSERT INTO approvals (id, root_id, run_id, path, kind, state, status, approval_type, request, decision,
                              decided_by, resolution_data, created_at, decided_at)
       VALUES (:id, :root_id, :run_id, :path, :kind, 'closed', :status, :approval_type, :request, :decision,
               :decided_by, :resolution_data, :created_at, :decided_at)
       ON CONFLICT (id) DO NOTHING""",
)
HAS_APPROVAL = Statement("import_has_approval", "SELECT id FROM approvals WHERE id = :id")
HIDDEN_SECONDS = 7 * 86_400.0
"""How long a session that is half imported waits for the import to go on."""
PART_TREES, PART_CHARACTERS = 200, 512 * 1024
"""How much one transaction adds at most; a larger tree is added on its own."""

Tree = list[ImportedRun]
"""A root run, and the runs that it started."""
_OPERATOR = Caller()


class NotStored(Exception):
    """The session or the approval cannot be stored. The message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Trees of a session that one transaction adds.

    :param first_seq: the place of the first tree in the session.
    :param root_ids: the roots of all trees of the session.
    """

    session: SessionRow
    trees: list[Tree]
    first_seq: int
    root_ids: frozenset[str]
    is_first: bool
    is_last: bool


@dataclass(slots=True, kw_only=True)
class Stored:
    """What became of the trees of a session.

    :param taken: trees that were added.
    :param present: trees that were there already.
    :param is_new: whether the session was not there.
    """

    taken: list[Tree] = field(default_factory=list)
    present: list[Tree] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    is_new: bool = False

    def add(self, other: "Stored") -> None:
        """Add what became of another part."""
        self.taken += other.taken
        self.present += other.present
        self.left_out += other.left_out
        self.is_new |= other.is_new


def parts(session: SessionRow, trees: Sequence[Tree]) -> Iterator[Part]:
    """A session in parts; one without trees is one part."""
    groups: list[list[Tree]] = [[]]
    characters = 0
    for tree in trees:
        size = sum(len(text) for run in tree for text in run.messages)
        if groups[-1] and (len(groups[-1]) >= PART_TREES or characters + size > PART_CHARACTERS):
            groups.append([])
            characters = 0
        groups[-1].append(tree)
        characters += size
    root_ids, seq = frozenset(tree[0].row.run_id for tree in trees), 0
    for number, group in enumerate(groups):
        yield Part(
            session=session,
            trees=group,
            first_seq=seq,
            root_ids=root_ids,
            is_first=number == 0,
            is_last=number == len(groups) - 1,
        )
        seq += len(group)


async def store_part(tx: Tx, part: Part, now: float) -> Stored:
    """Store one part of a session.

    :raises NotStored: the session must not be changed, or was deleted meanwhile.
    """
    # Locked until the commit: another import of the same session waits here, and then finds these runs.
    current = await sessions.lock(tx, part.session.session_id)
    if current is not None and current.deleted_at is None:
        return await _extend_visible(tx, part, current)
    if current is None:
        if not part.is_first:
            raise NotStored("it was deleted here during the import")
        await sessions.add(tx, replace(part.session, deleted_at=now + HIDDEN_SECONDS))
    elif not await tx.run(session_forks.EXTEND, {**_key(part.session), "now": now, "until": now + HIDDEN_SECONDS}):
        raise NotStored("it is being deleted here — import again once a server on this database has removed it")
    stored = await _sort(tx, part)
    places = {tree[0].row.run_id: place for place, tree in enumerate(part.trees, part.first_seq)}
    for tree in stored.taken:
        tree[0].row.seq = places[tree[0].row.run_id]
    await _add(tx, stored.taken, now)
    if part.is_last:
        # Only now, in the transaction of the last runs: a session that can be seen is complete.
        await tx.run(session_forks.FINISH, {**_key(part.session), "now": now})
    stored.is_new = part.is_first
    return stored


async def preview(tx: Tx, part: Part) -> Stored:
    """What :func:`store_part` would do; nothing is changed.

    :raises NotStored: the session must not be changed.
    """
    current = await sessions.get(tx, part.session.session_id, _OPERATOR)
    stored = await _sort(tx, part)
    stored.is_new = current is None and part.is_first
    if current is not None and stored.taken:
        await _require_extensible(tx, part, current)
    return stored


async def _extend_visible(tx: Tx, part: Part, current: SessionRow) -> Stored:
    """Add the trees that a session lacks which is here already.

    :raises NotStored: it must not be changed.
    """
    stored = await _sort(tx, part)
    if not stored.taken:
        return stored
    await _require_extensible(tx, part, current)
    for seq, tree in enumerate(stored.taken, current.next_seq):
        tree[0].row.seq = seq
    await _add(tx, stored.taken, part.session.updated_at)
    grown = {
        "next_seq": current.next_seq + len(stored.taken),
        "state": jsontext.dumps(part.session.state),
        "summary": None if part.session.summary is None else jsontext.dumps(part.session.summary),
        "updated_at": max(current.updated_at, part.session.updated_at),
        "first_message": part.session.first_message,
    }
    await tx.run(GROW, {**_key(part.session), **grown})
    return stored


async def _require_extensible(tx: Tx, part: Part, current: SessionRow) -> None:
    """Check that all runs of a session come from AgentOS. Runs added after others would be in the wrong order.

    :raises NotStored: they do not, or the session belongs to another user.
    """
    if {row["run_id"] for row in await tx.all(ROOTS, _key(part.session))} - part.root_ids:
        raise NotStored("it has runs that began here, after which runs of AgentOS cannot be added")
    if current.owner != part.session.owner:
        raise NotStored("it belongs to another user here")


def _key(session: SessionRow) -> JsonObject:
    return {"session_id": session.session_id}


async def _sort(tx: Tx, part: Part) -> Stored:
    """Which trees are here already, which can be added, and which cannot because their ids are taken."""
    run_ids = [run.row.run_id for tree in part.trees for run in tree]
    rows = await tx.all(KNOWN_RUNS, {"run_ids": jsontext.dumps(run_ids)}) if run_ids else ()
    session_of = {row["run_id"]: row["session_id"] for row in rows}
    stored = Stored()
    for tree in part.trees:
        root_id = tree[0].row.run_id
        if session_of.get(root_id) == part.session.session_id:
            stored.present.append(tree)
        elif taken_ids := [run.row.run_id for run in tree if run.row.run_id in session_of]:
            reason = f"there is a run {taken_ids[0]} in the session {session_of[taken_ids[0]]}"
            stored.left_out.append(LeftOut(root_id, reason))
        else:
            stored.taken.append(tree)
    return stored


async def _add(tx: Tx, trees: Sequence[Tree], now: float) -> None:
    params_by_state: dict[RunState, list[JsonObject]] = {}
    payloads = list[JsonObject]()
    for tree in trees:
        tree[0].row.next_event = 2 * len(tree)  # each run of the tree has started and has ended
    for run in (run for tree in trees for run in tree):
        params_by_state.setdefault(run.row.state, []).append(run_params(run.row))
        payloads.append(_payload(run))
    for state, params in params_by_state.items():
        await tx.many(transitions.COPY[state], params)
    if payloads:
        await tx.many(session_forks.ADD_IO, payloads)
    if trees:
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
    """How many of these runs are stored in sessions that can be seen."""
    row = await tx.one(STORED_RUNS, {"run_ids": jsontext.dumps(list(run_ids))})
    return 0 if row is None else int(row["n"])


async def store_memory(tx: Tx, memory: Memory) -> bool:
    """Store a memory; False: it is here already, or its user has one with the same text."""
    await memories.lock_user(tx, memory.user_id)
    return await memories.add(tx, memory)


async def has_memory(tx: Tx, memory: Memory) -> bool:
    """Whether a memory is here, or its user has one with the same text."""
    if await memories.get(tx, memory.memory_id, _OPERATOR) is not None:
        return True
    return bool(await memories.with_keys(tx, memory.user_id, memory.owner, [memory.key]))


async def store_approval(tx: Tx, approval: ImportedApproval) -> bool:
    """Store an approval; False: it is here already.

    :raises NotStored: its run is not here.
    """
    row = await tx.one(GET_RUN, {"run_id": approval.run_id})
    if row is None:
        raise NotStored(f"its run {approval.run_id} is not here")
    return await tx.run(ADD_APPROVAL, approval.params(run_row(row))) > 0


async def has_approval(tx: Tx, approval: ImportedApproval) -> bool:
    """Whether an approval is here."""
    return await tx.one(HAS_APPROVAL, {"id": approval.requirement.id}) is not None
