"""Options of agents and teams: how tools are called."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.specs.options import ANYTHING, FLAG, Kind, about

HOOKS = Kind(
    words="a list of functions",
    accepts=lambda value: isinstance(value, list | tuple) and all(callable(hook) for hook in value),
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ToolCallOptions:
    """How tools are called."""

    tool_choice: Any = field(default=None, metadata=about(ANYTHING, "Which tool must be called.", later=True, yaml=str))
    tool_hooks: Sequence[Callable[..., Any]] | None = field(
        default=None, metadata=about(HOOKS, "Functions around each tool call, the first one outermost.")
    )
    compress_tool_results: bool = field(default=False, metadata=about(FLAG, "Shorten tool results.", later=True))
    compression_manager: Any = field(
        default=None, metadata=about(ANYTHING, later=True, part_of="compress_tool_results")
    )
