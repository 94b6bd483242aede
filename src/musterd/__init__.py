"""musterd: a self-hosted server for durable multi-agent team runs.

The front door: what users declare (:class:`Agent`, :class:`Team`, :func:`tool`) and how they serve it
(:func:`create_app`). Names are imported on first use, so that ``musterd --help`` stays cheap.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from musterd.core.settings import Settings
    from musterd.http.app import create_app
    from musterd.specs import Agent, Budget, Team, Tool, ToolContext, tool
    from musterd.specs.person_tools import ask_user, get_user_input

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "Budget",
    "Settings",
    "Team",
    "Tool",
    "ToolContext",
    "__version__",
    "ask_user",
    "create_app",
    "get_user_input",
    "tool",
]

_HOMES = {
    "Agent": "musterd.specs",
    "Budget": "musterd.specs",
    "Settings": "musterd.core.settings",
    "Team": "musterd.specs",
    "Tool": "musterd.specs",
    "ToolContext": "musterd.specs",
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
