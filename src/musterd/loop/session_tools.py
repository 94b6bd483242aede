"""Tools with which a model changes the session's state and memories, and reads earlier conversations."""

from datetime import UTC, datetime

from musterd.core import jsontext
from musterd.core.jsontypes import JsonObject
from musterd.declare import Component, Tool
from musterd.loop import tasks
from musterd.loop.builtin_tools import Rejected, ToolCallContext, builtin_tool
from musterd.loop.history import EarlierSession, chat_messages

ALL_CHATS = 1000
"""Maximum number of runs that one call reads."""
SESSIONS = 2
"""Number of other sessions that are read if the declaration does not set it."""
RUNS_OF_A_SESSION = 20


async def update_session_state(context: ToolCallContext, session_state_updates: JsonObject) -> str:
    """Update the session's state, which lasts from run to run. What you set replaces the value under the same key.

    Args:
        session_state_updates: The new values by key, like {"shopping_list": ["milk", "eggs"]}.
    """
    if tasks.KEY in session_state_updates:
        raise Rejected(f"'{tasks.KEY}' is the task list; change it with its own tools.")
    context.state.update(session_state_updates)
    return f"Updated session state: {jsontext.dumps(context.state)}"


async def get_chat_history(context: ToolCallContext, num_chats: int | None = None) -> str:
    """Read what was said in this session before, oldest first. One chat is a user's message with what was answered.

    Args:
        num_chats: How many of the last chats; leave it out for all.
    """
    if num_chats is not None and num_chats < 1:
        raise Rejected("num_chats is how many of the last chats to read: 1 or more.")
    component = context.run.component
    member = None if context.run.parent_id is None else (component.kind, component.id)
    conversations = await context.tree.history.conversations(member, min(num_chats or ALL_CHATS, ALL_CHATS))
    chats = [message for text in conversations for message in chat_messages(text)]
    return jsontext.dumps(chats) if chats else "There are no earlier messages in this session."


async def get_previous_session_messages(context: ToolCallContext) -> str:
    """Read the user's last other sessions. Use it only for questions about earlier conversations."""
    limit = context.run.component.spec.num_history_sessions or SESSIONS
    sessions = await context.tree.history.other_sessions(limit)
    if sessions is None:
        return "The user is unknown, so there are no other sessions to read."
    items = [_session_item(session) for session in sessions]
    return jsontext.dumps(items) if items else "The user has no other sessions."


async def update_user_memory(context: ToolCallContext, task: str) -> str:
    """Change what is remembered of the user from one conversation to the next.

    Args:
        task: What to remember, correct or forget, as a complete sentence about the user.
    """
    from musterd.loop.memory_updates import update_by_task

    return await update_by_task(context, task)


def _session_item(session: EarlierSession) -> JsonObject:
    updated = datetime.fromtimestamp(int(session.updated_at), UTC)
    messages = [message for text in session.conversations for message in chat_messages(text)]
    return {"session": session.name, "last_used": f"{updated:%Y-%m-%dT%H:%M:%SZ}", "messages": messages}


_TOOLS = {
    tool.name: tool
    for tool in (
        builtin_tool(update_session_state),
        builtin_tool(get_chat_history),
        builtin_tool(get_previous_session_messages),
        builtin_tool(update_user_memory),
    )
}


def session_tools(component: Component) -> list[Tool]:
    """The session tools that a component's options enable."""
    enabled_names = component.spec.added_tool_names
    return [tool for name, tool in _TOOLS.items() if name in enabled_names]
