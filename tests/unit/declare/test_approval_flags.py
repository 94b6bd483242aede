"""What a tool's author may say about asking a person, and what contradicts itself."""

from typing import Any

import pytest

from musterd.core.errors import DeclarationError
from musterd.declare import tool


def pay(n: int) -> str:
    """Pay."""
    return str(n)


@pytest.mark.parametrize(
    "flags, words",
    [
        ({"requires_confirmation": True, "external_execution": True}, "keep only one of them"),
        ({"approval": "maybe"}, "approval is 'maybe' — use 'required', 'audit'"),
        ({"approval": "audit"}, "sets 'approval', but no person decides about its calls"),
        ({"decide_within_seconds": 5}, "sets 'decide_within_seconds', but no person decides"),
        ({"requires_confirmation": True, "decide_within_seconds": 0}, "use a number of seconds above 0"),
        ({"requires_confirmation": True, "default_decision": "yes"}, "use 'approve', 'reject'"),
        ({"external_execution_silent": True}, "set external_execution=True"),
        ({"external_execution": True, "default_decision": "approve"}, "use default_decision='reject'"),
        ({"requires_user_input": True, "default_decision": "approve"}, "use default_decision='reject'"),
    ],
)
def test_what_contradicts_itself(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        tool(**flags)(pay)
    assert words in caught.value.message


def test_what_needs_approval_is_a_confirmation_where_nothing_else_is_said() -> None:
    assert tool(approval="required")(pay).requires_confirmation
    assert not tool(approval="required", external_execution=True)(pay).requires_confirmation
