"""Sessions as clients list and read them: a short item, a page of items, a detail with the chat so far.

The detail has a shape for each kind of component; a client chooses with ``type``. As in AgentOS, answers to
GET and POST leave out nulls, and answers to a rename or a change keep them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, NotRequired, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.records import ComponentKind, RunRow, RunView, SessionRow
from musterd.core.run_summaries import SUMMARY_CHARACTERS, SessionOverview
from musterd.core.states import RunState
from musterd.wire.components import ModelWords
from musterd.wire.lists import members_first
from musterd.wire.messages import Message
from musterd.wire.metrics import SessionMetrics, summed_metrics, usage_shares
from musterd.wire.run_summaries import outcome_of
from musterd.wire.runs import messages_of
from musterd.wire.shapes import PaginatedResponse, Time, page_of, without_nulls
from musterd.wire.states import STATUS, RunStatus
from musterd.wire.summary import SessionSummary, session_summary
from musterd.wire.times import iso_seconds
from musterd.wire.workflows import DeclaredStep

_CHAT_STATES = frozenset({RunState.COMPLETED, RunState.CANCELLED})
_CHAT_ROLES = frozenset({"user", "assistant"})

SessionName = Annotated[str, Field(description="The name that a person gave, otherwise the first message.")]


class SessionSchema(TypedDict):
    """A session in a list."""

    session_id: str
    session_name: SessionName
    session_state: dict[str, Any] | None
    created_at: Time
    updated_at: Time
    status: Annotated[
        RunStatus | None,
        Field(
            description="PAUSED, RUNNING or PENDING if one of its runs is, in this order; otherwise the status of its "
            "last run; null before the first one."
        ),
    ]
    run_count: int
    waiting: Annotated[int, Field(description="Open questions of its runs, for persons.")]
    total_tokens: Annotated[int, Field(description="Tokens of its runs so far, without copied ones.")]
    total_cost: Annotated[
        float | None,
        Field(description="US dollars for its runs, without copied ones; null if the price of one is unknown."),
    ]
    last_answer: Annotated[
        str | None,
        Field(
            description=f"The first {SUMMARY_CHARACTERS} characters of what its last run answered, or what it waits "
            "for."
        ),
    ]
    component_name: Annotated[str | None, Field(description="The team or agent of its last run.")]
    component_kind: str
    component_id: Annotated[str, Field(description="Empty before the first run decides.")]


class ModelOfSession(TypedDict):
    """The model of a session's team or agent."""

    id: str
    provider: str
    name: NotRequired[Annotated[str, Field(description="The kind of model, if the team or agent is still served.")]]


class TeamData(TypedDict):
    """The team of a session, as of its first run."""

    name: str
    team_id: str
    model: ModelOfSession


class AgentData(TypedDict):
    """The agent of a session, as of its first run."""

    name: str
    agent_id: str
    model: ModelOfSession


class _SessionDetail(TypedDict):
    """The keys that both shapes of a session have."""

    session_id: str
    session_name: SessionName
    user_id: NotRequired[str | None]
    session_summary: NotRequired[SessionSummary | None]
    session_state: NotRequired[dict[str, Any]]
    metrics: Annotated[SessionMetrics, Field(description="What all its runs used.")]
    metadata: NotRequired[dict[str, Any] | None]
    chat_history: Annotated[list[Message], Field(description="The messages of the user and the leader.")]
    created_at: Time
    updated_at: Time
    total_tokens: NotRequired[int | None]
    forked_from_session_id: NotRequired[
        Annotated[str, Field(description="The session whose finished runs were copied into it.")]
    ]


class TeamSessionDetailSchema(_SessionDetail):
    """A session in the shape of a team's."""

    team_id: NotRequired[str | None]
    team_data: NotRequired[TeamData | None]


class AgentSessionDetailSchema(_SessionDetail):
    """A session in the shape of an agent's."""

    agent_session_id: str
    agent_id: NotRequired[str | None]
    agent_data: NotRequired[AgentData | None]


