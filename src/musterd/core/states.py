"""The states of a run and the edges between them.

``store/transitions.py`` builds every statement that changes a state from these tables and refuses any other edge. Tests
check the HTTP status names and the diagrams and tables in the docs against them.
"""

from collections.abc import Mapping
from enum import StrEnum


class RunState(StrEnum):
    """The state of a run. A final state never changes."""

    SCHEDULED = "scheduled"  # accepted, joins its session queue when due
    QUEUED = "queued"  # accepted, waits for an earlier run of its session
    READY = "ready"  # head of its session queue, waits for a free worker
    RUNNING = "running"  # an attempt on a live worker executes it
    PAUSED = "paused"  # waits for a person
    COMPLETED = "completed"  # finished with an answer
    ERROR = "error"  # finished without an answer; the reason is stored
    CANCELLED = "cancelled"  # finished on request; partial output is kept

    @property
    def is_final(self) -> bool:
        """Whether the run has finished."""
        return self in FINAL

    @property
    def is_settled(self) -> bool:
        """Whether the run has finished or paused, so that polling it any longer is pointless until somebody acts."""
        return self in FINAL or self is RunState.PAUSED


FINAL = frozenset({RunState.COMPLETED, RunState.ERROR, RunState.CANCELLED})
PENDING = frozenset({RunState.SCHEDULED, RunState.QUEUED, RunState.READY})

Edges = Mapping[RunState, frozenset[RunState]]
"""The states that each state may change to."""

EDGES: Edges = {
    RunState.SCHEDULED: frozenset({RunState.QUEUED, RunState.READY, RunState.CANCELLED, RunState.ERROR}),
    RunState.QUEUED: frozenset({RunState.READY, RunState.CANCELLED, RunState.ERROR}),
    RunState.READY: frozenset({RunState.RUNNING, RunState.CANCELLED, RunState.ERROR}),
    RunState.RUNNING: frozenset(
        {RunState.COMPLETED, RunState.ERROR, RunState.CANCELLED, RunState.PAUSED, RunState.READY}
    ),
    RunState.PAUSED: frozenset({RunState.QUEUED, RunState.READY, RunState.CANCELLED, RunState.ERROR}),
    RunState.COMPLETED: frozenset(),
    RunState.ERROR: frozenset(),
    RunState.CANCELLED: frozenset(),
}
"""The edges of root runs."""

ACCEPTED_AS = frozenset({RunState.SCHEDULED, RunState.QUEUED, RunState.READY, RunState.RUNNING})
"""The states in which a root run is created."""

MEMBER_EDGES: Edges = {
    RunState.RUNNING: frozenset({RunState.COMPLETED, RunState.ERROR, RunState.CANCELLED, RunState.PAUSED}),
    RunState.PAUSED: frozenset({RunState.RUNNING, RunState.CANCELLED, RunState.ERROR}),
}
"""The edges of member runs. A member is created as running and has neither queue nor worker. It pauses and resumes with
its root, and it finishes before its root or with it."""


def is_edge(source: RunState, target: RunState, edges: Edges = EDGES) -> bool:
    """Whether a run may change from ``source`` to ``target`` in one transition.

    :param edges: the table for root runs or the one for member runs.
    """
    return target in edges.get(source, ())
