"""How far a reader has come in a session: there is no order across its runs, so each has an index of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a reader has come.

    :param seq: the place in the session's order up to which it knows all runs; -1: none. Those behind it begin anew.
    :param runs: the index of the last event that it has, by root run; of those that had not ended.
    :param life: when the session was created: another one of its id, once it was deleted, is news from its start.
    """

    seq: int = -1
    runs: Mapping[str, int] = field(default_factory=dict)
    life: float | None = None
