"""The operations that list and count the runs of all sessions."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from musterd.core.callers import Caller
from musterd.http.operation import operation
from musterd.http.parameters import Query, SearchText, Text
from musterd.http.server import Server
from musterd.store.run_lists import RunsQuery
from musterd.store.run_search import SEARCHED_RUNS
from musterd.wire import lists
from musterd.wire.cursors import RunPosition, parse_run_cursor, run_cursor
from musterd.wire.lists import RunPage
from musterd.wire.pages import PAGE_LIMIT
from musterd.wire.run_summaries import RunCountsResponse, RunSummaryPage, run_counts, run_summary_page
from musterd.wire.states import STATUSES, parse_statuses

MAX_TIME = 2**53
"""The latest time of a filter, in unix seconds. Databases cannot compare larger integers."""


def _require_cursor(text: Any) -> Any:
    position = parse_run_cursor(text) if isinstance(text, str) else None
    if position is None:
        raise PydanticCustomError("value_error", "Input should be the next_cursor of an earlier page")
    return position


Cursor = Annotated[RunPosition, BeforeValidator(_require_cursor), WithJsonSchema({"type": "string"})]


class RunDetailLevel(StrEnum):
    """How much of a run is shown."""

    FULL = "full"
    SUMMARY = "summary"


class RunFilterQuery(Query):
    """The filters of ``GET /runs`` and ``GET /runs/counts``."""

    team_id: Text | None = Field(None, description="Only runs of this team")
    agent_id: Text | None = Field(None, description="Only runs of this agent")
    workflow_id: Text | None = Field(None, description="Only runs of this workflow")
    user_id: Text | None = Field(None, description="Only runs for this user")
    session_id: Text | None = Field(None, description="Only runs of this session")
    created_after: int | None = Field(
        None, ge=0, le=MAX_TIME, description="Only runs accepted from then on, in unix seconds"
    )
    created_before: int | None = Field(
        None, ge=0, le=MAX_TIME, description="Only runs accepted until then, in unix seconds"
    )
    q: SearchText | None = Field(
        None,
        description="Only runs with this text, in any case, in their message, their answer or error, or their id. The "
        f"newest {SEARCHED_RUNS:,} runs that the other filters leave are searched, and the next ones with the cursor: "
        "a page may be short and still have a `next_cursor`",
    )

    @field_validator("agent_id", "workflow_id")
    @classmethod
    def _require_one_component(cls, component_id: str | None, info: ValidationInfo) -> str | None:
        if component_id is not None and (info.data.get("team_id") or info.data.get("agent_id")) is not None:
            message = "A run is of one team, agent or workflow: give one of them"
            raise PydanticCustomError("value_error", message)
        return component_id

    def conditions(self) -> RunsQuery:
        """What to list or count."""
        ids = {"team": self.team_id, "agent": self.agent_id, "workflow": self.workflow_id}
        component = next(((kind, one) for kind, one in ids.items() if one is not None), None)
        return RunsQuery(
            component=component,
            user_id=self.user_id,
            session_id=self.session_id,
            created_after=self.created_after,
            created_before=self.created_before,
            text=self.q,
        )


class RunPageQuery(RunFilterQuery):
    """The query of ``GET /runs``."""

    status: list[str] = Field(
        default_factory=list,
        description=f"Only runs in any of these states, in any case: {', '.join(STATUSES)}",
    )
    needs_you: bool = Field(False, description="Only runs with a pending approval")
    view: RunDetailLevel = Field(RunDetailLevel.FULL, description="`summary`: each run in a few words")
    limit: int = Field(20, ge=1, le=PAGE_LIMIT, description="Runs on a page")
    cursor: Cursor | None = Field(None, description="The `next_cursor` of the page before")

    def conditions(self) -> RunsQuery:
        """What to list: one run more than the page has, which says whether there is a next page.

        :raises InvalidInput: a status is unknown.
        """
        return replace(
            super().conditions(),
            states=parse_statuses(self.status),
            needs_you=self.needs_you,
            after=self.cursor,
            limit=self.limit + 1,
        )


@operation("GET", "/runs", "list_runs", scope="runs:read", tag="Runs", summary="List Runs", is_tagged=True)
async def list_runs(server: Server, caller: Caller, query: RunPageQuery) -> RunPage | RunSummaryPage:
    """List the runs of all sessions, newest first. Members' and steps' runs are in those of their roots."""
    conditions, limit = query.conditions(), query.limit
    if query.view is RunDetailLevel.SUMMARY:
        summaries, searched_until = await server.lists.summaries(conditions, caller)
        positions = [(run.created_at, run.run_id) for run in summaries]
        return run_summary_page(summaries[:limit], _next_cursor(positions, limit, searched_until), limit)
    views, searched_until = await server.lists.page(conditions, caller)
    positions = [(view.row.created_at, view.row.run_id) for view in views]
    return lists.run_page(views[:limit], _next_cursor(positions, limit, searched_until), limit)


def _next_cursor(positions: Sequence[RunPosition], limit: int, searched_until: RunPosition | None) -> str | None:
    """The cursor of the page after the one with these runs, of which only ``limit`` are on the page."""
    end = positions[limit - 1] if len(positions) > limit else searched_until
    return None if end is None else run_cursor(end)


@operation("GET", "/runs/counts", "count_runs", scope="runs:read", tag="Runs", summary="Count Runs", is_tagged=True)
async def count_runs(server: Server, caller: Caller, query: RunFilterQuery) -> RunCountsResponse:
    """Count the runs of all sessions by status. With `q`, only the newest runs are counted that the search looks at."""
    counts = await server.lists.counts(query.conditions(), caller)
    return run_counts(counts.by_state, counts.needs_you)


OPERATIONS = [list_runs, count_runs]
