"""Options of agents and teams: the form of what goes in and comes out."""

from dataclasses import dataclass, field
from typing import Any

from musterd.specs.options import ANYTHING, FLAG, TEXT, about


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AnswerOptions:
    """The form of what goes in and comes out."""

    input_schema: Any = field(default=None, metadata=about(ANYTHING, "What a message must look like.", later=True))
    parser_model: Any = field(
        default=None,
        metadata=about(ANYTHING, "A model that parses the answer.", later=True, yaml=str),
    )
    parser_model_prompt: str | None = field(default=None, metadata=about(TEXT, later=True, part_of="parser_model"))
    output_model: Any = field(
        default=None,
        metadata=about(ANYTHING, "A model that words the answer.", later=True, yaml=str),
    )
    output_model_prompt: str | None = field(default=None, metadata=about(TEXT, later=True, part_of="output_model"))
    use_json_mode: bool = field(default=False, metadata=about(FLAG, "Structured output by JSON mode.", later=True))
