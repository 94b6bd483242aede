"""Options for the calls of a tool: hooks, retries and cached results."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from musterd.core import clock
from musterd.declare.source_location import Place, declaration_error, describe_type

if TYPE_CHECKING:
    from musterd.declare.tools import Tool

MAX_CACHED_RESULTS = 256
"""The most cached results of one tool; the least recently used ones are dropped first."""
MAX_CACHED_CHARACTERS = 64 * 1024
"""The longest result that is cached."""


@dataclass(slots=True, kw_only=True)
class FunctionCall:
    """One tool call, as ``pre_hook`` and ``post_hook`` receive it in ``fc``.

    :param arguments: the arguments of the call; ``pre_hook`` may change them.
    :param result: the result; None before the call and if it failed.
    :param error: why the call failed.
    """

    function: Tool
    arguments: dict[str, Any]
    call_id: str
    result: Any = None
    error: str | None = None


class ResultCache:
    """Cached results of one tool, in the memory of this process.

    :param seconds: how long a result is valid.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._results: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def get(self, key: str) -> str | None:
        """The cached result of an equal call, unless it has expired."""
        entry = self._results.get(key)
        if entry is None:
            return None
        expires_at, result = entry
        if expires_at < clock.monotonic():
            del self._results[key]
            return None
        self._results.move_to_end(key)
        return result

    def put(self, key: str, result: str) -> None:
        """Cache the result of a call, unless it is too long."""
        if len(result) <= MAX_CACHED_CHARACTERS:
            self._results[key] = (clock.monotonic() + self._seconds, result)
            if len(self._results) > MAX_CACHED_RESULTS:
                self._results.popitem(last=False)


def check_call_options(name: str, options: dict[str, Any], place: Place) -> dict[str, Any]:
    """Check the options of ``@tool`` about calls, and convert them to fields of :class:`musterd.Tool`.

    :raises DeclarationError: a value is not valid.
    """
    checked = dict(options)
    retries = checked.get("retries", 0)
    if not isinstance(retries, int) or isinstance(retries, bool) or not 0 <= retries <= 10:
        raise declaration_error(place, f"tool '{name}': retries is {retries!r}", "use a whole number from 0 to 10")
    seconds = checked.pop("cache_ttl", 3600)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0:
        raise declaration_error(place, f"tool '{name}': cache_ttl is {seconds!r}", "use a number of seconds above 0")
    if checked.pop("cache_results", False):
        checked["result_cache"] = ResultCache(seconds)
    hooks = checked.get("tool_hooks") or ()
    if not isinstance(hooks, list | tuple) or not all(callable(hook) for hook in hooks):
        raise declaration_error(
            place, f"tool '{name}': tool_hooks is not a list of functions", "use a list of functions"
        )
    checked["tool_hooks"] = tuple(hooks)
    for option in ("pre_hook", "post_hook"):
        if (hook := checked.get(option)) is not None and not callable(hook):
            raise declaration_error(place, f"tool '{name}': {option} is {describe_type(hook)}", "use a function")
    return checked
