"""The tool with which a leader looks up its members."""

from musterd.loop.builtin_tools import ToolCallContext, builtin_tool
from musterd.loop.prompts import describe_member


async def get_member_information(act: ToolCallContext) -> str:
    """Describe the members of the team: their ids, roles and tools."""
    return "\n".join(describe_member(member, in_full=True) for member in act.run.component.members)


MEMBER_INFORMATION = builtin_tool(get_member_information)
