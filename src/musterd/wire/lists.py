"""Runs in lists: TeamRunSchema and RunSchema, another shape than the run itself; previews; runs without conversation.

``/teams/{id}/runs`` and ``/agents/{id}/runs`` keep their nulls; ``/sessions/{id}/runs`` leaves them out.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from musterd.core import jsontext
from musterd.core.records import RunView
from musterd.wire.runs import (
    content_of,
    input_object,
    last_event,
    media_of,
    messages_of,
    metrics_of,
    run_output,
    tools_of,
)
from musterd.wire.shapes import without_nulls
from musterd.wire.states import STATUS
from musterd.wire.times import iso_seconds

PREVIEW_CHARACTERS = 280
"""What a preview shows of a text."""

_NO_MEDIA: dict[str, Any] = {"images": [], "videos": [], "audio": [], "files": []}


def members_first(views: Iterable[RunView]) -> list[RunView]:
    """The runs one after another, each after its members.

    :param views: runs in order of acceptance; members may be nested in ``members``, or stand in the sequence.
    """
    flat: dict[str, RunView] = {}
    waiting = list(views)
    for view in waiting:
        flat.setdefault(view.row.run_id, view)
        waiting.extend(view.members)
    children: dict[str | None, list[RunView]] = {}
    for view in flat.values():
        parent = view.row.parent_id if view.row.parent_id in flat else None
        children.setdefault(parent, []).append(view)
    ordered: list[RunView] = []

    def place(parent: str | None) -> None:
        for view in children.get(parent, ()):
            place(view.row.run_id)
            ordered.append(view)

    place(None)
    return ordered


def team_runs(views: Iterable[RunView]) -> list[dict[str, Any]]:
    """``GET /teams/{id}/runs``: every run as TeamRunSchema, an agent's with ``team_id`` ""; nulls kept."""
    return [team_run_schema(view) for view in members_first(views)]


def agent_runs(views: Iterable[RunView]) -> list[dict[str, Any]]:
    """``GET /agents/{id}/runs``: every row as RunSchema; nulls included."""
    return [agent_run_schema(view) for view in members_first(views)]


def session_runs(views: Iterable[RunView]) -> list[dict[str, Any]]:
    """``GET /sessions/{id}/runs``: team runs as TeamRunSchema, agents' as RunSchema; nulls left out."""
    shown = (session_run(view) for view in members_first(views))
    return [{name: item for name, item in run.items() if item is not None} for run in shown]


def session_run(view: RunView) -> dict[str, Any]:
    """``GET /sessions/{id}/runs/{run_id}``: one run in the schema of its kind; nulls included."""
    return team_run_schema(view) if view.row.component_kind == "team" else agent_run_schema(view)


def session_run_previews(views: Iterable[RunView]) -> list[dict[str, Any]]:
    """``GET /sessions/{id}/run-previews``: what each run was asked and says, cut short; nulls left out."""
    return [_preview(view) for view in members_first(views)]


def run_page(views: Sequence[RunView], next_cursor: str | None, limit: int) -> dict[str, Any]:
    """``GET /runs``: each run as :func:`run_summary`; ``next_cursor`` is null on the last page."""
    data = [run_summary(view) for view in views]
    return {"data": data, "meta": {"limit": limit, "next_cursor": next_cursor}}


def active_run(view: RunView, expires_at: float | None) -> dict[str, Any]:
    """One of ``GET /sessions/{id}/active``: the run, where it stands in our own words, and until when it waits."""
    value = {**run_summary(view), "state": view.row.state.value}
    return value if expires_at is None else {**value, "pause": {"expires_at": expires_at}}


def run_summary(view: RunView) -> dict[str, Any]:
    """The run as GET of one has it, without its conversation; of which component it is stands in either kind."""
    view.messages = None
    return run_output(view)


def _preview(view: RunView) -> dict[str, Any]:
    row, content = view.row, _content(view)
    value = {
        "run_id": row.run_id,
        "parent_run_id": row.parent_id or "",
        f"{row.component_kind}_id": row.component_id,
        "user_id": row.user_id,
        "status": STATUS[row.state],
        "run_input": view.input.message[:PREVIEW_CHARACTERS],
        "content_preview": (content if isinstance(content, str) else jsontext.dumps(content))[:PREVIEW_CHARACTERS],
        "created_at": iso_seconds(row.created_at),
    }
    return without_nulls(value)


def team_run_schema(view: RunView) -> dict[str, Any]:
    """The run as TeamRunSchema, nulls included."""
    row = view.row
    return {
        "run_id": row.run_id,
        "parent_run_id": row.parent_id or "",
        "team_id": row.component_id if row.component_kind == "team" else "",
        "status": STATUS[row.state],
        "content": _content(view),
        "reasoning_content": _reasoning(view),
        "reasoning_steps": [],
        "run_input": view.input.message,
        "run_response_format": _response_format(view),
        "metrics": metrics_of(view),
        "tools": _tools(view),
        "messages": messages_of(view),
        "events": _events(view),
        "created_at": iso_seconds(row.created_at),
        "references": [],
        "citations": None,
        "reasoning_messages": [],
        "session_state": _session_state(view),
        "input_media": _input_media(view),
        **_NO_MEDIA,
        **media_of(view.output),
        "response_audio": None,
    }


def agent_run_schema(view: RunView) -> dict[str, Any]:
    """The run as RunSchema, nulls included."""
    row = view.row
    return {
        "run_id": row.run_id,
        "parent_run_id": row.parent_id or "",
        "agent_id": row.component_id if row.component_kind == "agent" else "",
        "user_id": row.user_id,
        "status": STATUS[row.state],
        "run_input": view.input.message,
        "content": _content(view),
        "run_response_format": _response_format(view),
        "reasoning_content": _reasoning(view),
        "reasoning_steps": [],
        "metrics": metrics_of(view),
        "messages": messages_of(view),
        "tools": _tools(view),
        "events": _events(view),
        "created_at": iso_seconds(row.created_at),
        "references": [],
        "citations": None,
        "reasoning_messages": [],
        "session_state": _session_state(view),
        **_NO_MEDIA,
        **media_of(view.output),
        "response_audio": None,
        "input_media": _input_media(view),
    }


def _content(view: RunView) -> Any:
    content = content_of(view) if view.row.state.is_settled else None
    return "" if content is None else content


def _reasoning(view: RunView) -> str:
    return view.output.reasoning if view.output and view.row.state.is_settled else ""


def _response_format(view: RunView) -> str:
    return "text" if view.output is None or view.output.content_type == "str" else "json"


def _tools(view: RunView) -> list[dict[str, Any]] | None:
    if not view.output or not view.output.tools or not view.row.state.is_settled:
        return None
    return tools_of(view)


def _events(view: RunView) -> list[dict[str, Any]] | None:
    event = last_event(view)
    return None if event is None else [event]


def _session_state(view: RunView) -> dict[str, Any] | None:
    return (view.output.session_state or None) if view.output and view.row.state.is_settled else None


def _input_media(view: RunView) -> dict[str, Any]:
    given = input_object(view.input)
    return {name: given.get(name, []) for name in ("images", "videos", "audios", "files")}
