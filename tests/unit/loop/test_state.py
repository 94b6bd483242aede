"""The state of a session within a run."""

from decimal import Decimal
from typing import Any

from musterd.loop.state import copied


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
