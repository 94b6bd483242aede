"""Session state within a run. Concurrent calls work on copies, and their changes are merged after the turn.

A change sets or removes a top-level key, or one task of the task list. If several calls of a turn change the same key,
its value is merged from what each of them left there (:mod:`musterd.loop.concurrent_changes`).

They work on copies, although Agno's share one object, because each change is stored with the result of its call. If
calls shared the state, a result could contain half of another call's change. After a crash, that call would be repeated
on top of it.
"""

import copy
from collections.abc import Iterable
from datetime import date
from uuid import UUID

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.loop import tasks
from musterd.loop.concurrent_changes import MISSING, Value, merged

MAX_VALUES = 100_000
"""Most JSON values of a state. Copies are made on the event loop, this many in about a tenth of a second."""


def copied(state: JsonObject) -> JsonObject:
    """A deep copy of the state, for one call."""
    try:
        return {name: _copied(value) for name, value in state.items()}
    except RecursionError:  # a tool has put something into the state that contains itself; storing it is refused
        return copy.deepcopy(state)


def _copied(value: Json) -> Json:
    # Five times as fast as copy.deepcopy, and a state is copied for each call.
    kind = type(value)
    if kind is dict:
        return {name: _copied(item) for name, item in value.items()}
    if kind is list:
        return [_copied(item) for item in value]
    return value if value is None or kind in (str, int, float, bool) else copy.deepcopy(value)


def delta(before: JsonObject, after: JsonObject) -> JsonObject | None:
    """The change from one state to another: {"set": {key: value}, "removed": [key]}, or None if they are equal.

    A change of the task list is not in "set" but under "tasks", as :func:`musterd.loop.tasks.delta` returns it.
    """
    change = changed_keys(before, after) or {"set": {}, "removed": []}
    if change["set"].pop(tasks.KEY, None) is not None:
        change["tasks"] = tasks.delta(before.get(tasks.KEY), after.get(tasks.KEY))
    return change if any(change.values()) else None


def changed_keys(before: JsonObject, after: JsonObject) -> JsonObject | None:
    """The change key by key, as it is merged into the session when the run finishes."""
    changed = {key: value for key, value in after.items() if key not in before or before[key] != value}
    removed = [key for key in before if key not in after]
    return {"set": changed, "removed": removed} if changed or removed else None


def as_json(state: JsonObject) -> tuple[JsonObject, str]:
    """A state or a change of one as JSON, and its text. Dates, times and UUIDs become text, as in Agno.

    :raises TypeError, ValueError: it has another value that is not JSON.
    """
    try:
        return state, jsontext.dumps(state)
    except TypeError:
        converted: JsonObject = _with_texts(state)
        return converted, jsontext.dumps(converted)


def _with_texts(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _with_texts(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_texts(item) for item in value]
    if isinstance(value, date):  # or a datetime
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def with_entries(state: JsonObject, added: JsonObject) -> JsonObject:
    """A state with the entries of ``added``. Objects that both have are merged, at any depth."""
    result = {**state}
    for key, value in added.items():
        before: Json = result.get(key)
        are_objects = isinstance(before, dict) and isinstance(value, dict)
        result[key] = with_entries(before, value) if are_objects else value
    return result


def without_tasks(change: JsonObject | None) -> JsonObject | None:
    """The change without the part that concerns the task list."""
    return None if change is None else {name: value for name, value in change.items() if name != "tasks"}


def merge(state: JsonObject, change: JsonObject | None) -> None:
    """Apply a change to ``state`` in place."""
    if change is not None:
        state.update(change["set"])
        for key in change["removed"]:
            state.pop(key, None)
        if change.get("tasks"):
            tasks.merge(state, change["tasks"])


def merge_concurrent(state: JsonObject, changes: Iterable[JsonObject | None]) -> None:
    """Apply the changes of concurrent calls to ``state`` in place.

    :param state: the state that each of them had a copy of.
    :param changes: their changes, in the order of the calls.
    """
    versions: dict[str, list[Value]] = {}
    task_changes: list[JsonObject] = []
    for change in changes:
        if change is not None:
            for key, value in change["set"].items():
                versions.setdefault(key, []).append(value)
            for key in change["removed"]:
                versions.setdefault(key, []).append(MISSING)
            if change.get("tasks"):
                task_changes.append(change["tasks"])
    for key, values in versions.items():
        value = merged(state.get(key, MISSING), values)
        if value is MISSING:
            state.pop(key, None)
        else:
            state[key] = value
    for task_change in task_changes:
        tasks.merge(state, task_change)
