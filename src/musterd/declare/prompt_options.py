"""Options of agents and teams: the parts of the prompt."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.declare.options import FLAG, TEXT, Kind, about
from musterd.declare.run_context import check_callable
from musterd.declare.source_location import Place, declaration_error

ROLES = ("user", "assistant", "system")
"""The roles of messages in ``additional_input``."""


def is_example(value: Any) -> bool:
    """Whether ``value`` may be in ``additional_input``: a text, a role with content, or a pydantic-ai message."""
    if isinstance(value, str):
        return True
    if isinstance(value, Mapping):
        return value.get("role") in ROLES and isinstance(value.get("content"), str) and len(value) == 2
    messages = sys.modules.get("pydantic_ai.messages")
    return messages is not None and isinstance(value, messages.ModelRequest | messages.ModelResponse)


_SYSTEM_MESSAGE = Kind(words="a text or a function that gives one", accepts=lambda value: _is_text_or_function(value))
_EXAMPLES = Kind(
    words='a list of texts and of {"role": "user" or "assistant", "content": "…"}',
    accepts=lambda value: isinstance(value, list | tuple) and all(is_example(item) for item in value),
    yaml=list[str | dict[str, str]],
)


def _is_text_or_function(value: Any) -> bool:
    return isinstance(value, str) or callable(value)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PromptOptions:
    """The parts of the prompt."""

    system_message: str | Callable[..., Any] | None = field(
        default=None,
        metadata=about(
            _SYSTEM_MESSAGE,
            "Replaces the whole system prompt, what a leader is told of its members included.",
            yaml=str,
        ),
    )
    introduction: str | None = field(
        default=None, metadata=about(TEXT, "The first message of a session, from the agent or team.")
    )
    expected_output: str | None = field(default=None, metadata=about(TEXT, "What the answer should look like."))
    additional_context: str | None = field(default=None, metadata=about(TEXT, "Text after the instructions."))
    additional_input: Sequence[Any] | None = field(
        default=None,
        metadata=about(_EXAMPLES, "Few-shot messages between the system prompt and the history; a text is a user's."),
    )
    markdown: bool = field(
        default=False, metadata=about(FLAG, "Ask for Markdown, unless the answer has an `output_schema`.")
    )
    use_instruction_tags: bool = field(
        default=True, metadata=about(FLAG, "Instructions stand in XML tags. The peer's default is False.")
    )
    resolve_in_context: bool = field(
        default=True,
        metadata=about(
            FLAG,
            "Fill `{name}` in the prompt's texts, from the session state, dependencies, metadata and `user_id`.",
        ),
    )
    add_name_to_context: bool = field(default=False, metadata=about(FLAG, "Tell the model its name."))
    add_datetime_to_context: bool = field(default=False, metadata=about(FLAG, "Tell the model when the run began."))
    timezone_identifier: str | None = field(
        default=None,
        metadata=about(TEXT, "A zone like `Europe/Berlin`; UTC without.", part_of="add_datetime_to_context"),
    )
    add_location_to_context: bool = field(
        default=False, metadata=about(FLAG, "Tell the model the place, as `MUSTERD_LOCATION` says it.")
    )
    add_dependencies_to_context: bool = field(
        default=False, metadata=about(FLAG, "Show the dependencies to the model, as JSON.")
    )
    add_session_state_to_context: bool = field(
        default=False, metadata=about(FLAG, "Show the session state to the model, as it is when the run begins.")
    )

    def check_prompt(self, label: str, place: Place) -> None:
        """Check the parameters of functions and the time zone, which a :class:`Kind` cannot check.

        :raises DeclarationError: a function has an unknown parameter, or the time zone does not exist.
        """
        functions = {"system_message": self.system_message, "instructions": getattr(self, "instructions", None)}
        for name, value in (getattr(self, "dependencies", None) or {}).items():
            functions[f"dependencies[{name!r}]"] = value
        for name, function in functions.items():
            if callable(function):
                check_callable(function, f"{label}: the function in {name}", place)
        if self.timezone_identifier is not None:
            _check_zone(self.timezone_identifier, label, place)


def _check_zone(name: str, label: str, place: Place) -> None:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:
        fix = "use a name of the IANA database, like 'Europe/Berlin'; a system without one needs the package tzdata"
        raise declaration_error(place, f"{label}: there is no time zone '{name}' here", fix) from error
