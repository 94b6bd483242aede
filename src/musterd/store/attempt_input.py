"""What an attempt reads before it drives: the request, the session's state, earlier runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from musterd.core.jsontypes import JsonObject
from musterd.core.records import Input, RunRow
from musterd.store import blobs, runs, sessions
from musterd.store.database import Statement, Tx

GET_INPUT = Statement("run_input", "SELECT input FROM run_io WHERE run_id = :run_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptInput:
    """What an attempt starts from.

    :param state: the session's state.
    :param history: messages of earlier runs as JSON text, oldest first.
    :param blobs: content of the request's media, by hash.
    """

    input: Input
    state: JsonObject
    history: Sequence[str]
    blobs: dict[str, bytes]


async def load(tx: Tx, run: RunRow, *, shows_history: bool, history_runs: int) -> AttemptInput:
    """Read what an attempt of ``run`` starts from.

    :param shows_history: whether earlier runs are shown when the request says nothing about it.
    :param history_runs: how many.
    """
    row = await tx.one(GET_INPUT, {"run_id": run.run_id})
    session = await tx.one(sessions.GET, {"session_id": run.session_id})
    if row is None or session is None:
        raise RuntimeError(f"run {run.run_id} has no input or no session")
    asked = Input.from_json(json.loads(row["input"]))
    is_shown = asked.options.get("add_history_to_context", shows_history)
    return AttemptInput(
        input=asked,
        state=json.loads(session["state"]),
        history=await _history(tx, run, history_runs) if is_shown else [],
        blobs=await _blobs(tx, asked),
    )


async def _history(tx: Tx, run: RunRow, limit: int) -> list[str]:
    rows = await runs.history(tx, run, limit)
    return [row["messages"] for row in reversed(rows)]


async def _blobs(tx: Tx, asked: Input) -> dict[str, bytes]:
    names = {item["blob"] for items in asked.media.values() for item in items if "blob" in item}
    found = {name: await blobs.get(tx, name) for name in names}
    return {name: content for name, content in found.items() if content is not None}
