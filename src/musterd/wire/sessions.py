"""Sessions as clients list and read them: a short item, a page of items, a detail with the chat so far.

The detail has two shapes, by what the session is asked as: a team's and an agent's. The peer leaves nulls
out of the answers to GET and POST, and keeps them after a rename or a change.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from musterd.core.records import ComponentKind, RunView, SessionRow
from musterd.core.states import RunState
from musterd.wire.components import ModelWords
from musterd.wire.lists import members_first
from musterd.wire.messages import Message
from musterd.wire.metrics import SessionMetrics, summed_metrics, usage_shares
from musterd.wire.runs import messages_of
from musterd.wire.shapes import PaginatedResponse, page_of, without_nulls
from musterd.wire.summary import session_summary
from musterd.wire.times import iso_seconds

_TOLD = frozenset({RunState.COMPLETED, RunState.CANCELLED})
_CHAT_ROLES = frozenset({"user", "assistant"})


def session_name(row: SessionRow) -> str:
    """The name that a person gave, even if empty; else the session's first message."""
    return row.first_message if row.name is None else row.name


def session_item(row: SessionRow) -> dict[str, Any]:
    """One session of a list."""
    return {
        "session_id": row.session_id,
        "session_name": session_name(row),
        "session_state": row.state,
        "created_at": iso_seconds(row.created_at),
        "updated_at": iso_seconds(row.updated_at),
    }


def session_page(rows: Iterable[SessionRow], total: int, *, page: int, limit: int) -> PaginatedResponse[dict[str, Any]]:
    """A page of sessions with the peer's ``meta``.

    :param total: how many sessions match on all pages.
    """
    return page_of([session_item(row) for row in rows], total, page=page, limit=limit)


def session_detail(
    row: SessionRow,
    runs: Sequence[RunView],
    *,
    kind: ComponentKind | None = None,
    model: ModelWords | None = None,
    with_nulls: bool = False,
) -> dict[str, Any]:
    """One session.

    :param runs: all its runs, members' too, nested or not, in order of acceptance.
    :param kind: the shape that is asked for; None: that of the session's component.
    :param model: the model of the session's component, for ``team_data`` and ``agent_data``.
    :param with_nulls: whether keys without a value are kept.
    """
    shape = _agent_detail if (kind or row.component_kind) == "agent" else _team_detail
    value = shape(row, members_first(runs), model)
    if row.forked_from is not None:
        value["forked_from_session_id"] = row.forked_from
    return value if with_nulls else without_nulls(value)


def _team_detail(row: SessionRow, runs: list[RunView], model: ModelWords | None) -> dict[str, Any]:
    metrics = _metrics(runs)
    return {
        "session_id": row.session_id,
        "session_name": session_name(row),
        "user_id": row.user_id,
        "team_id": (row.component_id or None) if row.component_kind == "team" else None,
        "session_summary": session_summary(row.summary),
        "session_state": row.state,
        "metrics": metrics,
        "team_data": _component_data(row, "team", runs, model),
        "metadata": row.metadata,
        "chat_history": list(_chat(runs)),
        "created_at": iso_seconds(row.created_at),
        "updated_at": iso_seconds(row.updated_at),
        "total_tokens": metrics.get("total_tokens"),
    }


def _agent_detail(row: SessionRow, runs: list[RunView], model: ModelWords | None) -> dict[str, Any]:
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
        "agent_data": _component_data(row, "agent", runs, model),
        "metrics": metrics,
        "metadata": row.metadata,
        "chat_history": list(_chat(runs)),
        "created_at": iso_seconds(row.created_at),
        "updated_at": iso_seconds(row.updated_at),
    }


def _component_data(
    row: SessionRow, kind: ComponentKind, runs: list[RunView], model: ModelWords | None
) -> dict[str, Any] | None:
    """Name, id and model of the session's component; None for another kind, or before its first run."""
    own = (view.row for view in runs if view.row.component_id == row.component_id and view.row.parent_id is None)
    first = next(own, None)
    if first is None or row.component_kind != kind:
        return None
    words = {"id": first.model, "provider": first.model_provider}
    if model is not None:
        words["name"] = model.name
    return {"name": first.component_name, f"{kind}_id": row.component_id, "model": words}


def _metrics(runs: list[RunView]) -> SessionMetrics:
    outputs = ((view.output, view.row) for view in runs if view.output is not None)
    return summed_metrics(
        share for output, row in outputs for share in usage_shares(output, row.model, row.model_provider)
    )


def _chat(runs: list[RunView]) -> Iterator[Message]:
    """What the user and the leader said, of runs that were answered or cancelled with something said."""
    for view in runs:
        if view.row.parent_id is None and view.row.state in _TOLD:
            for message in messages_of(view) or ():
                if message["role"] in _CHAT_ROLES and not message["from_history"]:
                    yield message
