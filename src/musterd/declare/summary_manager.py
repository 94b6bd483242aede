"""Options for session summaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from musterd.declare.options import is_model
from musterd.declare.source_location import current_place, declaration_error, describe_type

if TYPE_CHECKING:
    from pydantic_ai.models import Model


@dataclass(frozen=True, kw_only=True)
class SessionSummaryManager:
    """How the sessions of an agent or team are summarized.

    :param model: the model that summarizes, as in ``Agent(model=…)``; default: the model of the agent or team.
    :param session_summary_prompt: replaces the default prompt; the conversation follows it.
    :param summary_request_message: the user message that requests the summary.
    :raises DeclarationError: a value has the wrong type.
    """

    model: str | Model | None = None
    session_summary_prompt: str | None = None
    summary_request_message: str = "Provide the summary of the conversation."

    def __post_init__(self) -> None:
        """Check the types of the values."""
        if self.model is not None and not isinstance(self.model, str) and not is_model(self.model):
            problem = f"SessionSummaryManager: 'model' is {describe_type(self.model)}"
            raise declaration_error(
                current_place(), problem, "give it a model string like 'openai:gpt-5-mini' or a pydantic-ai Model"
            )
        for name in ("session_summary_prompt", "summary_request_message"):
            value = getattr(self, name)
            if not isinstance(value, str) and (value is not None or name == "summary_request_message"):
                raise declaration_error(
                    current_place(), f"SessionSummaryManager: '{name}' is {describe_type(value)}", "use a string"
                )
