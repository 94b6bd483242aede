"""The ledger of a run: its journal's steps, as a client reads them. What a step returned stays inside."""

from typing import Any

from musterd.core.records import StepRow


def step_object(step: StepRow) -> dict[str, Any]:
    """One step: its place in the tree, what it is, where it stands, which attempt made it, when, and what it used."""
    return {
        "path": step.path,
        "kind": step.kind.value,
        "state": step.state.value,
        "attempt": step.attempt,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
        "usage": None if step.usage is None else step.usage.as_json(),
        "cost": step.cost,
    }
