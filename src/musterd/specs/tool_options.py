"""Options of agents and teams: how tools are called."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.specs.compression import CompressionManager
from musterd.specs.options import FLAG, Kind, about

HOOKS = Kind(
    words="a list of functions",
    accepts=lambda value: isinstance(value, list | tuple) and all(callable(hook) for hook in value),
)


def _is_choice(value: Any) -> bool:
    if isinstance(value, Mapping):
        function = value.get("function")
        return isinstance(function, Mapping) and isinstance(function.get("name"), str)
    return isinstance(value, str) and bool(value)


TOOL_CHOICE = Kind(words='"auto", "none", "required", or the name of a tool', accepts=_is_choice, yaml=str)
_COMPRESSION = Kind(words="a CompressionManager(…)", accepts=lambda value: isinstance(value, CompressionManager))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ToolCallOptions:
    """How tools are called."""

    tool_choice: str | Mapping[str, Any] | None = field(
        default=None,
        metadata=about(
            TOOL_CHOICE,
            "`auto`; `none`: its model calls no tool; `required`, or a tool's name: its first answer is a call, later "
            "ones are as it likes.",
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
