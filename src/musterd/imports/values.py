"""Reading JSON values that another program has stored, whose types are not known."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject

END_OF_TIME = 253_402_300_800
"""The year 10000, the end of what a date can have. A later time is none; it may be given in milliseconds."""


class Unreadable(Exception):
    """A stored value does not have the form that AgentOS gives it. The message says which."""


def parse(text: Json, name: str) -> Json:
    """The value of a JSON column, which is read as text.

    :param name: the column, for the error.
    :raises Unreadable: the column does not contain JSON.
    """
    if text is None:
        return None
    try:
        # NaN and infinity are not JSON, but Python writes and reads them. No database of musterd can store them.
        return json.loads(text, parse_constant=lambda constant: None, parse_float=_finite)
    except (TypeError, ValueError, RecursionError) as error:
        raise Unreadable(f"its {name} is not JSON") from error


def parse_encoded(text: Json, name: str) -> Json:
    """The same of a column whose values AgentOS encodes, in SQLite, as JSON text before it stores them as JSON.

    :raises Unreadable: the column does not contain JSON.
    """
    value = parse(text, name)
    return parse(value, name) if isinstance(value, str) else value


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def object_in(value: Mapping[str, Json], name: str) -> JsonObject:
    """An object; empty if there is none.

    :raises Unreadable: it is something else.
    """
    item = value.get(name)
    if item is None:
        return {}
    if not isinstance(item, dict):
        raise Unreadable(f"its {name} is not an object")
    return item


def objects_in(value: Mapping[str, Json], name: str) -> list[JsonObject]:
    """A list of objects; empty if there is none. Nulls in it are left out.

    :raises Unreadable: it is something else.
    """
    items = value.get(name)
    if items is None:
        return []
    if not isinstance(items, list):
        raise Unreadable(f"its {name} is not a list")
    objects = [item for item in items if item is not None]
    if not all(isinstance(item, dict) for item in objects):
        raise Unreadable(f"its {name} is not a list of objects")
    return objects


def text_in(value: Mapping[str, Json], name: str) -> str | None:
    """A text that every database can store; None if there is none, or it is empty."""
    item = value.get(name)
    return jsontext.storable(text_of(item)) if item not in (None, "") else None


def text_of(value: Json) -> str:
    """A value as text: a text as it is, no value as an empty one, anything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else jsontext.dumps(value)


def count_in(value: Mapping[str, Json], name: str) -> int:
    """A number of something; 0 if there is none."""
    number = number_in(value, name)
    return 0 if number is None else max(int(number), 0)


def number_in(value: Mapping[str, Json], name: str) -> float | None:
    """A finite number; None if there is none."""
    item = value.get(name)
    if isinstance(item, bool) or not isinstance(item, int | float):
        return None
    return float(item) if abs(item) < 2**63 else None


def time_in(value: Mapping[str, Json], name: str) -> float | None:
    """A time as Unix seconds. AgentOS stores numbers of seconds, and in some places ISO 8601; None if there is none."""
    item = value.get(name)
    seconds = _seconds(item) if isinstance(item, str) else number_in(value, name)
    return seconds if seconds is not None and 0 <= seconds < END_OF_TIME else None


def _seconds(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # Without a zone it is the local time of AgentOS's machine. Most servers use UTC.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
