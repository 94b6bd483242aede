"""A node of a workflow's declared tree at one place of a run. A node in a loop has one position per iteration."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepKind
from musterd.declare.workflow.resolved import StepNode
from musterd.loop.run_tree import fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A node at one place of a run.

    :param path: the path of its journal step.
    :param index: the numbers of the enclosing containers, from the outside in, and then the node's own number.
    :param parent_id: the step id of the innermost enclosing container.
    :param is_followed: whether an intent or the end of the run is stored right after it.
    """

    node: StepNode
    path: str
    index: tuple[int, ...]
    parent_id: str | None = None
    is_followed: bool = False

    @property
    def head(self) -> JsonObject:
        """The step's identity in events."""
        head: JsonObject = {
            "step_id": self.node.step_id,
            "step_name": self.node.name,
            "step_index": self.index[0] if len(self.index) == 1 else list(self.index),
        }
        return head if self.parent_id is None else {**head, "parent_step_id": self.parent_id}

    def below(self, node: StepNode, segment: str, number: int, *, is_followed: bool = False) -> "Position":
        """The position of a node in this container.

        :param segment: the last part of its path.
        :param number: its number among the nodes of the container.
        """
        return Position(
            node=node,
            path=f"{self.path}/{segment}",
            index=(*self.index, number),
            parent_id=self.node.step_id,
            is_followed=is_followed,
        )

    def row_below(self, nodes: Sequence[StepNode], segment: str, *, is_followed: bool) -> list["Position"]:
        """The positions of nodes that run one after another in this container.

        :param segment: the last part of each path, without the number.
        :param is_followed: whether an intent or the end of the run is stored right after the last one.
        """
        follows = followed(nodes, is_last_followed=is_followed)
        return [
            self.below(node, f"{segment}{number}", number, is_followed=follows[number])
            for number, node in enumerate(nodes)
        ]


def followed(nodes: Sequence[StepNode], *, is_last_followed: bool) -> list[bool]:
    """For each of these consecutive nodes, whether an intent or the end of the run is stored right after it."""
    return [*(stores_at_once(node) for node in nodes[1:]), is_last_followed][: len(nodes)]


def stores_at_once(node: StepNode) -> bool:
    """Whether a node begins with the intent of a step. A choice does not: it may take long and stores nothing first."""
    while node.kind in ("steps", "parallel", "loop"):
        node = node.children[0]
    return node.kind == "step"


@functools.lru_cache(maxsize=4096)
def step_fingerprint(kind: StepKind, workflow_id: str, name: str, place: str) -> str:
    """The fingerprint of a step at a declared place of a workflow."""
    return fingerprint(kind, workflow_id, name, place)
