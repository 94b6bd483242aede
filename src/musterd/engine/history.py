"""What was said before a run, from the store: the loop's :class:`musterd.loop.history.HistoryLookup`."""

import json
from collections.abc import Mapping, Sequence

from pydantic_ai.messages import ModelMessage

from musterd.core.jsontypes import JsonObject
from musterd.core.records import Output, RunRow
from musterd.declare import Agent, Component, Team
from musterd.engine.outbox import until_available
from musterd.loop.conversation import earlier_messages
from musterd.loop.history import (
    ComponentKey,
    EarlierSession,
    MemberHistory,
    Unsummarised,
    history_run_count,
    history_runs_by_member,
    team_history_run_count,
    user_input_in,
)
from musterd.loop.history_limits import limit_history
from musterd.loop.session_tools import RUNS_OF_A_SESSION
from musterd.loop.tool_results import as_text
from musterd.store import history
from musterd.store.attempt_input import HistoryQuery
from musterd.store.database import Database
from musterd.store.history import MembersHistory, MembersHistoryQuery

RUNS_OF_A_SUMMARY = 50
"""The most runs that one summary takes in; where more have ended since the last one, the last of them."""


class StoredHistory:
    """Looks up what was said before a root run, when it is asked."""

    def __init__(self, database: Database, run: RunRow) -> None:
        self._database = database
        self._run = run

    async def conversations(self, member: ComponentKey | None, limit: int) -> Sequence[str]:
        """The last conversations of the root's component in its session, or of a member, oldest first."""
        run = self._run
        return await until_available(
            lambda: self._database.scan(lambda tx: history.conversations(tx, run, member, limit)), run.run_id
        )

    async def other_sessions(self, limit: int) -> Sequence[EarlierSession] | None:
        """The same user's last other sessions, newest first; None where nobody knows who the user is."""
        run = self._run
        if not run.user_id:
            return None
        found = await until_available(
            lambda: self._database.scan(lambda tx: history.other_sessions(tx, run, limit, RUNS_OF_A_SESSION)),
            run.run_id,
        )
        return [
            EarlierSession(
                session_id=row["session_id"], name=row["name"], updated_at=row["updated_at"], conversations=texts
            )
            for row, texts in found
        ]

    async def unsummarised(self) -> Unsummarised:
        """The session's summary, and what it does not know yet."""
        run = self._run
        summary, texts = await until_available(
            lambda: self._database.scan(lambda tx: history.unsummarised(tx, run, RUNS_OF_A_SUMMARY)), run.run_id
        )
        return Unsummarised(summary=summary, conversations=texts)


def history_wanted(component: Component, earlier: JsonObject | None) -> HistoryQuery:
    """Which earlier runs an attempt of ``component`` is shown.

    :param earlier: what an earlier attempt was prepared with: the same runs are shown again.
    """
    spec = component.spec
    return HistoryQuery(
        is_shown=spec.add_history_to_context,
        limit=history_run_count(spec),
        run_ids=None if earlier is None else earlier["history_runs"],
        shown=MembersHistoryQuery(
            members=history_runs_by_member(component),
            team_runs=team_history_run_count(component),
            run_ids=None if earlier is None else earlier.get("shown", {"members": {}, "team": []}),
        ),
    )


def history_of(
    spec: Agent | Team, texts: Sequence[str], asked: JsonObject, contents: Mapping[str, bytes]
) -> Sequence[ModelMessage]:
    """The history that a root's model is shown.

    :param texts: conversations of earlier runs.
    :param asked: the request's options, which stand above the declaration's.
    :param contents: of the media in them, by hash.
    """
    messages = [message for text in texts for message in earlier_messages(text, contents)]
    by_runs = "num_history_runs" in asked and "num_history_messages" not in asked
    last = None if by_runs else asked.get("num_history_messages", spec.num_history_messages)
    return limit_history(messages, last, spec.max_tool_calls_from_history)


def shown_of(rows: MembersHistory) -> MemberHistory:
    """What members are shown, as the loop has it."""
    return MemberHistory(
        of_members={
            who: [part for text in texts for part in earlier_messages(text)] for who, texts in rows.of_members.items()
        },
        of_team=[
            (user_input_in(text), as_text(Output.from_json(json.loads(answered)).content))
            for text, answered in rows.of_team
        ],
        run_ids=rows.run_ids,
    )
