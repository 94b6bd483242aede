"""Declarations of agents, teams, workflows and tools, in Python or YAML, and the errors about them.

A declaration is a frozen, keyword-only record (:class:`Agent`, :class:`Team`, :class:`Workflow`, :class:`Tool`) that
knows its source location. :func:`load` finds declarations in a file or module. :class:`Registry` checks them together
and resolves them into trees of :class:`Component`, which the other packages use. Errors are reported as one
:class:`musterd.core.errors.DeclarationError` with a line for each problem: ``file:line: problem — fix``.

Nothing here imports the SDK of a model provider. pydantic-ai is only used if it is already imported.
"""

from musterd.declare.agent import Agent
from musterd.declare.budget import Budget
from musterd.declare.component import BaseComponent, Component, models_of, named_schema
from musterd.declare.knowledge import Knowledge
from musterd.declare.load_source import load
from musterd.declare.mcp_server import MCPServer
from musterd.declare.memory_manager import MemoryManager
from musterd.declare.registry import Registry
from musterd.declare.run_context import RunContext
from musterd.declare.schedule import Schedule
from musterd.declare.summary_manager import SessionSummaryManager
from musterd.declare.team import Team
from musterd.declare.tool_errors import OutcomeUnknown, RetryTool
from musterd.declare.tool_list import ToolFactory, ToolSource
from musterd.declare.toolkit import Toolkit
from musterd.declare.tools import Tool, ToolArgumentsInvalid, ToolContext, tool
from musterd.declare.workflow import (
    Condition,
    Loop,
    Parallel,
    Router,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Workflow,
    WorkflowAgent,
    WorkflowExecutionInput,
    pause,
)
from musterd.declare.workflow.resolved import StepNode, WorkflowComponent

__all__ = [
    "Agent",
    "BaseComponent",
    "Budget",
    "Component",
    "Condition",
    "Knowledge",
    "Loop",
    "MCPServer",
    "MemoryManager",
    "OutcomeUnknown",
    "Parallel",
    "Registry",
    "RetryTool",
    "Router",
    "RunContext",
    "Schedule",
    "SessionSummaryManager",
    "Step",
    "StepInput",
    "StepNode",
    "StepOutput",
    "Steps",
    "Team",
    "Tool",
    "ToolArgumentsInvalid",
    "ToolContext",
    "ToolFactory",
    "ToolSource",
    "Toolkit",
    "Workflow",
    "WorkflowAgent",
    "WorkflowComponent",
    "WorkflowExecutionInput",
    "load",
    "models_of",
    "named_schema",
    "pause",
    "tool",
]
