"""Forking a session: a new one that begins with copies of the runs that have ended in an old one.

A copy has ids of its own, and all that its original has: members, conversation, events, ledger, media. Nothing is done
for it: its steps have their results. The old session stays as it is; a run that has not ended stays there.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from musterd.core import clock, jsontext
from musterd.core.callers import Caller
from musterd.core.errors import BadRequest, NotFound
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import ComponentKind, RunRow, SessionRow, StepKind
from musterd.store import sessions
from musterd.store.database import Row, Statement, Tx
from musterd.store.rows import RUN_COLUMNS, RUN_FIELDS, qualified, run_params, run_row

ENDED = Statement(
    "fork_ended",
    f"""SELECT {qualified("r")} FROM runs root JOIN runs r ON r.root_id = root.run_id
        WHERE root.session_id = :session_id AND root.parent_id IS NULL
        AND root.state IN ('completed', 'error', 'cancelled') ORDER BY root.seq, r.created_at""",
)
ADD_RUN = Statement(
    "fork_run_add", f"INSERT INTO runs ({RUN_COLUMNS}) VALUES ({', '.join(':' + name for name in RUN_FIELDS)})"
)
IO = Statement("fork_io", "SELECT run_id, input, output, messages FROM run_io WHERE IN_LIST(run_id, :names)")
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
PIECE = 100
"""Trees whose payload is read at once."""

_REFERENCES = frozenset(
    {"run_id", "child_run_id", "next_run_id", "of", "voice", "members", "history_runs", "team", "run_ids"}
)
"""Keys under which our own records name runs: one, a list, or a table of them."""
_OTHERS = frozenset(
    {"args", "asked", "content", "fields", "input", "message", "result", "schema", "text"}
    | {"session_state", "state", "state_delta", "additional_data"}
)
"""Keys under which others' words stand: what looks like the id of a run there is none."""

