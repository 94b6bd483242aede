"""Session state inside a run: concurrent calls work on copies, their changes meet at the join.

A change is a key set or removed at the top level; of the task list, a task. Whoever stands later in the turn wins what
two changed.
"""

import copy

from musterd.core.jsontypes import JsonObject
from musterd.loop import tasks


def copied(state: JsonObject) -> JsonObject:
    """A state of its own for one call."""
    return copy.deepcopy(state)


def delta(before: JsonObject, after: JsonObject) -> JsonObject | None:
    """What changed: {"set": {key: value}, "removed": [key]}, or None when nothing did.

    The task list is not among the keys that are set: "tasks" has what :func:`musterd.loop.tasks.delta` says.
    """
    change = changed_keys(before, after) or {"set": {}, "removed": []}
    if change["set"].pop(tasks.KEY, None) is not None:
        change["tasks"] = tasks.delta(before.get(tasks.KEY), after.get(tasks.KEY))
    return change if any(change.values()) else None


def changed_keys(before: JsonObject, after: JsonObject) -> JsonObject | None:
    """What changed, key by key: how a run's end merges into its session."""
    changed = {key: value for key, value in after.items() if key not in before or before[key] != value}
    removed = [key for key in before if key not in after]
    return {"set": changed, "removed": removed} if changed or removed else None


def without_tasks(change: JsonObject | None) -> JsonObject | None:
    """A change as far as it is none of the task list."""
    return None if change is None else {name: value for name, value in change.items() if name != "tasks"}


def merge(state: JsonObject, change: JsonObject | None) -> None:
    """Apply a change."""
    if change is not None:
        state.update(change["set"])
        for key in change["removed"]:
            state.pop(key, None)
        if change.get("tasks"):
            tasks.merge(state, change["tasks"])
