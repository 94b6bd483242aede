"""Where a run can be forked: which steps of a journal happened before a given one.

A run of an agent or a team is cut before a turn, with the members that it delegates to. A run of a workflow is cut
before a step, however deep it is in containers and nested workflows; docs/internals/workflows.md lists the paths.
"""

import re
from collections.abc import Callable
from itertools import zip_longest

from musterd.core.records import ComponentKind

_TURN = re.compile(r"t(?P<number>\d+)/.*")
_BEFORE_TURNS = re.compile(r"(p|pre\d+|reason)(/.*)?")
_NODE = re.compile(r"[sebi]\d+")
_BRANCH, _ITERATION, _CHOICE, _FURTHER_TRY = re.compile(r"b\d+"), re.compile(r"i\d+"), "c", re.compile(r"r\d+")
_WHOLE = "f"
"""The result of a function that is a whole workflow, which follows from the results of the steps that it calls."""
_AFTER_NODES = 10**9
_AGENT, _DECISION = "a", (["p"], ["t0", "m"])
"""The agent of a workflow, and its steps until it decided to run the workflow. Its later ones follow the last node."""


def before(path: str, kind: ComponentKind) -> Callable[[str], bool] | None:
    """Whether another step happened before the turn, or the step of a workflow, that a path belongs to.

    None: a run of this kind cannot be cut there.
    """
    if kind == "workflow":
        place = _place(path)
        return None if not place else lambda other: _is_earlier(other.split("/"), place)
    turn = _TURN.fullmatch(path)
    if turn is None:
        return None
    number = int(turn["number"])
    return lambda other: _is_before_turn(other, number)


def _is_before_turn(path: str, number: int) -> bool:
    turn = _TURN.fullmatch(path)
    return _BEFORE_TURNS.fullmatch(path) is not None if turn is None else int(turn["number"]) < number


def _place(path: str) -> list[str]:
    """The place of the step of the workflow that a path belongs to, or of its choice.

    Further tries and questions belong to their step, and so does everything that its agent or team does.
    """
    place: list[str] = []
    for segment in path.split("/"):
        if _NODE.fullmatch(segment) is not None:
            place.append(segment)
        elif segment == _CHOICE and place:
            return [*place, segment]
        else:
            break
    return place


def _is_earlier(path: list[str], place: list[str]) -> bool:
    """Whether a step happened before the one at ``place``. What is around it did not, and other branches count so."""
    above = ""
    for depth, (segment, other) in enumerate(zip_longest(path, place), 1):
        if segment is None or other is None:
            return False
        if segment == _AGENT:
            return path[depth:] in _DECISION
        if segment != other:
            is_beside = _BRANCH.fullmatch(segment) is not None and _BRANCH.fullmatch(other) is not None
            return is_beside or _rank(segment, above) < _rank(other, above)
        above = segment
    return False


def _rank(segment: str, above: str) -> int:
    """The order of the steps at one place: preparation and questions, choices, nodes; then what follows them."""
    if segment == _CHOICE:  # the end condition of a loop follows the steps of the iteration
        return _AFTER_NODES if _ITERATION.fullmatch(above) else 0
    if _NODE.fullmatch(segment) is not None:
        return 1 + int(segment[1:])
    is_after = segment == _WHOLE or _FURTHER_TRY.fullmatch(segment) is not None
    return _AFTER_NODES if is_after else -1
