"""The states of a run and the transitions between them.

Tests check the SQL statements, the HTTP status names and the diagram in the docs against this table.
``docs/internals/runs.md`` explains the guards and writes of each transition.
"""

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

EDGES: dict[RunState, frozenset[RunState]] = {
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
"""The states that each state may change to. A run is created as scheduled, queued, ready or running."""

ACCEPTED_AS = frozenset({RunState.SCHEDULED, RunState.QUEUED, RunState.READY, RunState.RUNNING})


def is_edge(source: RunState, target: RunState) -> bool:
    """Whether a run may change from ``source`` to ``target`` in one transition."""
    return target in EDGES[source]
