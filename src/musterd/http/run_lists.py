"""The operation that lists the runs of all sessions."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from musterd.core.callers import Caller
from musterd.http.operation import operation
from musterd.http.parameters import Query, Text
from musterd.http.server import Server
from musterd.store.run_lists import RunsQuery
from musterd.wire import lists
from musterd.wire.lists import RunPage
from musterd.wire.pages import PAGE_LIMIT
from musterd.wire.run_cursors import RunPosition, parse_run_cursor, run_cursor
from musterd.wire.states import STATUSES, parse_statuses

MAX_TIME = 2**53
"""The latest time of a filter, in unix seconds. Databases cannot compare larger integers."""


def _require_cursor(text: Any) -> Any:
    position = parse_run_cursor(text) if isinstance(text, str) else None
    if position is None:
        raise PydanticCustomError("value_error", "Input should be the next_cursor of an earlier page")
    return position


Cursor = Annotated[RunPosition, BeforeValidator(_require_cursor), WithJsonSchema({"type": "string"})]


class RunPageQuery(Query):
    """The query of ``GET /runs``."""

    status: list[str] = Field(
        default_factory=list,
        description=f"Only runs in any of these states, in any case: {', '.join(STATUSES)}",
    )
    team_id: Text | None = Field(None, description="Only runs of this team")
    agent_id: Text | None = Field(None, description="Only runs of this agent")
    user_id: Text | None = Field(None, description="Only runs for this user")
    session_id: Text | None = Field(None, description="Only runs of this session")
    created_after: int | None = Field(
        None, ge=0, le=MAX_TIME, description="Only runs accepted from then on, in unix seconds"
    )
    created_before: int | None = Field(
        None, ge=0, le=MAX_TIME, description="Only runs accepted until then, in unix seconds"
    )
    limit: int = Field(20, ge=1, le=PAGE_LIMIT, description="Runs on a page")
    cursor: Cursor | None = Field(None, description="The `next_cursor` of the page before")

    @field_validator("agent_id")
    @classmethod
    def _require_one_component(cls, agent_id: str | None, info: ValidationInfo) -> str | None:
        if agent_id is not None and info.data.get("team_id") is not None:
            message = "A run is of a team or of an agent: give one of the two"
            raise PydanticCustomError("value_error", message)
        return agent_id

    def conditions(self) -> RunsQuery:
        """What to list: one run more than the page has, which says whether there is a next page.

        :raises InvalidInput: a status is unknown.
        """
        component = None
        if self.team_id is not None:
            component = ("team", self.team_id)
        elif self.agent_id is not None:
            component = ("agent", self.agent_id)
        return RunsQuery(
            states=parse_statuses(self.status),
            component=component,
            user_id=self.user_id,
            session_id=self.session_id,
            created_after=self.created_after,
            created_before=self.created_before,
            after=self.cursor,
            limit=self.limit + 1,
        )


@operation("GET", "/runs", "list_runs", scope="runs:read", tag="Runs", summary="List Runs")
async def list_runs(server: Server, caller: Caller, query: RunPageQuery) -> RunPage:
    """List the runs of all sessions, newest first. Members' runs are in those of their teams."""
    views = await server.lists.page(query.conditions(), caller)
    page = views[: query.limit]
    next_cursor = run_cursor(page[-1].row) if len(views) > query.limit else None
    return lists.run_page(page, next_cursor, query.limit)


OPERATIONS = [list_runs]
