"""Which tools wait for a person before each call, in words."""

from musterd.declare.tools import Tool

_WORDS = {
    "requires_confirmation": "needs approval",
    "requires_user_input": "needs a person's input",
    "external_execution": "is called outside the server",
}


def person_flag(tool: Tool) -> str | None:
    """The option by which a person takes part in each call of a tool; None if no person does."""
    return next((flag for flag in _WORDS if getattr(tool, flag)), None)


def tool_text(tool: Tool) -> str:
    """The name of a tool, and what a person does for each of its calls."""
    flag = person_flag(tool)
    return f"{tool.name} ({_WORDS[flag]})" if flag else tool.name
