"""The option ``tool_choice``: which tool a run's first turn must call."""

from collections.abc import Mapping
from typing import Any


def read_tool_choice(value: Any) -> str | None:
    """Parse ``tool_choice`` into ``auto``, ``none``, ``required`` or the name of a tool.

    A tool may be named as in OpenAI's requests: ``{"type": "function", "function": {"name": …}}`` (Chat Completions) or
    ``{"type": "function", "name": …}`` (Responses).

    :returns: None if ``value`` is not a valid choice.
    """
    if isinstance(value, Mapping) and value.get("type", "function") == "function":
        function = value.get("function", value)
        value = function.get("name") if isinstance(function, Mapping) else None
    return value if isinstance(value, str) and value else None
