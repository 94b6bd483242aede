"""How tool results are shortened before a model reads them again and again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from musterd.declare.source_location import here, wrong

if TYPE_CHECKING:
    from pydantic_ai.models import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionManager:
    """When and how a run's tool results are shortened by a model; the full ones stay stored.

    :param model: who shortens; default: the run's own model.
    :param compress_tool_results: False: nothing is shortened.
    :param compress_tool_results_limit: results that are not shortened yet, from which on they are; default 3, where no
        token limit is set.
    :param compress_token_limit: tokens of the last turn, from which on results are shortened.
    :param compress_tool_call_instructions: what the model is told.
    :raises DeclarationError: a limit is no whole number above 0.
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
                raise wrong(here(), f"CompressionManager: {name} is {value!r}", "give it a whole number, 1 or more")

    @property
    def results(self) -> int | None:
        """Results that are not shortened yet, from which on they are; None: only tokens count."""
        if self.compress_tool_results_limit is None and self.compress_token_limit is None:
            return 3
        return self.compress_tool_results_limit
