"""The system messages of agents and teams.

The user's message, or a member's task, is the last user message, verbatim. Everything else is in the system message,
which stays the same from call to call so that a provider's prompt cache can use it.
"""

from collections.abc import Iterator, Sequence

from musterd.declare import Component, Knowledge, MCPServer, Team
from musterd.declare.component_options import UPDATE_MEMORY
from musterd.loop.component_cache import cached_per_component

LEADERS = {
    "coordinate": (
        "You lead a team of AI agents. Answer the user's request yourself where you can. Where a member's role or "
        "tools are needed, delegate: give one member one clear task, with everything that it needs to know, because "
        "members see nothing of this conversation. You may delegate several tasks at once. Check what members return "
        "before you use it, and give the user one complete answer in your own words."
    ),
    "route": (
        "You lead a team of AI agents. Find the one member whose role and tools fit the user's request, and delegate "
        "it: what the member answers goes to the user as it is. Answer yourself only where no member fits."
    ),
    "broadcast": (
        "You lead a team of AI agents. Delegate the user's request to all members at once, as one task with "
        "everything that they need to know, because members see nothing of this conversation. Then weigh what they "
        "return, and give the user one complete answer in your own words."
    ),
    "tasks": (
        "You lead a team of AI agents and work towards the user's goal over a task list. Break the goal into tasks "
        "with create_task: each has a title, a complete description, the member that does it, and the tasks that it "
        "depends on. Have members do them with execute_task, or with execute_tasks_parallel where tasks do not depend "
        "on each other; a task's results go to those that depend on it. Look at what comes back: have a failed task "
        "done again, create what is missing. When the goal is reached, call mark_all_complete and give the user one "
        "complete answer. What needs no task, answer at once."
    ),
}
SEARCH_FIRST = (
    "It can be searched with the tool search_knowledge_base. Search before you answer a question, and do not assume "
    "that you know the answer. If a question is not clear, search first and ask afterwards."
)
UPDATING_MEMORIES = (
    "If the user tells you something about themselves that later conversations can use, or asks you to remember, "
    f"correct or forget something, call {UPDATE_MEMORY} with it."
)
VERBATIM = "Members get the user's own words; you choose who, not what."


def system_prompt(component: Component, *, has_form: bool = False) -> str:
    """The system message of an agent or a team's leader; empty if it has none.

    All runs of a component share one string, so a thousand waiting runs do not hold a thousand copies.

    :param has_form: whether the answer is structured.
    """
    return _structured_answer_prompt(component) if has_form else _free_text_prompt(component)


@cached_per_component
def _structured_answer_prompt(component: Component) -> str:
    return _prompt(component, has_form=True)


@cached_per_component
def _free_text_prompt(component: Component) -> str:
    return _prompt(component, has_form=False)


def _prompt(component: Component, *, has_form: bool) -> str:
    spec = component.spec
    if isinstance(spec.system_message, str):
        return spec.system_message
    return prompt_with(component, None if callable(spec.instructions) else spec.instructions, has_form=has_form)


def prompt_with(component: Component, instructions: str | Sequence[str] | None, *, has_form: bool) -> str:
    """The system message with these instructions.

    :param has_form: whether the answer is structured.
    """
    spec = component.spec
    parts: list[str] = []
    if isinstance(spec, Team):
        parts.append(LEADERS[spec.mode])
        if not spec.determine_input_for_members:
            parts.append(VERBATIM)
    if spec.description:
        parts.append(spec.description)
    if spec.role and component.kind == "agent":
        parts.append(f"<your_role>\n{spec.role}\n</your_role>")
    if instructions:
        text = _as_list(instructions)
        parts.append(f"<instructions>\n{text}\n</instructions>" if spec.use_instruction_tags else text)
    if spec.tool_instructions:
        parts.append("<tool_instructions>\n" + "\n\n".join(spec.tool_instructions) + "\n</tool_instructions>")
    if component.members:
        in_full = isinstance(spec, Team) and spec.add_member_tools_to_context
        members = "\n".join(describe_member(member, in_full=in_full) for member in component.members)
        parts.append(f"<team_members>\n{members}\n</team_members>")
    parts.extend(_closing(component, has_form=has_form))
    return "\n\n".join(parts)


def _closing(component: Component, *, has_form: bool) -> Iterator[str]:
    """The parts that follow the instructions, as the component's options ask for them."""
    spec, information = component.spec, []
    if spec.markdown and not has_form:
        information.append("Use Markdown to format your answers.")
    if spec.add_name_to_context:
        information.append(f"Your name is {component.name}.")
    if information:
        yield f"<additional_information>\n{_as_list(information)}\n</additional_information>"
    if spec.expected_output:
        yield f"<expected_output>\n{spec.expected_output.strip()}\n</expected_output>"
    if spec.additional_context:
        yield f"<additional_context>\n{spec.additional_context.strip()}\n</additional_context>"
    if spec.has_search_tool and spec.add_search_knowledge_instructions:
        yield f"<knowledge_base>\n{_describe_knowledge(spec.knowledge)} {SEARCH_FIRST}\n</knowledge_base>"
    if spec.enable_agentic_memory:
        yield f"<updating_user_memories>\n{UPDATING_MEMORIES}\n</updating_user_memories>"
    if spec.introduction and component.depth == 0:  # a member opens no session
        yield f"You have opened the conversation with:\n<introduction>\n{spec.introduction}\n</introduction>"


def _describe_knowledge(base: Knowledge | None) -> str:
    if base is None or not base.description:
        return "You have a knowledge base."
    return f"You have the knowledge base {base.title}: {base.description.strip()}"


def describe_member(member: Component, *, in_full: bool = False) -> str:
    """The description of a member for its leader.

    :param in_full: include the descriptions of its tools.
    """
    lines = [f'<member id="{member.id}" name="{member.name}">']
    if member.spec.role:
        lines.append(f"  Role: {member.spec.role}")
    if member.spec.description and member.spec.description != member.spec.role:
        lines.append(f"  Description: {member.spec.description}")
    if member.tools and in_full:
        lines += ["  Tools:", *(f"    {tool.name}: {tool.description}" for tool in member.tools)]
    elif member.tools:
        lines.append(f"  Tools: {', '.join(tool.name for tool in member.tools)}")
    if servers := [source.known_as for source in member.spec.tool_sources if isinstance(source, MCPServer)]:
        lines.append(f"  Tools of: {', '.join(servers)}")
    if member.members:
        lines.append(f"  Members: {', '.join(submember.id for submember in member.members)}")
    lines.append("</member>")
    return "\n".join(lines)


def interactions_text(interactions: Sequence[tuple[str, str, str]]) -> str:
    """The tasks and answers of other members so far.

    :param interactions: the member's name, the task and the answer of each.
    """
    entries = "\n".join(
        f'<interaction member="{name}">\n<task>\n{task}\n</task>\n<answer>\n{answer}\n</answer>\n</interaction>'
        for name, task, answer in interactions
    )
    return f"<member_interactions>\n{entries}\n</member_interactions>"


def _as_list(instructions: str | Sequence[str]) -> str:
    if isinstance(instructions, str):
        return instructions
    if len(instructions) == 1:
        return instructions[0]
    return "\n".join(f"- {line}" for line in instructions)
