"""Options of agents and teams: thinking before the answer."""

from dataclasses import dataclass, field
from typing import Any

from musterd.specs.options import ANYTHING, FLAG, POSITIVE, about


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ReasoningOptions:
    """Thinking before the answer."""

    reasoning: bool = field(default=False, metadata=about(FLAG, "Think in steps first.", later=True))
    reasoning_model: Any = field(default=None, metadata=about(ANYTHING, "The model that thinks.", later=True, yaml=str))
    reasoning_agent: Any = field(default=None, metadata=about(ANYTHING, "The agent that thinks.", later=True))
    reasoning_min_steps: int = field(default=1, metadata=about(POSITIVE, later=True, part_of="reasoning"))
    reasoning_max_steps: int = field(default=10, metadata=about(POSITIVE, later=True, part_of="reasoning"))
