"""Earlier conversations: those that members see, and those that history tools and summaries read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.core import jsontext
from musterd.core.records import ComponentKind, RunRow
from musterd.store import runs, sessions
from musterd.store.database import Row, Statement, Tx
from musterd.store.shards import SessionTx

OF_MEMBER = Statement(  # starts from the newest roots, so that it stops at the limit
    "history_of_member",
    """SELECT r.run_id, io.messages FROM runs root JOIN runs r ON r.root_id = root.run_id AND r.shard = root.shard
       JOIN run_io io ON io.run_id = r.run_id AND io.shard = r.shard
       WHERE root.session_id = :session_id AND root.shard = :shard AND root.seq < :seq AND root.parent_id IS NULL
       AND r.parent_id IS NOT NULL AND r.component_kind = :kind AND r.component_id = :component_id
       AND r.state = 'completed' AND io.messages IS NOT NULL
       ORDER BY root.seq DESC, r.created_at DESC LIMIT :limit""",
)
BY_ID = Statement(
    "history_by_id", "SELECT run_id, input, output, messages FROM run_io WHERE run_id = :run_id AND shard = :shard"
)
# By `ended_at` and not by `seq`: a run that was accepted before the one that made the summary may finish after it.
SINCE = Statement(
    "history_since",
    """SELECT io.messages FROM runs r JOIN run_io io ON io.run_id = r.run_id AND io.shard = r.shard
       WHERE r.session_id = :session_id AND r.shard = :shard AND r.seq IS NOT NULL AND r.parent_id IS NULL
       AND r.run_id <> :run_id AND r.run_id <> :summed_by
       AND r.state = 'completed' AND r.ended_at > :since AND io.messages IS NOT NULL
       ORDER BY r.seq DESC LIMIT :limit""",
)
# The owner is compared too: a user id that a client merely claims must not find sessions of an authenticated user. An
# index has the user's sessions in this order with all that is compared, so sessions of other components are passed over
# without a look at their rows. The component's column is wrapped in COALESCE so that SQLite does not use its own index,
# which contains all users' sessions.
OTHER_SESSIONS = Statement(
    "history_other_sessions",
    """SELECT session_id, COALESCE(name, first_message) AS name, updated_at FROM sessions
       WHERE session_id IN (SELECT s.session_id FROM sessions s
                            WHERE s.user_id = :user_id AND COALESCE(s.owner, '') = :owner
                            AND COALESCE(s.component_kind, '') = :kind AND s.component_id = :component_id
                            AND s.session_id <> :session_id AND s.deleted_at IS NULL
                            AND EXISTS (SELECT 1 FROM runs r
                                        WHERE r.session_id = s.session_id AND r.shard = s.shard AND r.seq >= 0)
                            ORDER BY s.updated_at DESC LIMIT :limit)
       ORDER BY updated_at DESC""",
)
OF_SESSION = Statement(
    "history_of_session",
    """SELECT io.messages FROM runs r JOIN run_io io ON io.run_id = r.run_id AND io.shard = r.shard
       WHERE r.session_id = :session_id AND r.shard = :shard AND r.seq IS NOT NULL AND r.parent_id IS NULL
       AND r.state = 'completed' AND io.messages IS NOT NULL
       ORDER BY r.seq DESC LIMIT :limit""",
)
INPUTS_AND_OUTPUTS = Statement(
    "history_inputs_and_outputs",
    """SELECT io.input, io.output FROM runs r JOIN run_io io ON io.run_id = r.run_id AND io.shard = r.shard
       WHERE r.session_id = :session_id AND r.shard = :shard AND r.seq < :seq AND r.parent_id IS NULL
       AND r.component_kind = :kind AND r.component_id = :component_id
       AND r.state = 'completed' AND io.output IS NOT NULL
       ORDER BY r.seq DESC LIMIT :limit""",
)
SET_SUMMARY = Statement(
    "session_set_summary", "UPDATE sessions SET summary = :summary WHERE session_id = :session_id AND shard = :shard"
)

ComponentKey = tuple[ComponentKind, str]
"""A component by its kind and id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersHistoryQuery:
    """Which earlier runs the members of a run see.

    :param members: how many of its own earlier runs each member sees.
    :param team_runs: how many earlier runs of the root they see.
    :param run_ids: the runs that an earlier attempt used, if there was one: a later attempt uses the same.
    """

    members: Mapping[ComponentKey, int] = field(default_factory=dict)
    team_runs: int = 0
    run_ids: Mapping[str, Any] | None = None

    def __bool__(self) -> bool:
        return bool(self.members or self.team_runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersHistory:
    """The earlier runs that the members of a run see.

    :param of_members: conversations as JSON texts, oldest first.
    :param of_team: conversations and outputs of the root as JSON texts, oldest first. The message of a run is taken
        from its conversation, where hooks may have changed it.
    :param run_ids: the ids of all these runs.
    """

    of_members: Mapping[ComponentKey, Sequence[str]] = field(default_factory=dict)
    of_team: Sequence[tuple[str, str]] = ()
    run_ids: dict[str, Any] = field(default_factory=dict)


async def members_history(tx: SessionTx, run: RunRow, query: MembersHistoryQuery) -> MembersHistory:
    """Read the earlier runs that the members of ``run`` see."""
    run_ids: dict[str, Any] = {"members": {}, "team": []}
    earlier_ids = query.run_ids
    of_members: dict[ComponentKey, list[str]] = {}
    for member, limit in query.members.items():
        name = ":".join(member)
        rows = (
            await _of_member(tx, run, member, limit)
            if earlier_ids is None
            else await _by_id(tx, earlier_ids["members"].get(name, ()))
        )
        of_members[member] = [row["messages"] for row in rows if row["messages"] is not None]
        run_ids["members"][name] = [row["run_id"] for row in rows]
    team: Sequence[Row] = ()
    if earlier_ids is not None:
        team = await _by_id(tx, earlier_ids["team"])
    elif query.team_runs:
        team = list(reversed(await runs.history(tx, run, query.team_runs)))
    run_ids["team"] = [row["run_id"] for row in team]
    return MembersHistory(
        of_members=of_members,
        of_team=[(row["messages"], row["output"]) for row in team if row["messages"] and row["output"]],
        run_ids=run_ids,
    )


async def _by_id(tx: SessionTx, run_ids: Sequence[str]) -> list[Row]:
    rows = [await tx.one(BY_ID, {"run_id": run_id}) for run_id in run_ids]
    return [row for row in rows if row is not None]


async def _of_member(tx: SessionTx, run: RunRow, member: ComponentKey, limit: int) -> list[Row]:
    kind, component_id = member
    params = {"session_id": run.session_id, "seq": run.seq, "kind": kind, "component_id": component_id, "limit": limit}
    return list(reversed(await tx.all(OF_MEMBER, params)))


async def conversations(tx: Tx, run: RunRow, member: ComponentKey | None, limit: int) -> list[str]:
    """The last conversations of the run's component in its session, or of a member, oldest first."""
    tx = SessionTx(tx, run.session_id)
    if member is not None:
        return [row["messages"] for row in await _of_member(tx, run, member, limit)]
    return [row["messages"] for row in reversed(await runs.history(tx, run, limit))]


async def inputs_and_outputs(tx: Tx, run: RunRow, limit: int) -> list[tuple[str, str]]:
    """Input and output, as JSON texts, of the last completed runs of the run's component before it, oldest first."""
    tx = SessionTx(tx, run.session_id)
    params = {"session_id": run.session_id, "seq": run.seq, "kind": run.component_kind, "limit": limit}
    rows = await tx.all(INPUTS_AND_OUTPUTS, {**params, "component_id": run.component_id})
    return [(row["input"], row["output"]) for row in reversed(rows)]


async def other_sessions(tx: Tx, run: RunRow, limit: int, runs_limit: int) -> list[tuple[Row, list[str]]]:
    """Other sessions of the run's user and component, newest first, with their last conversations.

    The caller makes sure that the run has a user.
    """
    params = {
        "user_id": run.user_id,
        "owner": run.owner or "",
        "kind": run.component_kind,
        "component_id": run.component_id,
        "session_id": run.session_id,
        "limit": limit,
    }
    result = []
    for session in await tx.all(OTHER_SESSIONS, params):
        rows = await SessionTx(tx, session["session_id"]).all(
            OF_SESSION, {"session_id": session["session_id"], "limit": runs_limit}
        )
        result.append((session, [row["messages"] for row in reversed(rows)]))
    return result


async def unsummarised(tx: Tx, run: RunRow, limit: int) -> tuple[dict[str, Any] | None, list[str]]:
    """The session's summary, and the last conversations that finished after it was made, oldest first.

    The run that made the summary finished after it, but the summary covers it; so it is left out.
    """
    tx = SessionTx(tx, run.session_id)
    session = await tx.one(sessions.GET, {"session_id": run.session_id})
    summary = None if session is None or session["summary"] is None else json.loads(session["summary"])
    since, summed_by = (0.0, "") if summary is None else (summary["as_of"], summary["run_id"])
    params = {"run_id": run.run_id, "limit": limit, "since": since, "summed_by": summed_by}
    rows = await tx.all(SINCE, {"session_id": run.session_id, **params})
    return summary, [row["messages"] for row in reversed(rows)]


async def set_summary(tx: SessionTx, session_id: str, summary: dict[str, Any]) -> None:
    """Store the session's summary."""
    await tx.run(SET_SUMMARY, {"session_id": session_id, "summary": jsontext.dumps(summary)})