Ids = Mapping[str, str]
"""The copies' ids by their originals'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkedSession:
    """A session that is to begin with what has ended in another one.

    :param user_id: what the user is called; None: as there.
    """

    session_id: str
    component_kind: ComponentKind
    component_id: str
    user_id: str | None = None


async def fork(tx: Tx, source_id: str, wanted: ForkedSession, caller: Caller) -> str:
    """Make a session of the caller's with copies of what has ended in ``source_id``.

    :return: the id of its first run.

    :raises NotFound: there is none of this component that the caller may see.
    :raises BadRequest: no run of it has ended.
    """
    source = await sessions.lock(tx, source_id)  # so that its runs and its state are of one moment, and it stays
    own = (wanted.component_kind, wanted.component_id)
    if source is None or source.deleted_at is not None or not caller.may_see(source.owner):
        raise NotFound(f"Session with ID {source_id} not found")
    if (source.component_kind, source.component_id) != own:
        raise NotFound(f"Session with ID {source_id} not found")
    originals = [run_row(row) for row in await tx.all(ENDED, {"session_id": source_id})]
    if not originals:
        raise BadRequest(f"No run of session {source_id} has ended: there is nothing to fork.")
    ids = {run.run_id: clock.new_id() for run in originals}
    roots = [run for run in originals if run.parent_id is None]
    seqs = {run.run_id: seq for seq, run in enumerate(roots)}
    session = _session(source, wanted, caller, ids, next_seq=len(roots))
    await sessions.add(tx, session)
    copies = [_copy(run, session, ids, seqs.get(run.run_id)) for run in originals]
    await tx.many(ADD_RUN, [run_params(run) for run in copies])
    for piece in _pieces(roots):
        trees = {run.run_id for run in piece}
        run_ids = [run.run_id for run in originals if run.root_id in trees]
        await _copy_io(tx, run_ids, ids, keeps_webhook=session.owner == source.owner)
        await _copy_trees(tx, sorted(trees), ids)
    return ids[roots[0].run_id]


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


def _copy(run: RunRow, session: SessionRow, ids: Ids, seq: int | None) -> RunRow:
    """A run as it stands in the new session. It is a trace of its own: nothing was done in that of the original."""
    return replace(
        run,
        run_id=ids[run.run_id],
        root_id=ids[run.root_id],
        parent_id=None if run.parent_id is None else ids.get(run.parent_id),
        session_id=session.session_id,
        owner=session.owner,
        user_id=session.user_id,
        lane=None if run.lane is None else session.session_id,
        seq=seq,
        salt=None if run.salt is None else clock.new_id(),
        forked_from=None if run.forked_from is None else ids.get(run.forked_from),
        copied_from=run.run_id,
        trace_id=None,  # what happened did so in the original's trace, and was told there
        traceparent=None,
        webhooks=None,
    )


def _pieces(roots: Sequence[RunRow]) -> Iterator[Sequence[RunRow]]:
    for start in range(0, len(roots), PIECE):
        yield roots[start : start + PIECE]


async def _copy_io(tx: Tx, run_ids: Sequence[str], ids: Ids, *, keeps_webhook: bool) -> None:
    rows = await tx.all(IO, {"names": json.dumps(run_ids)})
    copies = [
        {
            "run_id": ids[row["run_id"]],
            "input": _input(row["input"], ids, keeps_webhook=keeps_webhook),
            "output": _text(row["output"], ids, '_run_id":"', '"run_id":"'),
            "messages": row["messages"],
        }
        for row in rows
    ]
    await tx.many(ADD_IO, copies)


async def _copy_trees(tx: Tx, root_ids: Sequence[str], ids: Ids) -> None:
    names = {"names": json.dumps(root_ids)}
    events = [
        {**_values(row), "root_id": ids[row["root_id"]], "payload": _events(row["payload"], ids)}
        for row in await tx.all(EVENTS, names)
    ]
    steps = [
        {**_values(row), "root_id": ids[row["root_id"]], "result": _result(row, ids)}
        for row in await tx.all(STEPS, names)
    ]
    uses = [{**_values(row), "root_id": ids[row["root_id"]]} for row in await tx.all(USES, names)]
    words = [
        {**renamed(_values(row), ids), "root_id": ids[row["root_id"]], "id": clock.new_id()}
        for row in await tx.all(MESSAGES, names)
    ]
    for statement, copies in ((ADD_EVENTS, events), (ADD_STEP, steps), (ADD_USE, uses), (ADD_MESSAGE, words)):
        if copies:
            await tx.many(statement, copies)


def _values(row: Row) -> JsonObject:
    return {name: row[name] for name in row.keys()}  # noqa: SIM118 - iterating a row gives its values


def _events(payload: str, ids: Ids) -> str:
    return jsontext.dumps(
        [
            [kind, ids.get(run_id, run_id), at, renamed(data, ids), place]
            for kind, run_id, at, data, place in json.loads(payload)
        ]
    )


def _result(row: Row, ids: Ids) -> str | None:
    """What a step has stored, with the ids of the copies: a first step names earlier runs, a tool's may name a run."""
    result: str | None = row["result"]
    if row["kind"] == StepKind.PREPARE.value:
        return None if result is None else jsontext.dumps(renamed(json.loads(result), ids))
    return _text(result, ids, '"child_run_id":"')


def _input(text: str, ids: Ids, *, keeps_webhook: bool) -> str:
    """What a run was asked; where it went on from a failed one, that one's copy and members are named.

    :param keeps_webhook: whether what goes on from the copy tells whom the original told: another user's must not.
    """
    if '"fork":' not in text and '"webhook_url":' not in text:
        return text
    asked = json.loads(text)
    options = asked.get("options", {})
    if "fork" in options:
        options["fork"] = renamed(options["fork"], ids)
    if not keeps_webhook:
        options.pop("webhook_url", None)
    return jsontext.dumps(asked)


def _text(text: str | None, ids: Ids, *marks: str) -> str | None:
    """Stored JSON with the ids of the copies; read only where a mark says that it may name one."""
    if text is None or not any(mark in text for mark in marks):
        return text
    return jsontext.dumps(renamed(json.loads(text), ids))


def renamed(value: Json, ids: Ids) -> Json:
    """A record of ours with the ids of the copies in place of their originals'."""
    if isinstance(value, list):
        return [renamed(item, ids) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _renamed_at(name, item, ids) for name, item in value.items()}


def _renamed_at(name: str, item: Json, ids: Ids) -> Json:
    if name in _OTHERS:
        return item
    return _references(item, ids) if name in _REFERENCES else renamed(item, ids)


def _references(value: Json, ids: Ids) -> Json:
    if isinstance(value, str):
        return ids.get(value, value)
    if isinstance(value, list):
        return [_references(item, ids) for item in value]
    if isinstance(value, dict):
        return {name: _references(item, ids) for name, item in value.items()}
    return value
