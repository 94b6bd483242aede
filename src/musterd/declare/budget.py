"""Ceilings for the resources that one run may use."""

from dataclasses import dataclass, field
from typing import Any

from musterd.declare.options import COUNT, POSITIVE, Declared, Kind, about, check_values
from musterd.declare.source_location import Place, current_place

_AMOUNT = Kind(
    words="a number above 0",
    accepts=lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf"),
    yaml=float,
)


@dataclass(frozen=True, kw_only=True)
class Budget(Declared):
    """The resources that a run and all its members may use before it finishes with an error.

    :param tokens: input and output tokens of all model calls.
    :param cost_usd: cost of all model calls in US dollars, by the providers' list prices.
    :param seconds: working time in seconds, without the time that the run waits for a person.
    :param tool_calls: tool calls and delegations in the whole run.
    :param depth: levels of members below the run.
    """

    kind = "budget"

    tokens: int | None = field(default=None, metadata=about(POSITIVE, "Input and output tokens of all model calls."))
    cost_usd: float | None = field(default=None, metadata=about(_AMOUNT, "Cost of all model calls in US dollars."))
    seconds: float | None = field(
        default=None, metadata=about(_AMOUNT, "Working time in seconds, without waits for a person.")
    )
    tool_calls: int | None = field(default=None, metadata=about(COUNT, "Tool calls and delegations in the whole run."))
    depth: int | None = field(default=None, metadata=about(COUNT, "Levels of members below the run."))
    declared_at: Place = field(default_factory=current_place, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the values."""
        check_values(self, "budget", self.declared_at)

    def as_json(self) -> dict[str, Any]:
        """The ceilings that are set."""
        names = ("tokens", "cost_usd", "seconds", "tool_calls", "depth")
        ceilings = {name: getattr(self, name) for name in names}
        return {name: value for name, value in ceilings.items() if value is not None}
