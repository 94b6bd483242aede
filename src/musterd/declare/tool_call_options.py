"""What stands around a tool's calls: hooks, tries, kept results."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from musterd.core import clock
from musterd.declare.source_location import Place, kind_of, wrong

if TYPE_CHECKING:
    from musterd.declare.tools import Tool

KEPT_RESULTS = 256
"""How many results of one tool are kept; those that were not used for longest go first."""
KEPT_CHARACTERS = 64 * 1024
"""The longest result that is kept."""


@dataclass(slots=True, kw_only=True)
class FunctionCall:
    """One call of a tool, as its ``pre_hook`` and ``post_hook`` see it in ``fc``.

    :param arguments: what the tool is called with; ``pre_hook`` may change it.
    :param result: what it gave; None before, and where it failed.
    :param error: why it failed.
    """

    function: Tool
    arguments: dict[str, Any]
    call_id: str
    result: Any = None
    error: str | None = None


class KeptResults:
    """Results of one tool in this process's memory, each for a while.

    :param seconds: how long a result is used again.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._kept: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def get(self, key: str) -> str | None:
        """The result of an equal call, unless it is too old."""
        found = self._kept.get(key)
        if found is None:
            return None
        until, result = found
        if until < clock.monotonic():
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return result

    def keep(self, key: str, result: str) -> None:
        """Keep the result of a call."""
        if len(result) <= KEPT_CHARACTERS:
            self._kept[key] = (clock.monotonic() + self._seconds, result)
            if len(self._kept) > KEPT_RESULTS:
                self._kept.popitem(last=False)


def check_extras(name: str, options: dict[str, Any], place: Place) -> dict[str, Any]:
    """What ``@tool`` says of the calls of the tool ``name``, in its stored form.

    :raises DeclarationError: a value that it cannot be.
    """
    extras = dict(options)
    retries = extras.get("retries", 0)
    if not isinstance(retries, int) or isinstance(retries, bool) or not 0 <= retries <= 10:
        raise wrong(place, f"tool '{name}': retries is {retries!r}", "give it a whole number from 0 to 10")
    seconds = extras.pop("cache_ttl", 3600)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0:
        raise wrong(place, f"tool '{name}': cache_ttl is {seconds!r}", "give it seconds above 0")
    if extras.pop("cache_results", False):
        extras["kept_results"] = KeptResults(seconds)
    hooks = extras.get("tool_hooks") or ()
    if not isinstance(hooks, list | tuple) or not all(callable(hook) for hook in hooks):
        raise wrong(place, f"tool '{name}': tool_hooks is no list of functions", "give it one")
    extras["tool_hooks"] = tuple(hooks)
    for option in ("pre_hook", "post_hook"):
        if (hook := extras.get(option)) is not None and not callable(hook):
            raise wrong(place, f"tool '{name}': {option} is {kind_of(hook)}", "give it a function")
    return extras
