"""JSON values in requests, and what makes them unfit to be stored."""

import math
from typing import Any

from musterd.core import jsontext

JSON_DEPTH = 100
"""The maximum nesting of a JSON field. Code that stores and sends it later must not run out of stack."""

NOT_STORABLE = "Text must not contain NUL or lone surrogates"


def json_problem(value: Any) -> tuple[str, str] | None:
    """The type and the message of the first problem of a parsed JSON value, or None."""
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
