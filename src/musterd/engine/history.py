"""Earlier conversations from the store; implements the loop's :class:`musterd.loop.history.HistoryLookup`."""

import json
from collections.abc import Mapping, Sequence
from typing import cast

from pydantic_ai.messages import ModelMessage

from musterd.core.jsontypes import JsonObject
from musterd.core.records import ComponentKind, Input, Output, RunRow
from musterd.declare import Agent, BaseComponent, Team
from musterd.engine.database_retry import until_available
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
"""The most runs that one summary covers. If more have ended since the last summary, it covers the latest of them."""


class StoredHistory:
    """Reads earlier conversations on behalf of a root run, when they are needed."""

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
        """The same user's last other sessions, newest first; None if the user is not known."""
        run = self._run
        if not run.user_id:
            return None
        sessions = await until_available(
            lambda: self._database.scan(lambda tx: history.other_sessions(tx, run, limit, RUNS_OF_A_SESSION)),
            run.run_id,
        )
        return [
            EarlierSession(
                session_id=row["session_id"], name=row["name"], updated_at=row["updated_at"], conversations=texts
            )
            for row, texts in sessions
        ]

    async def inputs_and_outputs(self, limit: int) -> Sequence[tuple[str, str]]:
        """The input and the output of the last completed runs of the root's component in its session, oldest first."""
        run = self._run
        rows = await until_available(
            lambda: self._database.scan(lambda tx: history.inputs_and_outputs(tx, run, limit)), run.run_id
        )
        return [
            (Input.from_json(json.loads(run_input)).message, as_text(Output.from_json(json.loads(output)).content))
            for run_input, output in rows
        ]

    async def unsummarised(self) -> Unsummarised:
        """The session's summary, and the conversations that it does not cover yet."""
        run = self._run
        summary, texts = await until_available(
            lambda: self._database.scan(lambda tx: history.unsummarised(tx, run, RUNS_OF_A_SUMMARY)), run.run_id
        )
        return Unsummarised(summary=summary, conversations=texts)


def history_query_of(component: BaseComponent, earlier_values: JsonObject | None) -> HistoryQuery:
    """The query for the earlier runs in the context of an attempt of ``component``.

    :param earlier_values: the values that an earlier attempt recorded. The same runs are used again.
    """
    spec = component.spec
    is_enabled = isinstance(spec, Agent | Team) and spec.add_history_to_context
    member_run_ids = None
    if earlier_values is not None:
        member_run_ids = earlier_values.get("member_history", {"members": {}, "team": []})
    return HistoryQuery(
        is_enabled=is_enabled,
        limit=history_run_count(spec) if isinstance(spec, Agent | Team) else 0,
        run_ids=None if earlier_values is None else earlier_values["history_runs"],
        members=MembersHistoryQuery(
            members=history_runs_by_member(component),
            team_runs=team_history_run_count(component),
            run_ids=member_run_ids,
        ),
    )


def recorded_history_query(prepared: JsonObject | None) -> HistoryQuery:
    """The query for the earlier runs that a run was shown.

    :param prepared: what its first step recorded; None: it was shown none yet.
    """
    recorded = prepared or {}
    member_runs = recorded.get("member_history", {"members": {}, "team": []})
    keys = [member_key(name) for name in member_runs["members"]]
    return HistoryQuery(
        is_enabled=False,
        limit=0,
        run_ids=recorded.get("history_runs", []),
        members=MembersHistoryQuery(
            members=dict.fromkeys(keys, 0), team_runs=len(member_runs["team"]), run_ids=member_runs
        ),
    )


def member_key(name: str) -> ComponentKey:
    """The member with this name in recorded histories, such as ``agent:writer``."""
    kind, _, component_id = name.partition(":")
    return cast(ComponentKind, kind), component_id


def history_of(
    spec: Agent | Team, texts: Sequence[str], options: JsonObject, contents: Mapping[str, bytes]
) -> Sequence[ModelMessage]:
    """The history in the context of the model of a root run.

    :param texts: conversations of earlier runs, as JSON.
    :param options: the request's options, which override the declaration's.
    :param contents: the media in the conversations, by hash.
    """
    messages = [message for text in texts for message in earlier_messages(text, contents)]
    is_limited_by_runs = "num_history_runs" in options and "num_history_messages" not in options
    last = None if is_limited_by_runs else options.get("num_history_messages", spec.num_history_messages)
    return limit_history(messages, last, spec.max_tool_calls_from_history)


def member_history_of(rows: MembersHistory, contents: Mapping[str, bytes]) -> MemberHistory:
    """The earlier runs that members see, as the loop's messages.

    :param contents: the media in the conversations, by hash.
    """
    return MemberHistory(
        of_members={
            member: [part for text in texts for part in earlier_messages(text, contents)]
            for member, texts in rows.of_members.items()
        },
        of_team=[
            (user_input_in(text), as_text(Output.from_json(json.loads(output)).content))
            for text, output in rows.of_team
        ],
        run_ids=rows.run_ids,
    )
