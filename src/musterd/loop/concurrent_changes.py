"""Merging of values that concurrent calls changed, each in a copy of its own.

Changes of different entries of an object all count, at any depth. So do items that calls add to a list, remove from it
or change in place. If two calls set the same value, or one of them replaces a list, the later one wins.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Final

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject

MAX_ALIGNED = 2_000
"""The most items that a call changed in a list, before and after together, that are compared with each other."""


class _Missing:
    """The value of an entry that does not exist."""


MISSING: Final = _Missing()

Value = Json | _Missing


@dataclass(frozen=True, slots=True)
class _Edit:
    """What a call did to a list.

    :param added: the items that it put before the item at an index, which may be the end of the list.
    :param left: what it left in place of the item at an index.
    """

    added: dict[int, list[Json]] = field(default_factory=dict)
    left: dict[int, Value] = field(default_factory=dict)


def merged(before: Value, versions: Sequence[Value]) -> Value:
    """The value after concurrent changes.

    :param before: the value that each call got.
    :param versions: the value that each call left, in the order of the calls.
    """
    changed = [version for version in versions if version is not before and version != before]
    if len(changed) <= 1:
        return changed[0] if changed else before
    objects = [version for version in changed if isinstance(version, dict)]
    if len(objects) == len(changed) and (before is MISSING or isinstance(before, dict)):
        return _merged_objects(before if isinstance(before, dict) else {}, objects)
    lists = [version for version in changed if isinstance(version, list)]
    if len(lists) == len(changed) and (before is MISSING or isinstance(before, list)):
        return _merged_lists(before if isinstance(before, list) else [], lists)
    return changed[-1]


def _merged_objects(before: JsonObject, versions: list[JsonObject]) -> JsonObject:
    result: JsonObject = {}
    for key in dict.fromkeys(key for entries in (before, *versions) for key in entries):
        value = merged(before.get(key, MISSING), [version.get(key, MISSING) for version in versions])
        if value is not MISSING:
            result[key] = value
    return result


def _merged_lists(before: list[Json], versions: list[list[Json]]) -> list[Json]:
    edits = []
    for version in versions:
        edit = _edit(before, version)
        if edit is None:
            return versions[-1]
        edits.append(edit)
    result: list[Json] = []
    position = 0
    for index in sorted({index for edit in edits for index in (*edit.added, *edit.left)}):
        result += before[position:index]
        for edit in edits:
            result += edit.added.get(index, ())
        position = index + 1
        if index < len(before):
            item = merged(before[index], [edit.left[index] for edit in edits if index in edit.left])
            if item is not MISSING:
                result.append(item)
    return result + before[position:]


def _edit(before: list[Json], after: list[Json]) -> _Edit | None:
    """What a call did to a list; None if it replaced it."""
    start = _common(before, after)
    end = _common(before[start:][::-1], after[start:][::-1])
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    edit = _Edit()
    if not old or not new:  # the most frequent changes, of lists of any length
        if new:
            edit.added[start] = new
        edit.left.update((start + place, MISSING) for place in range(len(old)))
        return edit
    if len(old) + len(new) > MAX_ALIGNED:
        return None
    matcher = SequenceMatcher(None, [jsontext.dumps(item) for item in old], [jsontext.dumps(item) for item in new])
    codes = matcher.get_opcodes()
    if len(old) != len(new) and len(old) == len(before) and all(code != "equal" for code, *_ in codes):
        return None
    for code, old_start, old_end, new_start, new_end in codes:
        if code != "equal":
            changed = min(old_end - old_start, new_end - new_start)
            for place in range(old_end - old_start):
                edit.left[start + old_start + place] = new[new_start + place] if place < changed else MISSING
            if added := new[new_start + changed : new_end]:
                edit.added[start + old_end] = added
    return edit


def _common(first: list[Json], second: list[Json]) -> int:
    """How many items at the beginning are the same."""
    pairs = zip(first, second, strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(first), len(second)))
