"""Reading the journal: for a later attempt that replays it, and for usage and traces."""

import json
from collections.abc import Sequence
from dataclasses import replace

from musterd.core import jsontext
from musterd.core.records import StepKind, StepRow, StepState, Usage
from musterd.store.database import Row, Statement
from musterd.store.shards import SessionTx

STEPS = Statement(
    "steps_of_root",
    """SELECT root_id, path, kind, state, fingerprint, name, call_id, attempt, tries, started_at, ended_at, result,
              error, usage, cost, codec, earlier, timing
       FROM journal WHERE root_id = :root_id AND shard = :shard ORDER BY started_at, path""",
)

STEPS_WITH_CONTENTS = Statement(
    "steps_of_root_with_contents",
    """SELECT root_id, path, kind, state, fingerprint, name, call_id, attempt, tries, started_at, ended_at, result,
              error, usage, cost, codec, earlier, timing, content
       FROM journal WHERE root_id = :root_id AND shard = :shard ORDER BY started_at, path""",
)
COUNT = Statement("steps_count", "SELECT count(*) AS n FROM journal WHERE root_id = :root_id AND shard = :shard")
USAGE = Statement(
    "steps_usage",
    "SELECT path, kind, usage, cost, started_at FROM journal WHERE root_id = :root_id AND shard = :shard",
)


async def used(tx: SessionTx, root_id: str) -> list[StepRow]:
    """Every step of a run tree, with its usage and without its result."""
    rows = await tx.all(USAGE, {"root_id": root_id})
    return [
        StepRow(
            root_id=root_id,
            path=row["path"],
            kind=StepKind(row["kind"]),
            state=StepState.COMPLETED,
            fingerprint="",
            attempt=0,
            started_at=row["started_at"],
            usage=None if row["usage"] is None else Usage.from_json(json.loads(row["usage"])),
            cost=row["cost"],
        )
        for row in rows
    ]


async def count(tx: SessionTx, root_id: str) -> int:
    """The number of steps of a run tree."""
    row = await tx.one(COUNT, {"root_id": root_id})
    return 0 if row is None else int(row["n"])


async def steps(tx: SessionTx, root_id: str) -> Sequence[StepRow]:
    """Every step of a run tree, in order of start. Contents that are stored apart are not read."""
    return [step_row(row) for row in await tx.all(STEPS, {"root_id": root_id})]


async def steps_with_contents(tx: SessionTx, root_id: str) -> Sequence[StepRow]:
    """The same, with whole results."""
    rows = await tx.all(STEPS_WITH_CONTENTS, {"root_id": root_id})
    return [replace(step_row(row), result=whole_result(row)) for row in rows]


def whole_result(row: Row) -> str | None:
    """The result of a step with its content, if that is stored apart.

    :param row: with the columns ``result`` and ``content``.
    """
    result: str | None = row["result"]
    if result is None or row["content"] is None:
        return result
    recorded = json.loads(result)
    del recorded["characters"]
    return jsontext.dumps({"result": row["content"], **recorded})


def step_row(row: Row) -> StepRow:
    """The record of a row of ``journal``."""
    usage = row["usage"]
    return StepRow(
        root_id=row["root_id"],
        path=row["path"],
        kind=StepKind(row["kind"]),
        state=StepState(row["state"]),
        fingerprint=row["fingerprint"],
        attempt=row["attempt"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        result=row["result"],
        usage=None if usage is None else Usage.from_json(json.loads(usage)),
        cost=row["cost"],
        codec=row["codec"],
        name=row["name"],
        call_id=row["call_id"],
        tries=row["tries"],
        error=row["error"],
        earlier=row["earlier"],
        timing=row["timing"],
    )
