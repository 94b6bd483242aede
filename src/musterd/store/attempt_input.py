"""Loading the input of an attempt: the request, the session's state, and earlier runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from musterd.core.jsontypes import JsonObject
from musterd.core.media import references
from musterd.core.records import Input, RunRow
from musterd.store import blobs, history, run_outputs, runs, sessions
from musterd.store.database import Statement, Tx
from musterd.store.history import MembersHistory, MembersHistoryQuery
from musterd.store.shards import SessionTx

GET_MESSAGES = Statement(
    "run_messages", "SELECT run_id, messages FROM run_io WHERE run_id = :run_id AND shard = :shard"
)

NO_MEMBERS_HISTORY, NO_MEMBERS_QUERY = MembersHistory(), MembersHistoryQuery()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptInput:
    """The input of an attempt.

    :param state: the session's state.
    :param history: messages of earlier runs as JSON text, oldest first.
    :param history_runs: the ids of those runs.
    :param blobs: content of the media of the request, the history and the members' own history, by hash.
    :param summary: the session's summary.
    :param members_history: the earlier runs that members see.
    """

    input: Input
    state: JsonObject
    history: Sequence[str]
    history_runs: Sequence[str]
    blobs: dict[str, bytes]
    summary: JsonObject | None = None
    members_history: MembersHistory = NO_MEMBERS_HISTORY


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """Which earlier runs are in the context of an attempt.

    :param is_enabled: whether there is any history, unless the request says otherwise.
    :param limit: how many runs.
    :param run_ids: the runs that an earlier attempt used, if there was one: a later attempt uses the same.
    :param members: which earlier runs members see.
    """

    is_enabled: bool
    limit: int
    run_ids: Sequence[str] | None = None
    members: MembersHistoryQuery = NO_MEMBERS_QUERY


async def load(tx: Tx, run: RunRow, query: HistoryQuery) -> AttemptInput:
    """Load the input of an attempt of ``run``."""
    tx = SessionTx(tx, run.session_id)
    row = await tx.one(run_outputs.GET_INPUT, {"run_id": run.run_id})
    session = await tx.one(sessions.GET, {"session_id": run.session_id})
    if row is None or session is None:
        raise RuntimeError(f"run {run.run_id} has no input or no session")
    run_input = Input.from_json(json.loads(row["input"]))
    earlier_runs = await _history(tx, run, run_input, query)
    of_members = await history.members_history(tx, run, query.members) if query.members else NO_MEMBERS_HISTORY
    conversations = [text for _, text in earlier_runs]
    conversations_of_members = [text for texts in of_members.of_members.values() for text in texts]
    return AttemptInput(
        input=run_input,
        state=json.loads(session["state"]),
        history=conversations,
        history_runs=[run_id for run_id, _ in earlier_runs],
        blobs=await _blobs(tx, run_input, [*conversations, *conversations_of_members]),
        summary=None if session["summary"] is None else json.loads(session["summary"]),
        members_history=of_members,
    )


async def _history(tx: SessionTx, run: RunRow, run_input: Input, query: HistoryQuery) -> list[tuple[str, str]]:
    """Ids and messages of the earlier runs in the context, oldest first."""
    if query.run_ids is not None:
        rows = [await tx.one(GET_MESSAGES, {"run_id": run_id}) for run_id in query.run_ids]
        return [(row["run_id"], row["messages"]) for row in rows if row is not None]
    limit = history_limit(query, run_input.options)
    earlier = await runs.history(tx, run, limit) if limit else ()
    return [(row["run_id"], row["messages"]) for row in reversed(earlier)]


def history_limit(query: HistoryQuery, options: JsonObject) -> int:
    """How many earlier runs are in the context of a run at most.

    :param options: the request's options, which override the declaration's.
    """
    if not options.get("add_history_to_context", query.is_enabled):
        return 0
    # Each run has at least one message, so as many runs as messages are enough; `loop/history.py` cuts by messages.
    limits = [options[name] for name in ("num_history_messages", "num_history_runs") if name in options]
    limit: int = limits[0] if limits else query.limit
    return limit


async def _blobs(tx: Tx, run_input: Input, messages: Sequence[str]) -> dict[str, bytes]:
    names = {item["blob"] for items in run_input.media.values() for item in items if "blob" in item}
    names.update(name for text in messages for name in references(text))
    return await blobs.several(tx, names)