class WorkflowData(TypedDict):
    """The workflow of a session, with its steps as they are declared now."""

    workflow_id: str
    name: str
    steps: list[DeclaredStep]


class WorkflowSessionData(TypedDict):
    """The state of a workflow's session, and what its runs used."""

    session_state: dict[str, Any]
    session_metrics: SessionMetrics


class WorkflowSessionDetailSchema(TypedDict):
    """A session in the shape of a workflow's."""

    user_id: NotRequired[str | None]
    workflow_id: NotRequired[str | None]
    workflow_name: NotRequired[str | None]
    session_id: str
    session_name: SessionName
    session_data: WorkflowSessionData
    session_state: dict[str, Any]
    workflow_data: NotRequired[WorkflowData | None]
    metadata: NotRequired[dict[str, Any] | None]
    created_at: Time
    updated_at: Time
    forked_from_session_id: NotRequired[
        Annotated[str, Field(description="The session whose finished runs were copied into it.")]
    ]


SessionDetail: TypeAlias = TeamSessionDetailSchema | AgentSessionDetailSchema | WorkflowSessionDetailSchema


def session_name(row: SessionRow) -> str:
    """The name that a person gave, even if it is empty, otherwise the session's first message."""
    return row.first_message if row.name is None else row.name


def session_item(overview: SessionOverview) -> SessionSchema:
    """One session of a list, with the peer's keys, and then our own."""
    row, last = overview.row, overview.last_run
    return {
        "session_id": row.session_id,
        "session_name": session_name(row),
        "session_state": row.state if row.has_state else None,
        "created_at": iso_seconds(row.created_at),
        "updated_at": iso_seconds(row.updated_at),
        "status": None if overview.state is None else STATUS[overview.state],
        "run_count": overview.run_count,
        "waiting": overview.waiting,
        "total_tokens": overview.tokens,
        "total_cost": None if overview.cost is None else round(overview.cost, 6),
        "last_answer": None if last is None else outcome_of(last),
        "component_name": None if last is None else last.component_name,
        "component_kind": row.component_kind,
        "component_id": row.component_id,
    }


def session_page(
    overviews: Iterable[SessionOverview], total: int, *, page: int, limit: int
) -> PaginatedResponse[SessionSchema]:
    """A page of sessions.

    :param total: how many sessions match on all pages.
    """
    return page_of([session_item(overview) for overview in overviews], total, page=page, limit=limit)


def session_detail(
    row: SessionRow,
    runs: Sequence[RunView],
    *,
    kind: ComponentKind | None = None,
    model: ModelWords | None = None,
    steps: list[DeclaredStep] | None = None,
    with_nulls: bool = False,
) -> SessionDetail:
    """One session.

    :param runs: all its runs in order of acceptance, members' runs nested or not.
    :param kind: the shape; None: that of the session's component.
    :param model: the model of the session's component, for ``team_data`` and ``agent_data``.
    :param steps: the declared steps of the session's workflow.
    :param with_nulls: whether keys without a value are kept.
    """
    ordered = members_first(runs)
    detail: SessionDetail
    shape = kind or row.component_kind
    if shape == "workflow":
        detail = _workflow_detail(row, ordered, steps or [])
    elif shape == "agent":
        detail = _agent_detail(row, ordered, model)
    else:
        detail = _team_detail(row, ordered, model)
    if row.forked_from is not None:
        detail["forked_from_session_id"] = row.forked_from
    return detail if with_nulls else without_nulls(detail)


def _team_detail(row: SessionRow, runs: list[RunView], model: ModelWords | None) -> TeamSessionDetailSchema:
    metrics = _metrics(runs)
    return {
        "session_id": row.session_id,
        "session_name": session_name(row),
        "user_id": row.user_id,
        "team_id": (row.component_id or None) if row.component_kind == "team" else None,
        "session_summary": session_summary(row.summary),
        "session_state": row.state,
        "metrics": metrics,
        "team_data": _team_data(row, runs, model),
        "metadata": row.metadata,
        "chat_history": list(_chat(runs)),
        "created_at": iso_seconds(row.created_at),
        "updated_at": iso_seconds(row.updated_at),
        "total_tokens": metrics.get("total_tokens"),
    }


