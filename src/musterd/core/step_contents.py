"""Contents of steps of workflows that are stored once: in the journal, and elsewhere as references to it.

A record of a step (a StepOutput as JSON, with the keys of AgentOS) has a large content in the journal, and under
``content_at`` where. Events and outputs of runs contain such records; they are filled in when they are shown. Only the
keys of records are looked at, never what is in a content, so that a content cannot refer to anything.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from musterd.core import jsontext
from musterd.core.events import Event, EventKind
from musterd.core.jsontypes import Json, JsonObject

MAX_INLINE = 4096
"""The most characters of a content that is stored in place. A longer one is stored once, in the journal."""
AT = "content_at"
"""The key of a record that says where its content is stored.

It has the ``path`` of a step, the number of ``characters``, ``json`` if the text is JSON, and ``cut_to`` if only so
many characters are shown. A text that is made of several contents has ``parts`` in place of the path: texts, and
places.
"""
_NESTED = ("steps", "step_results")
_KINDS = frozenset(
    {
        *(EventKind.STEP_OUTPUT, EventKind.STEP_COMPLETED, EventKind.STEPS_COMPLETED, EventKind.PARALLEL_COMPLETED),
        *(EventKind.LOOP_ITERATION_COMPLETED, EventKind.LOOP_COMPLETED, EventKind.CONDITION_COMPLETED),
        *(EventKind.ROUTER_COMPLETED, EventKind.RUN_COMPLETED),
    }
)


def place(path: str, characters: int, *, is_json: bool) -> JsonObject:
    """Where the content of a step is stored.

    :param path: the path of its journal step.
    """
    at: JsonObject = {"path": path, "characters": characters}
    return {**at, "json": True} if is_json else at


def without_place(record: JsonObject) -> JsonObject:
    """A record without the place of its content."""
    return {name: value for name, value in record.items() if name != AT}


def places_in(records: Json) -> Iterator[JsonObject]:
    """The places of the contents of a record, or of records in lists, and of those below them."""
    if isinstance(records, list):
        for item in records:
            yield from places_in(item)
    elif isinstance(records, dict):
        if AT in records:
            yield records[AT]
        for name in _NESTED:
            if name in records:
                yield from places_in(records[name])


def places_in_event(event: Event) -> Iterator[JsonObject]:
    """The places of the contents that an event shows."""
    if event.kind in _KINDS:
        yield from places_in(event.data.get("output"))
        yield from places_in(event.data.get("outputs"))


def characters_shown(event: Event) -> int:
    """How many characters of contents an event shows in addition to its own texts."""
    return sum(min(at["characters"], at.get("cut_to", at["characters"])) for at in places_in_event(event))


def paths_of(places: Iterable[JsonObject]) -> set[str]:
    """The paths of the journal steps with these contents."""
    return {part["path"] for at in places for part in at.get("parts", (at,)) if not isinstance(part, str)}


def filled(records: Json, texts: Mapping[str, str]) -> Json:
    """A record, or records in lists, with their contents.

    :param texts: the contents by the path of their journal steps.
    """
    if isinstance(records, list):
        return [filled(item, texts) for item in records]
    if not isinstance(records, dict):
        return records
    record = without_place(records)
    record |= {name: filled(record[name], texts) for name in _NESTED if name in record}
    if AT in records:
        record["content"] = _content(records[AT], texts)
    return record


def filled_event(event: Event, texts: Mapping[str, str]) -> Event:
    """An event with the contents that it shows."""
    data: JsonObject = {name: filled(event.data[name], texts) for name in ("output", "outputs") if name in event.data}
    return replace(event, data={**event.data, **data})


def _content(at: JsonObject, texts: Mapping[str, str]) -> Json:
    if "parts" in at:
        content: Json = "".join(part if isinstance(part, str) else _text(part, texts) for part in at["parts"])
    elif (content := texts.get(at["path"])) is not None and at.get("json"):
        content = json.loads(content)
    if (most := at.get("cut_to")) is None or content is None:
        return content
    text = content if isinstance(content, str) else jsontext.dumps(content)
    return f"{text[:most]}…"


def _text(at: JsonObject, texts: Mapping[str, str]) -> str:
    text = texts.get(at["path"], "")
    return json.dumps(json.loads(text), indent=2, ensure_ascii=False) if at.get("json") and text else text
