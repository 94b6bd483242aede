"""Copies of a session's rows for a fork of it, with new ids in all places where musterd's own records name runs.

Pure functions from rows to rows.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from musterd.core import clock, jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import RunRow, SessionRow, StepKind
from musterd.store.database import Row

_REFERENCES = frozenset(
    {"run_id", "child_run_id", "step_run_id", "next_run_id", "run_ids"}
    | {"of", "voice", "members", "history_runs", "team"}
)
"""Keys under which musterd's records name runs: a single id, a list, or a table of ids."""
_USER_CONTENT = frozenset(
    {"approval", "args", "content", "fields", "input", "message", "references", "result", "schema", "text"}
    | {"session_state", "state", "state_delta", "additional_data"}
)
"""Keys whose values come from users, models or tools. They are copied as they are: a text that looks like a run id
there is not a reference."""

Ids = Mapping[str, str]
"""The ids of the copies by the ids of their originals."""


def run_copy(run: RunRow, session: SessionRow, ids: Ids, seq: int | None) -> RunRow:
    """The copy of a run. It does not belong to the original's trace, because nothing was executed for it."""
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
        trace_id=None,  # its steps were executed, and exported, in the original's trace
        traceparent=None,
        webhooks=None,
    )


def io_copy(row: Row, ids: Ids, *, keeps_webhook: bool) -> JsonObject:
    """The copy of a run's input, output and conversation.

    :param keeps_webhook: whether a run that continues the copy uses the original's webhook; not for another user.
    """
    return {
        "run_id": ids[row["run_id"]],
        "input": _input(row["input"], ids, keeps_webhook=keeps_webhook),
        "output": _text(row["output"], ids, '_run_id":"', '"run_id":"'),
        "messages": row["messages"],
    }


def events_copy(row: Row, ids: Ids) -> JsonObject:
    """The copy of one stored flush of events."""
    return {**_of_root(row, ids), "payload": _events(row["payload"], ids)}


def step_copy(row: Row, ids: Ids) -> JsonObject:
    """The copy of a journal step."""
    return {**_of_root(row, ids), "result": _result(row, ids)}


def attempt_copy(row: Row, ids: Ids) -> JsonObject:
    """The copy of an attempt of a run."""
    return _of_root(row, ids)


def use_copy(row: Row, ids: Ids) -> JsonObject:
    """The copy of the use of a blob."""
    return _of_root(row, ids)


def message_copy(row: Row, ids: Ids) -> JsonObject:
    """The copy of a message that was sent to the run while it was running."""
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
    """A step's result with the ids of the copies: `prepare` steps name earlier runs, tool results may name a run."""
    result: str | None = row["result"]
    if row["kind"] == StepKind.PREPARE.value:
        return None if result is None else jsontext.dumps(renamed(json.loads(result), ids))
    return _text(result, ids, '"child_run_id":"')


def _input(text: str, ids: Ids, *, keeps_webhook: bool) -> str:
    """A run's input. If the run was forked from a failed one, it names the copies of that run and of its members."""
    if '"fork":' not in text and '"webhook_url":' not in text:
        return text
    run_input = json.loads(text)
    options = run_input.get("options", {})
    if "fork" in options:
        options["fork"] = renamed(options["fork"], ids)
    if not keeps_webhook:
        options.pop("webhook_url", None)
    return jsontext.dumps(run_input)


def _text(text: str | None, ids: Ids, *marks: str) -> str | None:
    """Stored JSON with the ids of the copies. It is parsed only if it contains a mark of a reference."""
    if text is None or not any(mark in text for mark in marks):
        return text
    return jsontext.dumps(renamed(json.loads(text), ids))


def renamed(value: Json, ids: Ids) -> Json:
    """One of musterd's records with the ids of the copies in place of the originals'."""
    if isinstance(value, list):
        return [renamed(item, ids) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _renamed_at(name, item, ids) for name, item in value.items()}


def _renamed_at(name: str, item: Json, ids: Ids) -> Json:
    if name in _USER_CONTENT:
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
