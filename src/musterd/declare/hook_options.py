"""Options of agents and teams: hooks before and after a run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.declare.hooks import HOOKS
from musterd.declare.options import about


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class GuardOptions:
    """Hooks before and after a run."""

    pre_hooks: Sequence[Any] | None = field(
        default=None, metadata=about(HOOKS, "Functions and guardrails that look at what it is asked.")
    )
    post_hooks: Sequence[Any] | None = field(
        default=None, metadata=about(HOOKS, "Functions and guardrails that look at its answer.")
    )