def _agent_detail(row: SessionRow, runs: list[RunView], model: ModelWords | None) -> AgentSessionDetailSchema:
    metrics = _metrics(runs)
    return {
        "user_id": row.user_id,
        "agent_session_id": row.session_id,
        "session_id": row.session_id,
        "session_name": session_name(row),
        "session_summary": session_summary(row.summary),
        "session_state": row.state,
        "agent_id": (row.component_id or None) if row.component_kind == "agent" else None,
        "total_tokens": metrics.get("total_tokens"),
        "agent_data": _agent_data(row, runs, model),
        "metrics": metrics,
        "metadata": row.metadata,
        "chat_history": list(_chat(runs)),
        "created_at": iso_seconds(row.created_at),
        "updated_at": iso_seconds(row.updated_at),
    }


def _workflow_detail(row: SessionRow, runs: list[RunView], steps: list[DeclaredStep]) -> WorkflowSessionDetailSchema:
    run = _first_run(row, "workflow", runs)
    workflow_id = (row.component_id or None) if row.component_kind == "workflow" else None
    name = None if run is None else run.component_name
    return {
        "user_id": row.user_id,
        "workflow_id": workflow_id,
        "workflow_name": name,
        "session_id": row.session_id,
        "session_name": session_name(row),
        "session_data": {"session_state": row.state, "session_metrics": _metrics(runs)},
        "session_state": row.state,
        "workflow_data": _workflow_data(workflow_id, name, steps),
        "metadata": row.metadata,
        "created_at": iso_seconds(row.created_at),
        "updated_at": iso_seconds(row.updated_at),
    }


def _workflow_data(workflow_id: str | None, name: str | None, steps: list[DeclaredStep]) -> WorkflowData | None:
    if workflow_id is None:
        return None
    return {"workflow_id": workflow_id, "name": name or workflow_id, "steps": steps}


def _team_data(row: SessionRow, runs: list[RunView], model: ModelWords | None) -> TeamData | None:
    run = _first_run(row, "team", runs)
    if run is None:
        return None
    return {"name": run.component_name, "team_id": row.component_id, "model": _model_of(run, model)}


def _agent_data(row: SessionRow, runs: list[RunView], model: ModelWords | None) -> AgentData | None:
    run = _first_run(row, "agent", runs)
    if run is None:
        return None
    return {"name": run.component_name, "agent_id": row.component_id, "model": _model_of(run, model)}


def _first_run(row: SessionRow, kind: ComponentKind, runs: list[RunView]) -> RunRow | None:
    """The first run of the session's component; None before it, or if the component is of another kind."""
    if row.component_kind != kind:
        return None
    roots = (view.row for view in runs if view.row.parent_id is None)
    return next((run for run in roots if run.component_id == row.component_id), None)


def _model_of(run: RunRow, model: ModelWords | None) -> ModelOfSession:
    names: ModelOfSession = {"id": run.model, "provider": run.model_provider}
    if model is not None:
        names["name"] = model.name
    return names


def _metrics(runs: list[RunView]) -> SessionMetrics:
    outputs = ((view.output, view.row) for view in runs if view.output is not None)
    return summed_metrics(
        share for output, row in outputs for share in usage_shares(output, row.model, row.model_provider)
    )


def _chat(runs: list[RunView]) -> Iterator[Message]:
    """The messages of the user and the leader, in completed and cancelled runs."""
    for view in runs:
        if view.row.parent_id is None and view.row.state in _CHAT_STATES:
            for message in messages_of(view) or ():
                if message["role"] in _CHAT_ROLES:
                    yield message
