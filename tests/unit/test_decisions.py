"""Decisions and what they are about: many of both take little time."""

import pytest

from musterd.core.errors import InvalidInput
from musterd.core.requirements import ApprovalRow, Decision, Verdict
from musterd.store.decisions import _by_requirement
from tests.support.cpu_time import cpu_at_most
from tests.unit.wire import samples


def approval(number: int, call_id: str, **changes: object) -> ApprovalRow:
    call = samples.weather_call(id=call_id)
    return ApprovalRow(requirement=samples.requirement(id=f"q{number}", tool=call, **changes), state="pending")


def decision(key: str) -> Decision:
    return Decision(key=key, verdict=Verdict.REFUSED)


def test_a_decision_names_an_approval_a_call_or_a_step_and_means_the_latest_one() -> None:
    rows = [approval(1, "a"), approval(2, "a"), approval(3, "b", step={"step_id": "s"}), approval(4, "q3")]
    for key, number in (("q1", 1), ("a", 2), ("b", 3), ("s", 3), ("q3", 4)):
        assert list(_by_requirement(rows, [decision(key)])) == [f"q{number}"]
    with pytest.raises(InvalidInput, match="not waiting for q9"):
        _by_requirement(rows, [decision("q9")])


def test_many_decisions_about_many_approvals_take_little_time() -> None:
    rows = [approval(number, f"call{number}") for number in range(2_000)]
    decisions = [decision(f"q{number}") for number in range(2_000)]
    with cpu_at_most(0.3):  # it was 1.7 seconds
        assert len(_by_requirement(rows, decisions)) == 2_000
