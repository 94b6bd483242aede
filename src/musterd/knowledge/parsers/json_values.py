"""JSON: each value with its keys. The items of a list on the top level are paragraphs."""

import json
from collections.abc import Iterator

from musterd.knowledge.problems import Unreadable
from musterd.knowledge.texts import decoded


def pieces(content: bytes, charset: str | None) -> Iterator[tuple[str, str | None]]:
    """All values."""
    value = _parsed(decoded(content, charset))
    items = value if isinstance(value, list) else [value]
    yield "\n\n".join("\n".join(_lines(item, "")) for item in items), None


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        try:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            raise Unreadable(f"The JSON file is not valid JSON{_place(error)}.") from error


def _place(error: ValueError) -> str:
    return f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""


def _lines(value: object, path: str) -> Iterator[str]:
    label = f"{path}: " if path else ""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _lines(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for number, item in enumerate(value, 1):
            yield from _lines(item, f"{path}.{number}" if path else str(number))
    elif isinstance(value, list):
        if value:
            yield label + ", ".join(_scalar(item) for item in value)
    elif value is not None and value != "":
        yield label + _scalar(value)


def _scalar(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
