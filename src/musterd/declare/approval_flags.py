"""Checks the flags by which a tool requires a person: who decides, until when, and the default decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from musterd.declare.source_location import Place, declaration_error, quoted_list

PERSON_FLAGS = ("requires_confirmation", "requires_user_input", "external_execution")
"""The flags that make calls wait for a person. A tool may set at most one of them."""
_DECISION_OPTIONS = ("approval", "decide_within_seconds", "default_decision")
QUESTION_OPTIONS = (*PERSON_FLAGS, "user_input_fields", "external_execution_silent", *_DECISION_OPTIONS)
"""The options of a tool that change the questions to a person about its calls."""
_CHOICES = {"approval": ("required", "audit"), "default_decision": ("approve", "reject")}


def check_approval_flags(name: str, flags: dict[str, Any], place: Place) -> None:
    """Check a tool's approval flags, and set the flags that they imply.

    :raises DeclarationError: they contradict each other.
    """
    for option, choices in _CHOICES.items():
        if flags.get(option) not in (None, *choices):
            raise declaration_error(
                place, f"tool '{name}': {option} is {flags[option]!r}", f"use {quoted_list(choices)}, or leave it out"
            )
    set_flags = [flag for flag in PERSON_FLAGS if flags.get(flag)]
    if len(set_flags) > 1:
        raise declaration_error(place, f"tool '{name}' sets {quoted_list(set_flags)}", "keep only one of them")
    if flags.get("external_execution_silent") and not flags.get("external_execution"):
        problem = f"tool '{name}' sets external_execution_silent without external_execution"
        raise declaration_error(place, problem, "set external_execution=True")
    if flags.get("approval") == "required" and not set_flags:
        flags["requires_confirmation"] = True
        set_flags = [PERSON_FLAGS[0]]
    _check_decision_options(name, flags, set_flags, place)


def _check_decision_options(name: str, flags: dict[str, Any], set_flags: Sequence[str], place: Place) -> None:
    set_options = [option for option in _DECISION_OPTIONS if flags.get(option) is not None]
    if set_options and not set_flags:
        problem = f"tool '{name}' sets {quoted_list(set_options)}, but no person decides about its calls"
        raise declaration_error(place, problem, f"set one of {quoted_list(PERSON_FLAGS)} to True")
    if flags.get("default_decision") == "approve" and PERSON_FLAGS[0] not in set_flags:
        problem = f"tool '{name}': default_decision='approve' cannot supply the input of a person"
        raise declaration_error(place, problem, "use default_decision='reject'")
    seconds = flags.get("decide_within_seconds")
    if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
        raise declaration_error(
            place, f"tool '{name}': decide_within_seconds is {seconds!r}", "use a number of seconds above 0"
        )
