"""Copies of what runs of a session are, as they stand in a fork of it: under ids of their own, which replace their
originals' wherever our own records name runs. Pure: rows in, rows out.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from musterd.core import clock, jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import RunRow, SessionRow, StepKind
from musterd.store.database import Row

_REFERENCES = frozenset(
    {"run_id", "child_run_id", "next_run_id", "of", "voice", "members", "history_runs", "team", "run_ids"}
)
"""Keys under which our own records name runs: one, a list, or a table of them."""
_OTHERS = frozenset(
    {"args", "asked", "content", "fields", "input", "message", "result", "schema", "text"}
    | {"session_state", "state", "state_delta", "additional_data"}
)
"""Keys under which others' words stand: what looks like the id of a run there is none."""

Ids = Mapping[str, str]
"""The copies' ids by their originals'."""


def run_copy(run: RunRow, session: SessionRow, ids: Ids, seq: int | None) -> RunRow:
    """A run as it stands in the new session. It is a trace of its own: nothing was done in that of the original."""
    return replace(
        run,
        run_id=ids[run.run_id],
        root_id=ids[run.root_id],
        parent_id=None if run.parent_id is None else ids.get(run.parent_id),
        session_id=session.session_id,
        owner=session.owner,
        user_id=session.user_id,
        lane=None if run.lane is None else session.session_id,
        seq=seq,
        salt=None if run.salt is None else clock.new_id(),
        forked_from=None if run.forked_from is None else ids.get(run.forked_from),
        copied_from=run.run_id,
        trace_id=None,  # what happened did so in the original's trace, and was told there
        traceparent=None,
        webhooks=None,
    )


def io_copy(row: Row, ids: Ids, *, keeps_webhook: bool) -> JsonObject:
    """What a run was asked, what it answered, and its conversation.

    :param keeps_webhook: whether what goes on from the copy tells whom the original told: another user's must not.
    """
    return {
        "run_id": ids[row["run_id"]],
        "input": _input(row["input"], ids, keeps_webhook=keeps_webhook),
        "output": _text(row["output"], ids, '_run_id":"', '"run_id":"'),
        "messages": row["messages"],
    }


def events_copy(row: Row, ids: Ids) -> JsonObject:
    """Events of a tree, as one flush stored them."""
    return {**_of_root(row, ids), "payload": _events(row["payload"], ids)}


def step_copy(row: Row, ids: Ids) -> JsonObject:
    """A step of the journal."""
    return {**_of_root(row, ids), "result": _result(row, ids)}


def use_copy(row: Row, ids: Ids) -> JsonObject:
    """The use of a blob."""
    return _of_root(row, ids)


def message_copy(row: Row, ids: Ids) -> JsonObject:
    """A message to a run at work, which it has taken."""
    copied = renamed(_values(row), ids)
    return {**copied, "root_id": ids[row["root_id"]], "id": clock.new_id()}


def _of_root(row: Row, ids: Ids) -> JsonObject:
    return {**_values(row), "root_id": ids[row["root_id"]]}


def _values(row: Row) -> JsonObject:
    return {name: row[name] for name in row.keys()}  # noqa: SIM118 - iterating a row gives its values


def _events(payload: str, ids: Ids) -> str:
    return jsontext.dumps(
        [
            [kind, ids.get(run_id, run_id), at, renamed(data, ids), place]
            for kind, run_id, at, data, place in json.loads(payload)
        ]
    )


def _result(row: Row, ids: Ids) -> str | None:
    """What a step has stored, with the ids of the copies: a first step names earlier runs, a tool's may name a run."""
    result: str | None = row["result"]
    if row["kind"] == StepKind.PREPARE.value:
        return None if result is None else jsontext.dumps(renamed(json.loads(result), ids))
    return _text(result, ids, '"child_run_id":"')


def _input(text: str, ids: Ids, *, keeps_webhook: bool) -> str:
    """What a run was asked; where it went on from a failed one, that one's copy and members are named."""
    if '"fork":' not in text and '"webhook_url":' not in text:
        return text
    asked = json.loads(text)
    options = asked.get("options", {})
    if "fork" in options:
        options["fork"] = renamed(options["fork"], ids)
    if not keeps_webhook:
        options.pop("webhook_url", None)
    return jsontext.dumps(asked)


def _text(text: str | None, ids: Ids, *marks: str) -> str | None:
    """Stored JSON with the ids of the copies; read only where a mark says that it may name one."""
    if text is None or not any(mark in text for mark in marks):
        return text
    return jsontext.dumps(renamed(json.loads(text), ids))


def renamed(value: Json, ids: Ids) -> Json:
    """A record of ours with the ids of the copies in place of their originals'."""
    if isinstance(value, list):
        return [renamed(item, ids) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _renamed_at(name, item, ids) for name, item in value.items()}


def _renamed_at(name: str, item: Json, ids: Ids) -> Json:
    if name in _OTHERS:
        return item
    return _references(item, ids) if name in _REFERENCES else renamed(item, ids)


def _references(value: Json, ids: Ids) -> Json:
    if isinstance(value, str):
        return ids.get(value, value)
    if isinstance(value, list):
        return [_references(item, ids) for item in value]
    if isinstance(value, dict):
        return {name: _references(item, ids) for name, item in value.items()}
    return value
