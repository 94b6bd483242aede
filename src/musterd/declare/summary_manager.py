"""How sessions are summed up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from musterd.declare.options import is_model
from musterd.declare.source_location import here, kind_of, wrong

if TYPE_CHECKING:
    from pydantic_ai.models import Model


@dataclass(frozen=True, kw_only=True)
class SessionSummaryManager:
    """How the sessions of an agent or team are summed up.

    :param model: the model that does it, as in ``Agent(model=…)``; None: the agent's or team's own.
    :param session_summary_prompt: what it is told, in place of the usual words; the conversation follows.
    :param summary_request_message: the user message that asks for the summary.
    :raises DeclarationError: a value is of another kind.
    """

    model: str | Model | None = None
    session_summary_prompt: str | None = None
    summary_request_message: str = "Provide the summary of the conversation."

    def __post_init__(self) -> None:
        """Check what is given."""
        if self.model is not None and not isinstance(self.model, str) and not is_model(self.model):
            what = f"SessionSummaryManager: 'model' is {kind_of(self.model)}"
            raise wrong(here(), what, "give it a model string like 'openai:gpt-5-mini' or a pydantic-ai Model")
        for name in ("session_summary_prompt", "summary_request_message"):
            value = getattr(self, name)
            if not isinstance(value, str) and (value is not None or name == "summary_request_message"):
                raise wrong(here(), f"SessionSummaryManager: '{name}' is {kind_of(value)}", "give it a text")
