"""Session state inside a run: concurrent calls work on copies, their changes meet at the join.

A change is a key set or removed at the top level. Whoever stands later in the turn wins a key that two changed.
"""

import copy

from musterd.core.jsontypes import JsonObject


def copied(state: JsonObject) -> JsonObject:
    """A state of its own for one call."""
    return copy.deepcopy(state)


def delta(before: JsonObject, after: JsonObject) -> JsonObject | None:
    """What changed: {"set": {key: value}, "removed": [key]}, or None when nothing did."""
    changed = {key: value for key, value in after.items() if key not in before or before[key] != value}
    removed = [key for key in before if key not in after]
    return {"set": changed, "removed": removed} if changed or removed else None


def merge(state: JsonObject, change: JsonObject | None) -> None:
    """Apply a change."""
    if change is not None:
        state.update(change["set"])
        for key in change["removed"]:
            state.pop(key, None)
