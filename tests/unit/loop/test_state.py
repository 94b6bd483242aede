"""The state of a session within a run."""

from decimal import Decimal
from typing import Any

import pytest

from musterd.core.jsontypes import Json
from musterd.loop.state import copied, delta, merge_concurrent


def test_a_copy_shares_nothing_that_can_be_changed() -> None:
    """Also not what a tool puts into the state that is no JSON; it is refused later."""
    state: dict[str, Any] = {"cart": [{"item": "tea", "count": 2}], "seen": {"a"}, "pair": ([],), "price": Decimal(1)}
    copy = copied(state)
    assert copy == state
    copy["cart"][0]["count"] = 3
    copy["seen"].add("b")
    copy["pair"][0].append(1)
    assert state == {"cart": [{"item": "tea", "count": 2}], "seen": {"a"}, "pair": ([],), "price": Decimal(1)}


def test_a_state_that_contains_itself_is_copied_too() -> None:
    state: dict[str, Any] = {"name": "ada"}
    state["self"] = state
    copy = copied(state)
    assert copy is not state
    assert copy["self"]["self"] is copy["self"]


@pytest.mark.parametrize(
    ("before", "first", "second", "after"),
    [
        pytest.param({"a": 1}, {"a": 1, "b": 2}, {"a": 1, "c": 3}, {"a": 1, "b": 2, "c": 3}, id="entries"),
        pytest.param({"a": {"x": 1}, "b": 0}, {"a": {"x": 2}, "b": 0}, {"a": {"x": 1}}, {"a": {"x": 2}}, id="depth"),
        pytest.param(["milk"], ["milk", "tea"], ["milk", "tea"], ["milk", "tea", "tea"], id="appended"),
        pytest.param(["b"], ["a", "b"], ["b", "c"], ["a", "b", "c"], id="both ends"),
        pytest.param([1, 2, 3, 4], [1, 3, 4], [1, 2, 4], [1, 4], id="removed"),
        pytest.param([1, 2, 3], [2, 3, 9], [1, 3], [3, 9], id="rotated and removed"),
        pytest.param([1, 2, 3], [7, 8, 9], [1, 2, 3, 4], [7, 8, 9, 4], id="all items changed"),
        pytest.param([1, 2, 3], [1, 8, 2, 9, 3], [1, 3], [1, 8, 9, 3], id="inserted and removed"),
        pytest.param(
            [{"id": 1, "done": False}, {"id": 2, "done": False}],
            [{"id": 1, "done": True}, {"id": 2, "done": False}],
            [{"id": 1, "done": False}, {"id": 2, "done": True}, {"id": 3}],
            [{"id": 1, "done": True}, {"id": 2, "done": True}, {"id": 3}],
            id="items changed in place",
        ),
        pytest.param(["a"], ["x", "y"], ["a", "b"], ["a", "b"], id="a replaced list"),
        pytest.param(1, 2, 3, 3, id="a number"),
        pytest.param({"a": 1}, "text", {"a": 1, "b": 2}, {"a": 1, "b": 2}, id="another type"),
        pytest.param({"a": 1, "b": 2}, {"b": 2}, {"a": 1}, {}, id="entries removed"),
    ],
)
def test_changes_of_concurrent_calls_all_count(before: Json, first: Json, second: Json, after: Json) -> None:
    state = {"key": before}
    merge_concurrent(state, [delta(state, {"key": first}), None, delta(state, {"key": second})])
    assert state == {"key": after}


def test_concurrent_calls_may_create_and_remove_the_same_key() -> None:
    state: dict[str, Any] = {"old": 1}
    first, second = {"notes": ["a"], "of": {"x": 1}}, {"notes": ["b"], "of": {"y": 2}}
    merge_concurrent(state, [delta(state, first), delta(state, second)])
    assert state == {"notes": ["a", "b"], "of": {"x": 1, "y": 2}}
