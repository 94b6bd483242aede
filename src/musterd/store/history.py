"""What was said before a run: what members are shown of it, and what tools and summaries look up."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.core import jsontext
from musterd.core.records import ComponentKind, RunRow
from musterd.store import runs, sessions
from musterd.store.database import Row, Statement, Tx

OF_MEMBER = Statement(  # from the roots, so that it ends with the last ones that are shown
    "past_of_member",
    """SELECT r.run_id, io.messages FROM runs root JOIN runs r ON r.root_id = root.run_id
       JOIN run_io io ON io.run_id = r.run_id
       WHERE root.session_id = :session_id AND root.seq < :seq AND root.parent_id IS NULL
       AND r.parent_id IS NOT NULL AND r.component_kind = :kind AND r.component_id = :component_id
       AND r.state = 'completed' AND io.messages IS NOT NULL
       ORDER BY root.seq DESC, r.created_at DESC LIMIT :limit""",
)
BY_ID = Statement("past_by_id", "SELECT run_id, input, output, messages FROM run_io WHERE run_id = :run_id")
SINCE = Statement(
    "past_since",
    """SELECT io.messages FROM runs r JOIN run_io io ON io.run_id = r.run_id
       WHERE r.session_id = :session_id AND r.seq IS NOT NULL AND r.parent_id IS NULL
       AND r.run_id <> :run_id AND r.run_id <> :summed_by
       AND r.state = 'completed' AND r.ended_at > :since AND io.messages IS NOT NULL
       ORDER BY r.seq DESC LIMIT :limit""",
)
# A label that a client gave never finds what belongs to a user that a token proved. By the user's sessions, of which
# there are few: the component's own index would be walked through everybody's, so its column stands in a term.
OTHER_SESSIONS = Statement(
    "past_other_sessions",
    """SELECT session_id, COALESCE(name, first_message) AS name, updated_at FROM sessions
       WHERE user_id = :user_id AND COALESCE(owner, '') = :owner AND COALESCE(component_kind, '') = :kind
       AND component_id = :component_id AND session_id <> :session_id AND deleted_at IS NULL AND next_seq > 0
       ORDER BY updated_at DESC LIMIT :limit""",
)
OF_SESSION = Statement(
    "past_of_session",
    """SELECT io.messages FROM runs r JOIN run_io io ON io.run_id = r.run_id
       WHERE r.session_id = :session_id AND r.seq IS NOT NULL AND r.parent_id IS NULL
       AND r.state = 'completed' AND io.messages IS NOT NULL
       ORDER BY r.seq DESC LIMIT :limit""",
)
SET_SUMMARY = Statement("session_set_summary", "UPDATE sessions SET summary = :summary WHERE session_id = :session_id")

Who = tuple[ComponentKind, str]
"""A component by its kind and id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownWanted:
    """What members of a tree are shown of earlier runs.

    :param members: how many of its own runs each of these is shown.
    :param team_runs: how many of the root's they are told of.
    :param run_ids: exactly these: those that an earlier attempt showed.
    """

    members: Mapping[Who, int] = field(default_factory=dict)
    team_runs: int = 0
    run_ids: Mapping[str, Any] | None = None

    def __bool__(self) -> bool:
        return bool(self.members or self.team_runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRows:
    """What there is of it.

    :param of_members: conversations as JSON texts, oldest first.
    :param of_team: conversation and output as JSON texts, oldest first: what was asked, as its hooks left it.
    :param run_ids: whose they are.
    """

    of_members: Mapping[Who, Sequence[str]] = field(default_factory=dict)
    of_team: Sequence[tuple[str, str]] = ()
    run_ids: dict[str, Any] = field(default_factory=dict)


async def shown(tx: Tx, run: RunRow, wanted: ShownWanted) -> ShownRows:
    """What members of ``run`` are shown of earlier runs."""
    ids: dict[str, Any] = {"members": {}, "team": []}
    earlier = wanted.run_ids
    of_members: dict[Who, list[str]] = {}
    for who, limit in wanted.members.items():
        name = ":".join(who)
        found = (
            await _of_member(tx, run, who, limit)
            if earlier is None
            else await _by_id(tx, earlier["members"].get(name, ()))
        )
        of_members[who] = [row["messages"] for row in found if row["messages"] is not None]
        ids["members"][name] = [row["run_id"] for row in found]
    team: Sequence[Row] = ()
    if earlier is not None:
        team = await _by_id(tx, earlier["team"])
    elif wanted.team_runs:
        team = list(reversed(await runs.history(tx, run, wanted.team_runs)))
    ids["team"] = [row["run_id"] for row in team]
    return ShownRows(
        of_members=of_members,
        of_team=[(row["messages"], row["output"]) for row in team if row["messages"] and row["output"]],
        run_ids=ids,
    )


async def _by_id(tx: Tx, run_ids: Sequence[str]) -> list[Row]:
    rows = [await tx.one(BY_ID, {"run_id": run_id}) for run_id in run_ids]
    return [row for row in rows if row is not None]


async def _of_member(tx: Tx, run: RunRow, who: Who, limit: int) -> list[Row]:
    kind, component_id = who
    asked = {"session_id": run.session_id, "seq": run.seq, "kind": kind, "component_id": component_id, "limit": limit}
    return list(reversed(await tx.all(OF_MEMBER, asked)))


async def conversations(tx: Tx, run: RunRow, member: Who | None, limit: int) -> list[str]:
    """The last conversations of the run's component in its session, or of a member, oldest first."""
    if member is not None:
        return [row["messages"] for row in await _of_member(tx, run, member, limit)]
    return [row["messages"] for row in reversed(await runs.history(tx, run, limit))]


async def other_sessions(tx: Tx, run: RunRow, limit: int, runs_limit: int) -> list[tuple[Row, list[str]]]:
    """The same user's last other sessions of the same component, newest first, with their last conversations.

    The run has a user: whoever calls this has seen to it.
    """
    asked = {
        "user_id": run.user_id,
        "owner": run.owner or "",
        "kind": run.component_kind,
        "component_id": run.component_id,
        "session_id": run.session_id,
        "limit": limit,
    }
    found = []
    for row in await tx.all(OTHER_SESSIONS, asked):
        texts = await tx.all(OF_SESSION, {"session_id": row["session_id"], "limit": runs_limit})
        found.append((row, [text["messages"] for text in reversed(texts)]))
    return found


async def unsummarised(tx: Tx, run: RunRow, limit: int) -> tuple[dict[str, Any] | None, list[str]]:
    """The session's summary, and the last conversations that ended after it was made, oldest first.

    The run that made it is in it, though it ended behind it.
    """
    session = await tx.one(sessions.GET, {"session_id": run.session_id})
    summary = None if session is None or session["summary"] is None else json.loads(session["summary"])
    since, summed_by = (0.0, "") if summary is None else (summary["as_of"], summary["run_id"])
    asked = {"session_id": run.session_id, "run_id": run.run_id, "limit": limit, "since": since, "summed_by": summed_by}
    return summary, [row["messages"] for row in reversed(await tx.all(SINCE, asked))]


async def set_summary(tx: Tx, session_id: str, summary: dict[str, Any]) -> None:
    """Store what was said in the session, summed up."""
    await tx.run(SET_SUMMARY, {"session_id": session_id, "summary": jsontext.dumps(summary)})
