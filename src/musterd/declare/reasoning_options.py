"""Options of agents and teams: thinking before the answer."""

from dataclasses import dataclass, field
from typing import Any

from musterd.declare.options import FLAG, MODEL, POSITIVE, Kind, about

_AGENT = Kind(words="an Agent(…)", accepts=lambda value: getattr(value, "kind", "") == "agent")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ReasoningOptions:
    """Thinking before the answer."""

    reasoning: bool = field(default=False, metadata=about(FLAG, "Think the request through before the first turn."))
    reasoning_model: Any = field(
        default=None, metadata=about(MODEL, "The model that does so, else its own; alone it turns `reasoning` on.")
    )
    reasoning_agent: Any = field(
        default=None,
        metadata=about(
            _AGENT, "Whose model and instructions think; alone it turns `reasoning` on. Its tools are not called."
        ),
    )
    reasoning_min_steps: int = field(default=1, metadata=about(POSITIVE, "Steps at least.", part_of="reasoning"))
    reasoning_max_steps: int = field(default=10, metadata=about(POSITIVE, "Steps at most.", part_of="reasoning"))
