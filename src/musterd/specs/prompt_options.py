"""Options of agents and teams: what the prompt is made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.specs.options import ANYTHING, FLAG, TEXT, about


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PromptOptions:
    """What the prompt is made of."""

    system_message: Any = field(
        default=None,
        metadata=about(ANYTHING, "Replaces the whole system prompt.", later=True, yaml=str),
    )
    introduction: str | None = field(default=None, metadata=about(TEXT, "First message of a session.", later=True))
    expected_output: str | None = field(
        default=None, metadata=about(TEXT, "What the answer should look like.", later=True)
    )
    additional_context: str | None = field(
        default=None, metadata=about(TEXT, "Text after the instructions.", later=True)
    )
    additional_input: Sequence[Any] | None = field(
        default=None, metadata=about(ANYTHING, "Few-shot messages.", later=True)
    )
    markdown: bool = field(default=False, metadata=about(FLAG, "Ask for Markdown.", later=True))
    use_instruction_tags: bool = field(default=False, metadata=about(FLAG, "Instructions in XML tags.", later=True))
    resolve_in_context: bool = field(default=False, metadata=about(FLAG, "Fill `{name}` in instructions.", later=True))
    add_name_to_context: bool = field(default=False, metadata=about(FLAG, "Tell the model its name.", later=True))
    add_datetime_to_context: bool = field(default=False, metadata=about(FLAG, "Tell the model the time.", later=True))
    timezone_identifier: str | None = field(
        default=None, metadata=about(TEXT, later=True, part_of="add_datetime_to_context")
    )
    add_location_to_context: bool = field(default=False, metadata=about(FLAG, "Tell the model the place.", later=True))
    add_dependencies_to_context: bool = field(
        default=False,
        metadata=about(FLAG, "Show the dependencies to the model.", later=True),
    )
    add_session_state_to_context: bool = field(
        default=False,
        metadata=about(FLAG, "Show the session state to the model.", later=True),
    )
