"""Asks a person in the terminal what a paused run waits for."""

import json
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from musterd.cli.remote.output import call_text, one_line, say

if TYPE_CHECKING:
    from musterd.client import Decision, Requirement, Run

Answer = Callable[[str], str]
_STEP_WORDS = {"step": "begin the step", "failed_step": "try the failed step again (n skips it)"}


class Questions:
    """Asks about each requirement of a run, once. What is put off stays with the run.

    :param answer: shows a prompt and reads a line.
    """

    def __init__(self, answer: Answer | None = None) -> None:
        self._answer = answer or _answer_on_terminal
        self._later: set[str] = set()

    def decisions(self, run: "Run") -> list["Decision"]:
        """Ask about everything that was not put off."""
        decisions = []
        for requirement in run.requirements:
            if requirement.id in self._later:
                continue
            try:
                decision = self._decide(requirement)
            except EOFError:  # Ctrl+D
                decision = None
            if decision is None:
                self._later.add(requirement.id)
            else:
                decisions.append(decision)
        return decisions

    def _decide(self, requirement: "Requirement") -> "Decision | None":
        say("")
        for line in question_lines(requirement):
            say(line)
        if requirement.raw.get("user_feedback_schema"):
            return self._filled_in(requirement, [entry["question"] for entry in requirement.fields])
        if requirement.kind == "user_input" and requirement.fields:
            return self._filled_in(requirement, [entry["name"] for entry in requirement.fields])
        return self._choose(requirement)

    def _choose(self, requirement: "Requirement") -> "Decision | None":
        has_result = requirement.kind in ("external_execution", "unknown_outcome")
        can_edit = not has_result and requirement.list_name == "requirements"
        choices = {"r": "result"} if has_result else {}
        if requirement.kind != "external_execution":
            choices["y"] = "yes"
        choices["n"] = "no"
        if can_edit:
            choices["e"] = "edit"
        choices["l"] = "later"
        match self._letter(choices):
            case "y":
                return requirement.approve()
            case "n":
                note = (
                    ""
                    if requirement.list_name != "requirements"
                    else self._answer("Reason, for the model (optional): ")
                )
                return requirement.reject(note.strip() or None)
            case "e":
                return requirement.approve(self._edited(requirement.arguments))
            case "r":
                return requirement.give_result(self._answer("What the call returned: "))
            case _:
                return None

    def _letter(self, choices: dict[str, str]) -> str:
        prompt = ", ".join(f"[{letter}]{word[1:]}" for letter, word in choices.items())
        while True:
            reply = self._answer(f"{prompt}? ").strip().lower()
            for letter, word in choices.items():
                if reply in (letter, word):
                    return letter

    def _edited(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments that the person has changed."""
        changes = {}
        for name, value in arguments.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            reply = self._answer(f"{one_line(name)} [{one_line(text)}]: ")
            if reply.strip():
                changes[name] = reply if isinstance(value, str) else _value(reply)
        return changes

    def _filled_in(self, requirement: "Requirement", names: list[str]) -> "Decision | None":
        is_feedback = bool(requirement.raw.get("user_feedback_schema"))
        choices = {"f": "fill in", "n": "no", "l": "later"}
        match self._letter(choices):
            case "n":
                return requirement.reject()
            case "l":
                return None
        values: dict[str, Any] = {}
        for name, entry in zip(names, requirement.fields, strict=True):
            current = entry.get("value")
            default = "" if current is None else f" [{one_line(current)}]"
            reply = self._answer(f"{one_line(name)}{default}: ").strip()
            if is_feedback:
                values[name] = [part.strip() for part in reply.split(",") if part.strip()]
            elif reply:
                values[name] = reply if entry.get("field_type") in ("str", None) else _value(reply)
            elif current is not None:
                values[name] = current
        return requirement.fill_in(values)


def question_lines(requirement: "Requirement") -> Iterator[str]:
    """What is asked."""
    who = f"{one_line(requirement.member)} wants to" if requirement.member else "The run wants to"
    if words := _STEP_WORDS.get(requirement.kind):
        yield f"{who} {words}: {one_line(requirement.name)}"
        for key in ("confirmation_message", "user_input_message", "error_message"):
            if message := requirement.raw.get(key):
                yield f"  {one_line(message)}"
        return
    call = call_text(requirement.name, requirement.arguments)
    if requirement.kind == "unknown_outcome":
        yield f"This call was cut off, and may have happened: {call}"
        yield "  result: it happened; yes: make it again; no: do not"
    elif requirement.kind == "external_execution":
        yield f"This call is made elsewhere: {call}"
    else:
        yield f"{who} call {call}"
    for entry in requirement.raw.get("user_feedback_schema") or ():
        options = ", ".join(one_line(option["label"]) for option in entry.get("options") or ())
        yield f"  {one_line(entry['question'])} ({options})"


def can_ask() -> bool:
    """Whether a person is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _value(text: str) -> Any:
    """A value as JSON; a text that is none stays a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _answer_on_terminal(prompt: str) -> str:
    """Read a line. The prompt goes to standard error, because standard output is for data."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        say("")
        raise EOFError
    return line.rstrip("\n")
