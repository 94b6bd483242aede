"""musterd: a self-hosted server for durable multi-agent team runs.

The front door: what users declare (:class:`Agent`, :class:`Team`, :func:`tool`) and how they serve it
(:func:`create_app`). Names are imported on first use, so that ``musterd --help`` stays cheap.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from musterd.core.settings import Settings
    from musterd.http.app import create_app
    from musterd.specs import (
        Agent,
        Budget,
        MCPServer,
        OutcomeUnknown,
        RetryTool,
        RunContext,
        SessionSummaryManager,
        Team,
        Tool,
        ToolContext,
        Toolkit,
        tool,
    )
    from musterd.specs.compression import CompressionManager
    from musterd.specs.person_tools import ask_user, get_user_input
    from musterd.specs.tool_result import Media, ToolResult
    from musterd.team.reasoning_tools import ReasoningTools

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "Budget",
    "CompressionManager",
    "MCPServer",
    "Media",
    "OutcomeUnknown",
    "ReasoningTools",
    "RetryTool",
    "RunContext",
    "SessionSummaryManager",
    "Settings",
    "Team",
    "Tool",
    "ToolContext",
    "ToolResult",
    "Toolkit",
    "__version__",
    "ask_user",
    "create_app",
    "get_user_input",
    "tool",
]

_HOMES = {
    "Agent": "musterd.specs",
    "Budget": "musterd.specs",
    "CompressionManager": "musterd.specs.compression",
    "MCPServer": "musterd.specs",
    "OutcomeUnknown": "musterd.specs",
    "RetryTool": "musterd.specs",
    "RunContext": "musterd.specs",
    "SessionSummaryManager": "musterd.specs",
    "Media": "musterd.specs.tool_result",
    "ReasoningTools": "musterd.team.reasoning_tools",
    "Settings": "musterd.core.settings",
    "Team": "musterd.specs",
    "Tool": "musterd.specs",
    "ToolContext": "musterd.specs",
    "Toolkit": "musterd.specs",
    "ToolResult": "musterd.specs.tool_result",
    "ask_user": "musterd.specs.person_tools",
    "create_app": "musterd.http.app",
    "get_user_input": "musterd.specs.person_tools",
    "tool": "musterd.specs",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'musterd' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
