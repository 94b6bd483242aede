"""What users declare: agents, teams and tools, in Python or in YAML, and how wrong declarations are said.

A declaration is a frozen, keyword-only record (:class:`Agent`, :class:`Team`, :class:`Tool`) that knows the
place where it stands. :func:`load` finds declarations in a file or module, :class:`Registry` checks them
together and resolves them into :class:`Component` trees, which is all that the other rooms see. What is wrong
is a :class:`musterd.core.errors.DeclarationError` of one line a problem: ``file:line: what is wrong — what to do``.

Nothing here imports a model provider's SDK, and pydantic-ai only when somebody else already did.
"""

from musterd.specs.agent import Agent
from musterd.specs.budget import Budget
from musterd.specs.component import Component, named_schema, unsupported
from musterd.specs.extra_models import models_of
from musterd.specs.loading import load
from musterd.specs.mcp_server import MCPServer
from musterd.specs.registry import Registry
from musterd.specs.run_context import RunContext
from musterd.specs.summary import SessionSummaryManager
from musterd.specs.team import Team
from musterd.specs.tool_errors import OutcomeUnknown, RetryTool
from musterd.specs.tool_list import ToolFactory, ToolSource
from musterd.specs.toolkit import Toolkit
from musterd.specs.tools import Tool, ToolArgumentsInvalid, ToolContext, tool

__all__ = [
    "Agent",
    "Budget",
    "Component",
    "MCPServer",
    "OutcomeUnknown",
    "Registry",
    "RetryTool",
    "RunContext",
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
