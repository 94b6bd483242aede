"""Checks that the declared steps fit what earlier attempts of a run stored.

The journal compares a step with the one that is stored under its path. The checks here are about what is stored under
paths to which the walk does not come any more: without them, a step that was moved would be done a second time.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from musterd.core.errors import ReplayDiverged
from musterd.declare.workflow.resolved import NodeKind, WorkflowComponent
from musterd.flow.position import Position

if TYPE_CHECKING:
    from musterd.flow.walk import Walk

_FIRST_BELOW: dict[NodeKind, tuple[str, ...]] = {
    "step": (),
    "steps": ("s0",),
    "parallel": ("b0", "b1"),
    "condition": ("c", "s0", "e0"),
    "loop": ("i0",),
    "router": ("c", "s0"),
}
"""The last parts of the paths of what is stored first below a node of each kind."""
_ANY_FIRST_BELOW = tuple(sorted({segment for segments in _FIRST_BELOW.values() for segment in segments}))


def require_same_kind(walk: "Walk", position: Position) -> None:
    """Check that no step is stored where a container stands now, or the other way round.

    :raises ReplayDiverged: there is one.
    """
    stored, node = walk.tree.stored_steps, position.node
    if position.path not in stored:
        return
    if node.kind != "step":
        if stored[position.path]:
            raise not_declared(walk, position.path)
    elif isinstance(node.component, WorkflowComponent):  # it has steps below it as a container has
        return
    for segment in _ANY_FIRST_BELOW:
        path = f"{position.path}/{segment}"
        if segment not in _FIRST_BELOW[node.kind] and path in stored:
            raise not_declared(walk, path)


def require_last(walk: "Walk", positions: Sequence[Position]) -> None:
    """Check that no step is stored that stood after these and is no longer declared.

    :raises ReplayDiverged: there is one.
    """
    if positions:
        last = positions[-1].path
        number = last[len(last.rstrip("0123456789")) :]
        require_nothing_at(walk, f"{last.removesuffix(number)}{int(number) + 1}")


def require_nothing_at(walk: "Walk", path: str) -> None:
    """Check that nothing is stored at a path at which no step is declared, or below it.

    :raises ReplayDiverged: there is something.
    """
    if path in walk.tree.stored_steps:
        raise not_declared(walk, path)


def not_declared(walk: "Walk", path: str) -> ReplayDiverged:
    """The error of a run with a stored step that is no longer declared."""
    name = walk.tree.stored_steps[path]
    step = f"{path} ('{name}')" if name else path
    return ReplayDiverged(f"The run cannot continue because step {step} is stored and no longer declared.")


def not_as_before(position: Position, problem: str) -> ReplayDiverged:
    """The error of a run with a step that was changed so that it cannot go on from what is stored."""
    step = f"{position.path} ('{position.node.name}')"
    return ReplayDiverged(f"The run cannot continue because step {step} {problem}.")
