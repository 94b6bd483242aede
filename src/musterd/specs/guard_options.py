"""Options of agents and teams: what stands around a run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.specs.options import ANYTHING, about


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class GuardOptions:
    """What stands around a run."""

    pre_hooks: Sequence[Any] | None = field(
        default=None, metadata=about(ANYTHING, "Functions and guardrails before a run.", later=True)
    )
    post_hooks: Sequence[Any] | None = field(
        default=None, metadata=about(ANYTHING, "Functions and guardrails after a run.", later=True)
    )
