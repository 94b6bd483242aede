"""Testing teams, agents and workflows: runs with scripted models, and replays of production runs.

Names are imported on first use, because pytest imports the plugin in this package each time that it starts.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from musterd.testing.client import AsyncTestClient, TestClient
    from musterd.testing.differences import Difference
    from musterd.testing.recording import ReplayImpossible
    from musterd.testing.replays import Replay, ReplayDiffers, replay, replay_async
    from musterd.testing.runs import TestRun, ToolCall
    from musterd.testing.script import Call, Request, Script, ScriptEnded, Turn, delegate

__all__ = [
    "AsyncTestClient",
    "Call",
    "Difference",
    "Replay",
    "ReplayDiffers",
    "ReplayImpossible",
    "Request",
    "Script",
    "ScriptEnded",
    "TestClient",
    "TestRun",
    "ToolCall",
    "Turn",
    "delegate",
    "replay",
    "replay_async",
]

_MODULES = {
    "client": ("AsyncTestClient", "TestClient"),
    "differences": ("Difference",),
    "recording": ("ReplayImpossible",),
    "replays": ("Replay", "ReplayDiffers", "replay", "replay_async"),
    "runs": ("TestRun", "ToolCall"),
    "script": ("Call", "Request", "Script", "ScriptEnded", "Turn", "delegate"),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
