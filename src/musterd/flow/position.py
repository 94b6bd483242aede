"""A node of a workflow's declared tree at one place of a run. A node in a loop has one position per iteration."""

from dataclasses import dataclass

from musterd.core.jsontypes import JsonObject
from musterd.declare.workflow.resolved import StepNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A node at one place of a run.

    :param path: the path of its journal step.
    :param index: its number among the nodes beside it, after those of the containers around it.
    :param parent_id: the step id of the container around it.
    :param is_followed: whether an intent or the end of the run is stored at once after it.
    """

    node: StepNode
    path: str
    index: tuple[int, ...]
    parent_id: str | None = None
    is_followed: bool = False

    @property
    def head(self) -> JsonObject:
        """What identifies the step in events."""
        head: JsonObject = {
            "step_id": self.node.step_id,
            "step_name": self.node.name,
            "step_index": self.index[0] if len(self.index) == 1 else list(self.index),
        }
        return head if self.parent_id is None else {**head, "parent_step_id": self.parent_id}

    @property
    def stores_at_once(self) -> bool:
        """Whether it begins with the intent of a step. A choice may take long before something is stored."""
        node = self.node
        while node.kind in ("steps", "parallel", "loop"):
            node = node.children[0]
        return node.kind == "step"

    def below(self, node: StepNode, segment: str, number: int) -> "Position":
        """The position of a node in this container.

        :param segment: what is appended to the path.
        :param number: its number among the nodes beside it.
        """
        index = (*self.index, number)
        return Position(node=node, path=f"{self.path}/{segment}", index=index, parent_id=self.node.step_id)
