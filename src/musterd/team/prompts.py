"""What a model is told before the user's message.

The user's message, or a member's task, is the last user message, verbatim; everything else stands in the system
message. Texts stay the same from call to call, so that a provider's cache of prefixes holds.
"""

import functools
from collections.abc import Sequence

from musterd.specs import Component

LEADER = (
    "You lead a team of AI agents. Answer the user's request yourself where you can. Where a member's role or tools "
    "are needed, delegate: give one member one clear task, with everything that it needs to know, because members "
    "see nothing of this conversation. You may delegate several tasks at once. Check what members return before you "
    "use it, and give the user one complete answer in your own words."
)


@functools.cache
def system_prompt(component: Component) -> str:
    """The system message of an agent or a team's leader; empty when there is nothing to say.

    One text for all runs of a component: a thousand that wait do not hold it a thousand times.
    """
    spec = component.spec
    parts: list[str] = []
    if component.kind == "team":
        parts.append(LEADER)
    if spec.description:
        parts.append(spec.description)
    if spec.role and component.kind == "agent":
        parts.append(f"<your_role>\n{spec.role}\n</your_role>")
    if spec.instructions:
        parts.append(f"<instructions>\n{_listed(spec.instructions)}\n</instructions>")
    if component.members:
        members = "\n".join(describe_member(member) for member in component.members)
        parts.append(f"<team_members>\n{members}\n</team_members>")
    return "\n\n".join(parts)


def describe_member(member: Component) -> str:
    """A member as its leader sees it."""
    lines = [f'<member id="{member.id}" name="{member.name}">']
    if member.spec.role:
        lines.append(f"  Role: {member.spec.role}")
    if member.spec.description and member.spec.description != member.spec.role:
        lines.append(f"  Description: {member.spec.description}")
    if member.tools:
        lines.append(f"  Tools: {', '.join(tool.name for tool in member.tools)}")
    lines.append("</member>")
    return "\n".join(lines)


def _listed(instructions: str | Sequence[str]) -> str:
    if isinstance(instructions, str):
        return instructions
    if len(instructions) == 1:
        return instructions[0]
    return "\n".join(f"- {line}" for line in instructions)
