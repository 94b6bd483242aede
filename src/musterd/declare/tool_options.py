"""Options of agents and teams: how tools are called."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.declare.compression_manager import CompressionManager
from musterd.declare.options import FLAG, Kind, about

HOOKS = Kind(
    words="a list of functions",
    accepts=lambda value: isinstance(value, list | tuple) and all(callable(hook) for hook in value),
)


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


TOOL_CHOICE = Kind(
    words='"auto", "none", "required", or the name of a tool',
    accepts=lambda value: read_tool_choice(value) is not None,
    yaml=str,
)
_COMPRESSION = Kind(words="a CompressionManager(…)", accepts=lambda value: isinstance(value, CompressionManager))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ToolCallOptions:
    """How tools are called."""

    tool_choice: str | Mapping[str, Any] | None = field(
        default=None,
        metadata=about(
            TOOL_CHOICE,
            "`auto`; `none`: its model calls no tool; `required`, or a tool's name: its first answer is a call, later "
            "ones are as it likes. In Python a tool can be named as in OpenAI's requests, too.",
        ),
    )
    tool_hooks: Sequence[Callable[..., Any]] | None = field(
        default=None, metadata=about(HOOKS, "Functions around each tool call, the first one outermost.")
    )
    compress_tool_results: bool = field(
        default=False, metadata=about(FLAG, "Tool results are shortened by a model once there are three of them.")
    )
    compression_manager: Any = field(
        default=None,
        metadata=about(
            _COMPRESSION, "When and how: a `CompressionManager(…)`; alone it turns `compress_tool_results` on."
        ),
    )
