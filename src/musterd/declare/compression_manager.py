"""Options for shortening tool results, which a model would otherwise read in full on every turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from musterd.declare.source_location import current_place, declaration_error

if TYPE_CHECKING:
    from pydantic_ai.models import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionManager:
    """When and how a model shortens the tool results of a run. The full results stay stored.

    :param model: the model that shortens; default: the run's own model.
    :param compress_tool_results: False turns it off.
    :param compress_tool_results_limit: results are shortened once this many are not; default: 3, if no token limit is
        set.
    :param compress_token_limit: results are shortened once the last turn used this many tokens.
    :param compress_tool_call_instructions: the instructions for the model.
    :raises DeclarationError: a limit is not a whole number above 0.
    """

    model: str | Model | None = None
    compress_tool_results: bool = True
    compress_tool_results_limit: int | None = None
    compress_token_limit: int | None = None
    compress_tool_call_instructions: str | None = None

    def __post_init__(self) -> None:
        """Check the limits."""
        for name in ("compress_tool_results_limit", "compress_token_limit"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise declaration_error(
                    current_place(), f"CompressionManager: {name} is {value!r}", "use a whole number, 1 or more"
                )

    @property
    def results(self) -> int | None:
        """How many full results trigger shortening; None if only the token limit does."""
        if self.compress_tool_results_limit is None and self.compress_token_limit is None:
            return 3
        return self.compress_tool_results_limit
