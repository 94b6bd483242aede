"""The tools ``think`` and ``analyze``, with which a model reasons between turns. Clients see each call as a step."""

from collections.abc import Iterator

from musterd.declare import Tool
from musterd.loop.builtin_tools import builtin_tool
from musterd.loop.reasoning_steps import ANALYZE, THINK


class ReasoningTools:
    """The tools ``think`` and ``analyze``: ``tools=[*ReasoningTools(), …]``.

    They have no effect: the model writes a thought down, and clients receive it as a reasoning step.

    :param enable_think: offer ``think``.
    :param enable_analyze: offer ``analyze``.
    """

    def __init__(self, *, enable_think: bool = True, enable_analyze: bool = True) -> None:
        choices = [(enable_think, THINK_TOOL), (enable_analyze, ANALYZE_TOOL)]
        self.tools: tuple[Tool, ...] = tuple(tool for is_enabled, tool in choices if is_enabled)

    def __iter__(self) -> Iterator[Tool]:
        """Iterate over the enabled tools."""
        return iter(self.tools)


async def think(title: str, thought: str, action: str | None = None, confidence: float = 0.8) -> str:
    """Note a thought before you act or answer. Call it as often as you need; the user does not see it as an answer.

    Args:
        title: What the thought is about, in a few words.
        thought: The thought.
        action: What you will do because of it.
        confidence: How sure you are, from 0 to 1.
    """
    return "Noted. Go on."


async def analyze(
    title: str, result: str, analysis: str, next_action: str = "continue", confidence: float = 0.8
) -> str:
    """Weigh what came of a step or of tool calls, and say what is next.

    Args:
        title: What is weighed, in a few words.
        result: What came of it.
        analysis: What you make of it.
        next_action: "continue", "validate" or "final_answer".
        confidence: How sure you are, from 0 to 1.
    """
    return "Noted. Give the answer." if next_action == "final_answer" else "Noted. Go on."


THINK_TOOL, ANALYZE_TOOL = builtin_tool(think), builtin_tool(analyze)
assert (THINK_TOOL.name, ANALYZE_TOOL.name) == (THINK, ANALYZE)
