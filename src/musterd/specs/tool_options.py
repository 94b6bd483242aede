"""Options of agents and teams: how tools are called."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.specs.compression import CompressionManager
from musterd.specs.options import ANYTHING, FLAG, Kind, about

_COMPRESSION = Kind(words="a CompressionManager(…)", accepts=lambda value: isinstance(value, CompressionManager))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ToolCallOptions:
    """How tools are called."""

    tool_choice: Any = field(default=None, metadata=about(ANYTHING, "Which tool must be called.", later=True, yaml=str))
    tool_hooks: Sequence[Any] | None = field(
        default=None, metadata=about(ANYTHING, "Functions around tool calls.", later=True)
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
