"""The states of a run and the edges between them.

This table is the one source of truth: SQL guards, the wire's words and the docs' diagram follow it.
Edges, guards and writes are explained in ``docs/internals/runs.md``.
"""

from enum import StrEnum


class RunState(StrEnum):
    """Where a run stands. A terminal state never changes."""

    SCHEDULED = "scheduled"  # accepted, joins its lane when due
    QUEUED = "queued"  # accepted, waits behind another run of its session
    READY = "ready"  # holds its lane, waits for a free worker
    RUNNING = "running"  # an attempt of a live worker drives it
    PAUSED = "paused"  # waits for a person
    COMPLETED = "completed"  # ended with an answer
    ERROR = "error"  # ended without one; the reason is stored
    CANCELLED = "cancelled"  # ended on request; what was produced is kept

    @property
    def is_final(self) -> bool:
        """Whether the run has ended."""
        return self in FINAL

    @property
    def is_settled(self) -> bool:
        """Whether a poller has something to look at: the run ended, or waits for a person."""
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
"""From each state, the states it may go to. Acceptance creates a run as scheduled, queued, ready or running."""

ACCEPTED_AS = frozenset({RunState.SCHEDULED, RunState.QUEUED, RunState.READY, RunState.RUNNING})


def is_edge(source: RunState, target: RunState) -> bool:
    """Whether a run may go from ``source`` to ``target`` in one step."""
    return target in EDGES[source]
