"""Converts one session of AgentOS, with its runs."""

from collections.abc import Mapping
from dataclasses import dataclass

from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import COMPONENT_KINDS, ComponentKind, RunRow, SessionRow
from musterd.core.states import RunState
from musterd.imports.runs import Names, kind_of, require_id, without_added_keys
from musterd.imports.trees import Trees, trees_of
from musterd.imports.values import (
    Unreadable,
    object_in,
    objects_in,
    parse_encoded,
    require_shallow,
    text_in,
    text_of,
    time_in,
)

_JSON_COLUMNS = ("session_data", "metadata", "runs", "summary")
FIRST_MESSAGE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class ImportedSession:
    """A session with its runs."""

    row: SessionRow
    runs: Trees


def imported_session(stored: Mapping[str, Json], names: Names) -> ImportedSession:
    """Convert a row of AgentOS's table of sessions.

    :raises Unreadable: it does not have AgentOS's format.
    """
    session_id = require_id(stored, "session_id")
    columns = {name: parse_encoded(stored.get(name), name) for name in _JSON_COLUMNS}
    require_shallow([columns[name] for name in _JSON_COLUMNS if name != "runs"])
    data, runs = object_in(columns, "session_data"), objects_in(columns, "runs")
    kind, component_id = _component(stored, runs)
    user_id = text_in(stored, "user_id")
    created_at = time_in(stored, "created_at") or 0.0
    common = RunRow(
        run_id="",
        root_id="",
        parent_id=None,
        session_id=session_id,
        owner=names.owner(user_id),
        user_id=user_id,
        component_kind=kind,
        component_id=component_id,
        component_name="",
        model="",
        model_provider="",
        state=RunState.COMPLETED,
        created_at=created_at,
    )
    trees = trees_of(runs, common, names)
    row = SessionRow(
        session_id=session_id,
        owner=common.owner,
        user_id=user_id,
        component_kind=kind,
        component_id=names.component(component_id),
        name=text_in(data, "session_name"),
        first_message=trees.trees[0][0].input.message[:FIRST_MESSAGE_CHARACTERS] if trees.trees else "",
        state=without_added_keys(object_in(data, "session_state")),
        metadata=object_in(columns, "metadata") or None,
        next_seq=len(trees.trees),
        created_at=created_at,
        updated_at=time_in(stored, "updated_at") or created_at,
        summary=_summary(object_in(columns, "summary")),
    )
    return ImportedSession(row, trees)


def _component(stored: Mapping[str, Json], runs: list[JsonObject]) -> tuple[ComponentKind, str]:
    """The kind and id of the session's component.

    An agent that runs as a workflow's step overwrites the session type of the workflow's row with its own. So the runs
    decide: the row's component is used if one of the runs has that kind, otherwise the component of the first run.
    """
    row_type = text_in(stored, "session_type")
    row_kind = next((kind for kind in COMPONENT_KINDS if kind == row_type), None)
    roots = [run for run in runs if not run.get("parent_run_id")]
    run_kinds = [kind for run in roots if (kind := kind_of(run)) is not None]
    kind = row_kind if row_kind in run_kinds or not run_kinds else run_kinds[0]
    if kind is None:
        raise Unreadable(f"unknown session_type {text_of(row_type)[:40]!r}")
    ids = [text_in(stored, f"{kind}_id"), *(text_in(run, f"{kind}_id") for run in roots)]
    return kind, next((component_id for component_id in ids if component_id is not None), "")


def _summary(summary: JsonObject) -> JsonObject | None:
    """The session's summary."""
    if (text := text_in(summary, "summary")) is None:
        return None
    topics = summary.get("topics")
    return {
        "summary": text,
        "topics": topics if isinstance(topics, list) else [],
        "as_of": time_in(summary, "updated_at") or 0.0,
        "run_id": "",
    }
