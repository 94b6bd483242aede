"""A research desk: one member looks things up with a server of tools (MCP), the other publishes, after a person agreed.

    pip install 'musterd[mcp]'
    .venv/bin/musterd serve examples/research.py

A run that wants to publish is PAUSED; the inbox shows what it wants to do:

    curl http://127.0.0.1:7777/approvals?status=pending
    curl http://127.0.0.1:7777/approvals/ID/resolve -H "content-type: application/json" -d '{"status": "approved"}'

It runs offline, on the model ``scripted``; MUSTERD_EXAMPLE_MODEL=openai:gpt-5-mini (or any other) gives it a real one.
"""

import os
import sys
from pathlib import Path

from musterd import Agent, MCPServer, Team, ToolContext, tool

MODEL = os.environ.get("MUSTERD_EXAMPLE_MODEL", "scripted")

library = MCPServer(
    name="library",
    command=[sys.executable, str(Path(__file__).parent / "research_library.py")],
    instructions="Search the library before you answer. Say so where it has nothing.",
)


@tool(approval="required")
def publish(title: str, text: str, context: ToolContext) -> str:
    """Publish an article. It cannot be taken back.

    Args:
        title: Its title.
        text: Its text.
    """
    published = [*context.session_state.get("published", []), {"title": title, "text": text}]
    context.session_state["published"] = published
    return f"Published '{title}' as number {len(published)}."


librarian = Agent(id="librarian", name="Librarian", role="Looks facts up in the library", tools=[library])
editor = Agent(
    id="editor",
    name="Editor",
    role="Writes and publishes articles",
    tools=[publish],
    instructions="Use only facts that the task gives you.",
)
desk = Team(
    id="research",
    name="Research desk",
    model=MODEL,
    members=[librarian, editor],
    instructions="Have facts looked up first. Publish only what the user asked to be published.",
)
