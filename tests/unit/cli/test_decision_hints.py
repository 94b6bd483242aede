"""What commands say about how to decide."""

from musterd.cli.remote.decision_hints import decision_hints
from musterd.cli.remote.server_options import NO_OPTIONS


def test_a_call_that_was_cut_off_has_three_decisions() -> None:
    hints = "\n".join(decision_hints("unknown_outcome", "a1", NO_OPTIONS))
    assert "may have happened" in hints
    assert [line.split("musterd ")[1] for line in hints.splitlines()[1:]] == [
        "approvals approve a1 --result TEXT",
        "approvals approve a1 --again",
        "approvals reject a1",
    ]


def test_another_call_is_approved_rejected_or_changed() -> None:
    first, *commands = decision_hints("confirmation", "a1", NO_OPTIONS)
    assert first == "Decide:"
    assert [line.split("musterd ")[1] for line in commands] == [
        "approvals approve a1",
        "approvals reject a1",
        "approvals edit a1 NAME=VALUE",
    ]
