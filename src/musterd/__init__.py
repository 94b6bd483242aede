"""musterd: a self-hosted server for durable multi-agent team runs.

The front door: what users declare (:class:`Agent`, :class:`Team`, :func:`tool`), how they serve it
(:func:`create_app`), and the clients of a server (:class:`Client`, :class:`AsyncClient`). Names are imported on first
use, so that ``musterd --help`` stays cheap.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from musterd.app import create_app
    from musterd.client import AsyncClient, Client
    from musterd.core.settings import Settings
    from musterd.declare import (
        Agent,
        Budget,
        Condition,
        Knowledge,
        Loop,
        MCPServer,
        MemoryManager,
        OutcomeUnknown,
        Parallel,
        RetryTool,
        Router,
        RunContext,
        Schedule,
        SessionSummaryManager,
        Step,
        StepInput,
        StepOutput,
        Steps,
        Team,
        Tool,
        ToolContext,
        Toolkit,
        Workflow,
        WorkflowAgent,
        WorkflowExecutionInput,
        pause,
        tool,
    )
    from musterd.declare.compression_manager import CompressionManager
    from musterd.declare.tool_result import Media, ToolResult
    from musterd.declare.user_input_tools import ask_user, get_user_input
    from musterd.declare.workflow import CEL_AVAILABLE, OnError, OnReject, UserInputField
    from musterd.features.schedules.schedule_manager import ScheduleManager
    from musterd.features.schedules.toolkit import SchedulerTools
    from musterd.loop.reasoning_tools import ReasoningTools

__version__ = "0.1.0"

__all__ = [
    "CEL_AVAILABLE",
    "Agent",
    "AsyncClient",
    "Budget",
    "Client",
    "CompressionManager",
    "Condition",
    "Knowledge",
    "Loop",
    "MCPServer",
    "Media",
    "MemoryManager",
    "OnError",
    "OnReject",
    "OutcomeUnknown",
    "Parallel",
    "ReasoningTools",
    "RetryTool",
    "Router",
    "RunContext",
    "Schedule",
    "ScheduleManager",
    "SchedulerTools",
    "SessionSummaryManager",
    "Settings",
    "Step",
    "StepInput",
    "StepOutput",
    "Steps",
    "Team",
    "Tool",
    "ToolContext",
    "ToolResult",
    "Toolkit",
    "UserInputField",
    "Workflow",
    "WorkflowAgent",
    "WorkflowExecutionInput",
    "__version__",
    "ask_user",
    "create_app",
    "get_user_input",
    "pause",
    "tool",
]

_HOMES = {
    "CEL_AVAILABLE": "musterd.declare.workflow",
    "UserInputField": "musterd.declare.workflow",
    "OnReject": "musterd.declare.workflow",
    "OnError": "musterd.declare.workflow",
    "Agent": "musterd.declare",
    "AsyncClient": "musterd.client",
    "Client": "musterd.client",
    "Budget": "musterd.declare",
    "CompressionManager": "musterd.declare.compression_manager",
    "Knowledge": "musterd.declare",
    "MCPServer": "musterd.declare",
    "MemoryManager": "musterd.declare",
    "OutcomeUnknown": "musterd.declare",
    "RetryTool": "musterd.declare",
    "RunContext": "musterd.declare",
    "Schedule": "musterd.declare",
    "ScheduleManager": "musterd.features.schedules.schedule_manager",
    "SchedulerTools": "musterd.features.schedules.toolkit",
    "SessionSummaryManager": "musterd.declare",
    "Media": "musterd.declare.tool_result",
    "ReasoningTools": "musterd.loop.reasoning_tools",
    "Settings": "musterd.core.settings",
    "Team": "musterd.declare",
    "Tool": "musterd.declare",
    "ToolContext": "musterd.declare",
    "Toolkit": "musterd.declare",
    "ToolResult": "musterd.declare.tool_result",
    "ask_user": "musterd.declare.user_input_tools",
    "create_app": "musterd.app",
    "get_user_input": "musterd.declare.user_input_tools",
    "tool": "musterd.declare",
    "Condition": "musterd.declare",
    "Loop": "musterd.declare",
    "Parallel": "musterd.declare",
    "Router": "musterd.declare",
    "Step": "musterd.declare",
    "StepInput": "musterd.declare",
    "StepOutput": "musterd.declare",
    "Steps": "musterd.declare",
    "Workflow": "musterd.declare",
    "WorkflowAgent": "musterd.declare",
    "WorkflowExecutionInput": "musterd.declare",
    "pause": "musterd.declare",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'musterd' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
