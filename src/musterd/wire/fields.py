"""One field of a request at a time: form text or native JSON in, a value or None out, problems noted.

Empty text reads as absent everywhere, as the peer's forms do.
"""

import math
from collections.abc import Mapping
from typing import Any

from musterd.core import jsontext
from musterd.core.errors import InvalidInput
from musterd.core.ids import MAX_LENGTH, has_control
from musterd.wire.problems import MISSING, Problems

JSON_DEPTH = 100
"""Nesting that a JSON field may have: what stores and sends it later must not run out of stack."""

YEAR_SECONDS = 366 * 24 * 3600

NOT_STORABLE = "Text must not contain NUL or lone surrogates"

_BOOLS: dict[str, bool] = {
    **dict.fromkeys(("true", "1", "on", "yes", "t", "y"), True),
    **dict.fromkeys(("false", "0", "off", "no", "f", "n"), False),
}


class Fields:
    """The fields of one request, read by name and kind."""

    def __init__(self, values: Mapping[str, Any], part: str = "body") -> None:
        self.values = values
        self.problems = Problems(part)

    @classmethod
    def of_object(cls, body: Any) -> "Fields":
        """The fields of a JSON body.

        :raises InvalidInput: it is no object.
        """
        if not isinstance(body, dict):
            raise InvalidInput.at(("body",), "dict_type", "Input should be a JSON object")
        return cls(body)

    def given(self, name: str) -> Any:
        """The raw value of a field, or None when it is absent, null or empty text."""
        value = self.values.get(name)
        return None if isinstance(value, str) and not value else value

    def text(self, name: str) -> str | None:
        """A text without NUL and lone surrogates."""
        value = self.given(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self.problems.add(name, "string_type", "Input should be a valid string")
            return None
        if not jsontext.is_storable(value):
            self.problems.add(name, "string_unicode", NOT_STORABLE)
            return None
        return value

    def message(self) -> str:
        """The text of the field ``message``, which says something: "" where it is missing."""
        value = self.given("message")
        if value is None or (isinstance(value, str) and not value.strip()):
            self.problems.add("message", *MISSING)
            return ""
        return self.text("message") or ""

    def identifier(self, name: str) -> str | None:
        """An opaque id: up to 255 characters, none of them a control character."""
        value = self.text(name)
        if value is None:
            return None
        if len(value) > MAX_LENGTH:
            self.problems.add(name, "string_too_long", f"String should have at most {MAX_LENGTH} characters", value)
            return None
        if has_control(value):
            msg = "String should not contain control characters"
            self.problems.add(name, "string_pattern_mismatch", msg, value)
            return None
        return value

    def flag(self, name: str) -> bool | None:
        """A bool: native, or one of true/false/1/0/on/off/yes/no/t/f/y/n in any case."""
        value = self.given(name)
        if value is None or isinstance(value, bool):
            return value
        found = _BOOLS.get(str(value).lower()) if isinstance(value, (str, int)) else None
        if found is None:
            msg = "Input should be a valid boolean, unable to interpret input"
            self.problems.add(name, "bool_parsing", msg, value)
        return found

    def whole(self, name: str, low: int | None = None, high: int | None = None) -> int | None:
        """A whole number, native or as text, within the bounds that are given."""
        value = self.given(name)
        if value is None:
            return None
        number = _whole_number(value)
        if number is None:
            msg = "Input should be a valid integer, unable to parse string as an integer"
            self.problems.add(name, "int_parsing", msg, value)
        elif low is not None and number < low:
            msg = f"Input should be greater than or equal to {low}"
            self.problems.add(name, "greater_than_equal", msg, value)
        elif high is not None and number > high:
            self.problems.add(name, "less_than_equal", f"Input should be less than or equal to {high}", value)
        else:
            return number
        return None

    def seconds(self, name: str, *, takes_zero: bool = True) -> float | None:
        """A duration, native or as text, of at most a year."""
        value = self.given(name)
        if value is None:
            return None
        found = _finite_number(value)
        if found is None:
            msg = "Input should be a valid number, unable to parse string as a number"
            self.problems.add(name, "float_parsing", msg, value)
        elif found < 0 and takes_zero:
            self.problems.add(name, "greater_than_equal", "Input should be greater than or equal to 0", value)
        elif found <= 0 and not takes_zero:
            self.problems.add(name, "greater_than", "Input should be greater than 0", value)
        elif found > YEAR_SECONDS:
            msg = f"Input should be less than or equal to {YEAR_SECONDS}"
            self.problems.add(name, "less_than_equal", msg, value)
        else:
            return found
        return None

    def choice(self, name: str, words: tuple[str, ...]) -> str | None:
        """One of ``words``."""
        value = self.given(name)
        if value is None or value in words:
            return None if value is None else str(value)
        known = ", ".join(f"'{word}'" for word in words[:-1]) + f" or '{words[-1]}'"
        self.problems.add(name, "enum", f"Input should be {known}", value)
        return None

    def texts(self, name: str, *, most: int, characters: int) -> list[str] | None:
        """A native list of at most ``most`` texts, each of 1 to ``characters`` characters."""
        value = self.given(name)
        if value is None:
            return None
        if not isinstance(value, list):
            self.problems.add(name, "list_type", "Input should be a list of texts")
            return None
        if len(value) > most:
            self.problems.add(name, "too_long", f"List should have at most {most} items")
            return None
        for place, item in enumerate(value):
            if not isinstance(item, str) or not 0 < len(item) <= characters:
                msg = f"Input should be a text of 1 to {characters} characters"
                self.problems.add((name, place), "string_type", msg, item)
            elif not jsontext.is_storable(item):
                self.problems.add((name, place), "string_unicode", NOT_STORABLE)
        return value

    def json_object(self, name: str) -> dict[str, Any] | None:
        """An object, native or as JSON text; ``null`` reads as absent."""
        value = self.json_value(name)
        if value is not None and not isinstance(value, dict):
            self.problems.add(name, "dict_type", "Input should be a JSON object", self.values[name])
            return None
        return value

    def json_list(self, name: str, most_parts: int | None = None) -> list[Any] | None:
        """A list, native or as JSON text; ``null`` reads as absent."""
        value = self.json_value(name, most_parts)
        if value is not None and not isinstance(value, list):
            self.problems.add(name, "list_type", "Input should be a JSON list", self.values[name])
            return None
        return value

    def json_value(self, name: str, most_parts: int | None = None) -> Any:
        """A JSON value, native or as text: no NaN, no NUL, no lone surrogate, not nested too deeply.

        :param most_parts: how many values a text may hold, where it may be longer than a field.
        """
        value = self.given(name)
        if isinstance(value, str):
            if most_parts is not None and jsontext.max_values(value) > most_parts:
                self.problems.add(name, "too_long", f"Input should hold at most {most_parts} values", value)
                return None
            try:
                value = jsontext.loads(value)
            except (ValueError, RecursionError):
                self.problems.add(name, "json_invalid", "Invalid JSON", value)
                return None
        if (problem := json_problem(value)) is not None:
            self.problems.add(name, *problem)
            return None
        return value


def json_problem(value: Any) -> tuple[str, str] | None:
    """What makes a parsed JSON value unfit to be stored: its kind and words, or None."""
    level = [value]
    for _ in range(JSON_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                if not jsontext.is_storable(item):
                    return "string_unicode", NOT_STORABLE
            elif isinstance(item, float):
                if not math.isfinite(item):
                    return "finite_number", "Input should be a finite number"
            elif isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return None
        level = below
    return "recursion_limit", f"Input should not be nested more than {JSON_DEPTH} levels deep"


def _whole_number(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= 20:
        try:
            return int(value)
        except ValueError:
            return None
    return None


def _finite_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and len(value) > 40:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
