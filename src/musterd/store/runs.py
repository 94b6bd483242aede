"""Adding runs, and reading them: views for clients, queue positions and history."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from musterd.core.callers import Caller
from musterd.core.long_json import LONG_BYTES
from musterd.core.queueing import OnBusy
from musterd.core.records import ComponentKind, RunRow, RunView
from musterd.core.states import PENDING, RunState
from musterd.store import transitions
from musterd.store.database import Row, Statement, Tx
from musterd.store.rows import RUN_COLUMNS, qualified, run_params, run_row, run_view
from musterd.store.shards import SessionTx


class RunTexts(StrEnum):
    """With which texts of a run its view is read: those of its output and its conversation."""

    ALL = "all"
    SHORT = "short"  # none if they are long, so that the event loop can wait for the read
    NONE = "none"


ADD_INPUT = Statement("run_io_add", "INSERT INTO run_io (run_id, shard, input) VALUES (:run_id, :shard, :input)")
_COLUMNS = f"""{qualified("r")}, io.input,
               root.component_kind AS root_kind, root.component_id AS root_component, root.owner AS root_owner"""
_FROM = """FROM runs r JOIN run_io io ON io.run_id = r.run_id AND io.shard = r.shard
                JOIN runs root ON root.run_id = r.root_id AND root.shard = r.shard
                JOIN sessions s ON s.session_id = r.session_id AND s.shard = r.shard AND s.deleted_at IS NULL
           WHERE """
_VIEW = f"SELECT {_COLUMNS}, io.output, io.messages {_FROM}"
_BYTES = "TEXT_BYTES(io.output) + TEXT_BYTES(io.messages)"
_IF_SHORT = f"CASE WHEN {_BYTES} <= {LONG_BYTES} THEN"
_TEXTS = {
    RunTexts.ALL: "io.output, io.messages, 0 AS is_cut",
    RunTexts.SHORT: f"""{_IF_SHORT} io.output END AS output, {_IF_SHORT} io.messages END AS messages,
                     {_IF_SHORT} 0 ELSE 1 END AS is_cut""",
    RunTexts.NONE: "NULL AS output, NULL AS messages, 0 AS is_cut",
}
VIEWS = {
    texts: Statement(f"run_view {texts}", f"SELECT {_COLUMNS}, {columns} {_FROM} r.run_id = :run_id")
    for texts, columns in _TEXTS.items()
}
VIEWS_IN_SESSION = {
    texts: Statement(f"run_view_in_session {texts}", f"{view.text} AND r.shard = :shard")
    for texts, view in VIEWS.items()
}
MEMBERS = Statement(
    "run_members",
    _VIEW + "r.root_id = :root_id AND r.shard = :shard AND r.parent_id IS NOT NULL ORDER BY r.created_at",
)
BY_IDS = Statement("runs_by_ids", _VIEW + "IN_LIST(r.run_id, :run_ids) AND r.shard = :shard ORDER BY r.created_at")
AHEAD = Statement(  # counts the head and queued runs by index, without touching the finished runs of a long session
    "runs_ahead",
    """SELECT (SELECT count(*) FROM runs WHERE holder = :lane AND shard = :shard)
            + (SELECT count(*) FROM runs WHERE lane = :lane AND shard = :shard AND seq < :seq AND state = 'queued')
            + (SELECT count(*) FROM runs WHERE lane = :lane AND shard = :shard AND seq > :seq AND state = 'queued'
               AND on_busy = 'interrupt') AS n""",
)
# Interrupters go before all other queued runs, so only earlier ones are ahead of another.
AHEAD_OF_INTERRUPTER = Statement(
    "runs_ahead_of_interrupter",
    """SELECT (SELECT count(*) FROM runs WHERE holder = :lane AND shard = :shard)
            + (SELECT count(*) FROM runs WHERE lane = :lane AND shard = :shard AND seq < :seq AND state = 'queued'
               AND on_busy = 'interrupt') AS n""",
)
END_OF_QUEUE = 2**62
COMPONENT = Statement(
    "run_component",
    """SELECT root.component_kind, root.component_id, root.component_name, root.owner
       FROM runs r JOIN runs root ON root.run_id = r.root_id AND root.shard = r.shard WHERE r.run_id = :run_id""",
)
SESSION = Statement("run_session", "SELECT session_id FROM runs WHERE run_id = :run_id")
STATE = Statement("run_state", "SELECT state FROM runs WHERE run_id = :run_id AND shard = :shard")
FORKS = Statement(
    "runs_forked_from",
    """SELECT run_id FROM runs WHERE session_id = :session_id AND shard = :shard AND forked_from = :run_id
       ORDER BY seq""",
)
ORIGIN = Statement("run_origin", "SELECT forked_from FROM runs WHERE run_id = :run_id AND shard = :shard")
TREE = Statement("run_tree", f"SELECT {RUN_COLUMNS} FROM runs WHERE root_id = :root_id AND shard = :shard")
HISTORY = Statement(
    "run_history",
    """SELECT r.run_id, io.input, io.output, io.messages
       FROM runs r JOIN run_io io ON io.run_id = r.run_id AND io.shard = r.shard
       WHERE r.session_id = :session_id AND r.shard = :shard AND r.seq < :seq AND r.parent_id IS NULL
       AND r.component_kind = :kind AND r.component_id = :component_id AND io.messages IS NOT NULL
       AND (r.state = 'completed' OR (r.state = 'cancelled' AND r.first_token_at IS NOT NULL))
       ORDER BY r.seq DESC LIMIT :limit""",
)


@dataclass(frozen=True, slots=True)
class RunComponent:
    """The component that a root run is of."""

    component_kind: ComponentKind
    component_id: str
    component_name: str


async def add(tx: SessionTx, run: RunRow, input_text: str) -> None:
    """Store a new root run in its first state, or a new member run as running.

    :param input_text: its input, as JSON.
    """
    is_member = run.parent_id is not None
    await tx.run(transitions.START_MEMBER if is_member else transitions.ACCEPT[run.state], run_params(run))
    await tx.run(ADD_INPUT, {"run_id": run.run_id, "input": input_text})


def _is_visible(row: Row, caller: Caller) -> bool:
    return caller.may_see(row["root_owner"])


async def view(
    tx: Tx,
    run_id: str,
    kind: str,
    component_id: str,
    session_id: str | None,
    caller: Caller,
    texts: RunTexts = RunTexts.ALL,
) -> RunView | None:
    """The run if it belongs to this session, to this component or a team of it, and to the caller; else None.

    :param texts: whether it is read with its output and its conversation. They may be long.
    """
    if session_id is None:
        row = await tx.one(VIEWS[texts], {"run_id": run_id})
    else:
        row = await SessionTx(tx, session_id).one(VIEWS_IN_SESSION[texts], {"run_id": run_id})
    if row is None or not _is_visible(row, caller):
        return None
    if session_id is not None and row["session_id"] != session_id:
        return None
    is_own = (row["component_kind"], row["component_id"]) == (kind, component_id)
    if not is_own and (row["root_kind"], row["root_component"]) != (kind, component_id):
        return None
    result = await run_view(tx, row)
    result.is_cut = bool(row["is_cut"])
    result.queue_position = await queue_position(tx, result.row)
    return result


async def component_of(tx: Tx, run_id: str, caller: Caller) -> RunComponent | None:
    """The component of the tree that a run is in; None: there is no such run that this caller may see."""
    row = await tx.one(COMPONENT, {"run_id": run_id})
    if row is None or not caller.may_see(row["owner"]):
        return None
    return RunComponent(row["component_kind"], row["component_id"], row["component_name"])


async def session_of(tx: Tx, run_id: str) -> str | None:
    """The session of a run; None: there is no such run."""
    row = await tx.one(SESSION, {"run_id": run_id})
    return None if row is None else str(row["session_id"])


async def state_of(tx: SessionTx, run_id: str) -> RunState | None:
    """The state of a run; None: there is no such run."""
    row = await tx.one(STATE, {"run_id": run_id})
    return None if row is None else RunState(row["state"])


async def origin_of(tx: SessionTx, run_id: str) -> str | None:
    """The id of the run that this run was forked from, or None."""
    row = await tx.one(ORIGIN, {"run_id": run_id})
    return None if row is None else row["forked_from"]


async def forks_of(tx: Tx, run: RunRow) -> list[str]:
    """The ids of the runs that were forked from this root run, which is finished then."""
    if not run.state.is_final:
        return []
    rows = await SessionTx(tx, run.session_id).all(FORKS, {"session_id": run.session_id, "run_id": run.run_id})
    return [row["run_id"] for row in rows]


async def queue_position(tx: Tx, run: RunRow) -> int | None:
    """How many runs of its session are ahead of a pending run."""
    if run.state not in PENDING or run.lane is None:
        return None
    if run.state is RunState.READY:
        return 0
    is_delayed = run.state is RunState.SCHEDULED  # it gets its seq when it is due, at the end of the queue
    statement = AHEAD_OF_INTERRUPTER if run.on_busy is OnBusy.INTERRUPT else AHEAD
    params = {"lane": run.lane, "seq": END_OF_QUEUE if is_delayed else run.seq}
    row = await SessionTx(tx, run.session_id).one(statement, params)
    return 0 if row is None else int(row["n"])


async def runs_behind(tx: Tx, run: RunRow) -> int:
    """How many queued runs of its session wait for this root run, which is the head of the queue or queued itself."""
    if run.holder is None and run.state is not RunState.QUEUED:
        return 0
    row = await SessionTx(tx, run.session_id).one(AHEAD, {"lane": run.lane, "seq": END_OF_QUEUE})
    in_queue = 0 if row is None else int(row["n"])
    return max(in_queue - 1 - (await queue_position(tx, run) or 0), 0)


async def members(tx: SessionTx, root_id: str, elsewhere: Sequence[str] = ()) -> list[RunView]:
    """The members' runs of a root, in order of their start.

    :param elsewhere: ids of members' runs in other trees that the root took over; they come first.
    """
    taken_over = await by_ids(tx, elsewhere) if elsewhere else []
    return [*taken_over, *[await run_view(tx, row) for row in await tx.all(MEMBERS, {"root_id": root_id})]]


async def by_ids(tx: SessionTx, run_ids: Sequence[str]) -> list[RunView]:
    """The runs with these ids, in order of their start."""
    return [await run_view(tx, row) for row in await tx.all(BY_IDS, {"run_ids": json.dumps(list(run_ids))})]


async def tree(tx: SessionTx, root_id: str) -> list[RunRow]:
    """The rows of a root and its members."""
    return [run_row(row) for row in await tx.all(TREE, {"root_id": root_id})]


async def history(tx: SessionTx, run: RunRow, limit: int) -> Sequence[Row]:
    """The last ``limit`` earlier runs of the same component and session that produced text, last first."""
    return await tx.all(
        HISTORY,
        {
            "session_id": run.session_id,
            "seq": run.seq,
            "kind": run.component_kind,
            "component_id": run.component_id,
            "limit": limit,
        },
    )
