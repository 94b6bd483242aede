"""What a tool's author says about asking a person before its calls: who decides, until when, and what else counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from musterd.declare.source_location import Place, listed, wrong

ASKING = ("requires_confirmation", "requires_user_input", "external_execution")
"""The flags by which calls wait for a person; a tool has one of them at most."""
_WAITING = ("approval", "decide_within_seconds", "default_decision")
_CHOICES = {"approval": ("required", "audit"), "default_decision": ("approve", "reject")}


def check_person_flags(name: str, flags: dict[str, Any], place: Place) -> None:
    """Check a tool's flags, and fill in what they imply.

    :raises DeclarationError: they contradict each other; one line says where and what to do.
    """
    for option, known in _CHOICES.items():
        if flags.get(option) not in (None, *known):
            raise wrong(place, f"tool '{name}': {option} is {flags[option]!r}", f"use {listed(known)}, or leave it out")
    asks = [flag for flag in ASKING if flags.get(flag)]
    if len(asks) > 1:
        raise wrong(place, f"tool '{name}' sets {listed(asks)}", "a call waits for one thing: keep one of them")
    if flags.get("external_execution_silent") and not flags.get("external_execution"):
        what = f"tool '{name}' sets external_execution_silent, and the server executes it"
        raise wrong(place, what, "set external_execution=True")
    if flags.get("approval") == "required" and not asks:
        flags["requires_confirmation"] = True
        asks = [ASKING[0]]
    _check_waiting(name, flags, asks, place)


def _check_waiting(name: str, flags: dict[str, Any], asks: Sequence[str], place: Place) -> None:
    waiting = [option for option in _WAITING if flags.get(option) is not None]
    if waiting and not asks:
        what = f"tool '{name}' sets {listed(waiting)}, and asks no person about its calls"
        raise wrong(place, what, f"set one of {listed(ASKING)} to True")
    if flags.get("default_decision") == "approve" and ASKING[0] not in asks:
        what = f"tool '{name}': default_decision='approve' cannot give what a person is to give"
        raise wrong(place, what, "use default_decision='reject'")
    seconds = flags.get("decide_within_seconds")
    if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
        raise wrong(place, f"tool '{name}': decide_within_seconds is {seconds!r}", "give it seconds above 0")
