"""Reads JSON values of unknown types, which another program has stored."""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from musterd.core import jsontext
from musterd.core.jsontext import storable
from musterd.core.jsontypes import Json, JsonObject

END_OF_TIME = 221_845_392_000
"""The year 9000. A date can represent years before 10000, and runs end later than they start. Larger numbers are not
seconds; they may be milliseconds."""
MAX_SECONDS = 366 * 86_400.0
"""The maximum duration of a run or a call. Larger numbers are not seconds either."""
MAX_NESTING = 200
"""The maximum nesting of a value. Python's JSON encoder fails at about 1000 levels, and clients have lower limits."""


class Unreadable(Exception):
    """A stored value does not have AgentOS's format. The message names the value."""


@contextlib.contextmanager
def converting() -> Iterator[None]:
    """Converts a row or a run: an error that a value of an unexpected type causes concerns only this one.

    :raises Unreadable: there was such an error.
    """
    try:
        yield
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        reason = storable(f"{type(error).__name__}: {error}")
        raise Unreadable(f"it has a value that cannot be converted ({reason[:200]})") from error


def require_shallow(value: Json) -> None:
    """Check the nesting of a value.

    :raises Unreadable: it is nested too deeply.
    """
    level, items = 0, [value]
    while items := [item for item in items if isinstance(item, dict | list)]:
        level += 1
        if level > MAX_NESTING:
            raise Unreadable(f"it is nested deeper than {MAX_NESTING} levels")
        items = [child for item in items for child in (item.values() if isinstance(item, dict) else item)]


def parse(text: Json, name: str) -> Json:
    """Parse the text of a JSON column.

    :param name: the name of the column, for the error message.
    :raises Unreadable: the column does not contain JSON.
    """
    if text is None:
        return None
    try:
        # Python writes and reads NaN and infinity, although they are not JSON. musterd's databases cannot store them.
        return json.loads(text, parse_constant=lambda constant: None, parse_float=_finite)
    except (TypeError, ValueError, RecursionError) as error:
        raise Unreadable(f"{name} is not JSON") from error


def parse_encoded(text: Json, name: str) -> Json:
    """Parse a column whose values AgentOS may encode twice: in SQLite it stores a JSON string that contains JSON.

    :raises Unreadable: the column does not contain JSON.
    """
    value = parse(text, name)
    return parse(value, name) if isinstance(value, str) else value


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def object_in(value: Mapping[str, Json], name: str) -> JsonObject:
    """An object; empty if it is missing.

    :raises Unreadable: the value is not an object.
    """
    item = value.get(name)
    if item is None:
        return {}
    if not isinstance(item, dict):
        raise Unreadable(f"{name} is not an object")
    return item


def objects_in(value: Mapping[str, Json], name: str) -> list[JsonObject]:
    """A list of objects without its nulls; empty if it is missing.

    :raises Unreadable: the value is not a list of objects.
    """
    items = value.get(name)
    if items is None:
        return []
    if not isinstance(items, list):
        raise Unreadable(f"{name} is not a list")
    objects = [item for item in items if item is not None]
    if not all(isinstance(item, dict) for item in objects):
        raise Unreadable(f"{name} is not a list of objects")
    return objects


def text_in(value: Mapping[str, Json], name: str) -> str | None:
    """A text that every database can store; None if it is missing or empty."""
    item = value.get(name)
    return jsontext.storable(text_of(item)) if item not in (None, "") else None


def text_of(value: Json) -> str:
    """A value as text: a string unchanged, null as an empty string, anything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else jsontext.dumps(value)


def count_in(value: Mapping[str, Json], name: str) -> int:
    """A count; 0 if it is missing or negative."""
    number = number_in(value, name)
    return 0 if number is None else max(int(number), 0)


def number_in(value: Mapping[str, Json], name: str) -> float | None:
    """A number; None if it is missing or too large."""
    item = value.get(name)
    if isinstance(item, bool) or not isinstance(item, int | float):
        return None
    return float(item) if abs(item) < 2**63 else None


def seconds_in(value: Mapping[str, Json], name: str) -> float | None:
    """A duration in seconds; None if it is missing, negative, or longer than any run."""
    seconds = number_in(value, name)
    return seconds if seconds is not None and 0 <= seconds <= MAX_SECONDS else None


def time_in(value: Mapping[str, Json], name: str) -> float | None:
    """A time in Unix seconds; None if it is missing or invalid. AgentOS stores seconds, and in some places ISO 8601."""
    item = value.get(name)
    seconds = _seconds(item) if isinstance(item, str) else number_in(value, name)
    return seconds if seconds is not None and 0 <= seconds < END_OF_TIME else None


def _seconds(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # A time without a zone is the local time of AgentOS's machine, which on most servers is UTC.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
