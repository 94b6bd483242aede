"""Declarations of agents, teams and tools, in Python or YAML, and the errors about them.

A declaration is a frozen, keyword-only record (:class:`Agent`, :class:`Team`, :class:`Tool`) that knows its source
location. :func:`load` finds declarations in a file or module. :class:`Registry` checks them together and resolves them
into trees of :class:`Component`, which the other packages use. Errors are reported as one
:class:`musterd.core.errors.DeclarationError` with a line for each problem: ``file:line: problem — fix``.

Nothing here imports the SDK of a model provider. pydantic-ai is only used if it is already imported.
"""

from musterd.declare.agent import Agent
from musterd.declare.budget import Budget
from musterd.declare.component import Component, models_of, named_schema, unsupported
from musterd.declare.load_source import load
from musterd.declare.mcp_server import MCPServer
from musterd.declare.registry import Registry
from musterd.declare.run_context import RunContext
from musterd.declare.schedule import Schedule
from musterd.declare.summary_manager import SessionSummaryManager
from musterd.declare.team import Team
from musterd.declare.tool_errors import OutcomeUnknown, RetryTool
from musterd.declare.tool_list import ToolFactory, ToolSource
from musterd.declare.toolkit import Toolkit
from musterd.declare.tools import Tool, ToolArgumentsInvalid, ToolContext, tool

__all__ = [
    "Agent",
    "Budget",
    "Component",
    "MCPServer",
    "OutcomeUnknown",
    "Registry",
    "RetryTool",
    "RunContext",
    "Schedule",
    "SessionSummaryManager",
    "Team",
    "Tool",
    "ToolArgumentsInvalid",
    "ToolContext",
    "ToolFactory",
    "ToolSource",
    "Toolkit",
    "load",
    "models_of",
    "named_schema",
    "tool",
    "unsupported",
]
