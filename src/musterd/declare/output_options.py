"""Options of agents and teams: the form of input and output."""

from dataclasses import dataclass, field
from typing import Any

from musterd.declare.options import FLAG, MODEL, SCHEMA, TEXT, about


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AnswerOptions:
    """The form of input and output."""

    input_schema: Any = field(
        default=None,
        metadata=about(
            SCHEMA,
            "The form of a message, which is JSON then: a pydantic model class (in YAML `pkg.mod:Class`) or a "
            "JSON schema.",
        ),
    )
    parser_model: Any = field(
        default=None,
        metadata=about(MODEL, "A model that brings the answer into the form of `output_schema`."),
    )
    parser_model_prompt: str | None = field(
        default=None, metadata=about(TEXT, "What it is told.", part_of="parser_model")
    )
    output_model: Any = field(
        default=None,
        metadata=about(MODEL, "A model that words the answer, from what its own model found out."),
    )
    output_model_prompt: str | None = field(
        default=None, metadata=about(TEXT, "What it is told in place of the instructions.", part_of="output_model")
    )
    use_json_mode: bool = field(
        default=False,
        metadata=about(FLAG, "The form of the answer stands in the prompt, and the provider is asked for JSON."),
    )
    send_media_to_model: bool = field(
        default=True, metadata=about(FLAG, "False: media of a request are stored and shown, and no model gets them.")
    )
    store_media: bool = field(
        default=True, metadata=about(FLAG, "False: a run that has ended, and did not fail, no longer has its media.")
    )
