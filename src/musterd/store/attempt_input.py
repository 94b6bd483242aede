"""What an attempt reads before it drives: the request, the session's state, earlier runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from musterd.core.jsontypes import JsonObject
from musterd.core.media import references
from musterd.core.records import Input, RunRow
from musterd.store import blobs, history, run_outputs, runs, sessions
from musterd.store.database import Statement, Tx
from musterd.store.history import ShownRows, ShownWanted

GET_MESSAGES = Statement("run_messages", "SELECT run_id, messages FROM run_io WHERE run_id = :run_id")

NOTHING_SHOWN, NOTHING_WANTED = ShownRows(), ShownWanted()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptInput:
    """What an attempt starts from.

    :param state: the session's state.
    :param history: messages of earlier runs as JSON text, oldest first.
    :param history_runs: the ids of those runs.
    :param blobs: content of the media of the request and the history, by hash.
    :param summary: what was said in the session, summed up.
    :param shown: what members are shown of earlier runs.
    """

    input: Input
    state: JsonObject
    history: Sequence[str]
    history_runs: Sequence[str]
    blobs: dict[str, bytes]
    summary: JsonObject | None = None
    shown: ShownRows = NOTHING_SHOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """Which earlier runs an attempt is shown.

    :param is_shown: whether any are, when the request says nothing about it.
    :param limit: how many.
    :param run_ids: exactly these: those that an earlier attempt was shown.
    :param shown: what members are shown.
    """

    is_shown: bool
    limit: int
    run_ids: Sequence[str] | None = None
    shown: ShownWanted = NOTHING_WANTED


async def load(tx: Tx, run: RunRow, wanted: HistoryQuery) -> AttemptInput:
    """Read what an attempt of ``run`` starts from."""
    row = await tx.one(run_outputs.GET_INPUT, {"run_id": run.run_id})
    session = await tx.one(sessions.GET, {"session_id": run.session_id})
    if row is None or session is None:
        raise RuntimeError(f"run {run.run_id} has no input or no session")
    asked = Input.from_json(json.loads(row["input"]))
    earlier_runs = await _history(tx, run, asked, wanted)
    return AttemptInput(
        input=asked,
        state=json.loads(session["state"]),
        history=[text for _, text in earlier_runs],
        history_runs=[run_id for run_id, _ in earlier_runs],
        blobs=await _blobs(tx, asked, [text for _, text in earlier_runs]),
        summary=None if session["summary"] is None else json.loads(session["summary"]),
        shown=await history.shown(tx, run, wanted.shown) if wanted.shown else NOTHING_SHOWN,
    )


async def _history(tx: Tx, run: RunRow, asked: Input, wanted: HistoryQuery) -> list[tuple[str, str]]:
    """Id and messages of the earlier runs that are shown, oldest first."""
    if wanted.run_ids is not None:
        rows = [await tx.one(GET_MESSAGES, {"run_id": run_id}) for run_id in wanted.run_ids]
        return [(row["run_id"], row["messages"]) for row in rows if row is not None]
    if not asked.options.get("add_history_to_context", wanted.is_shown):
        return []
    given = [asked.options[name] for name in ("num_history_messages", "num_history_runs") if name in asked.options]
    limit: int = given[0] if given else wanted.limit
    return [(row["run_id"], row["messages"]) for row in reversed(await runs.history(tx, run, limit))]


async def _blobs(tx: Tx, asked: Input, messages: Sequence[str]) -> dict[str, bytes]:
    names = {item["blob"] for items in asked.media.values() for item in items if "blob" in item}
    names.update(name for text in messages for name in references(text))
    return await blobs.several(tx, names)
