"""Asks a person in the terminal what a paused run waits for."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from musterd.cli.output import call_text, one_line, say
from musterd.cli.remote.decision_hints import UNKNOWN_OUTCOME
from musterd.cli.typed_keys import forget_typed_keys

if TYPE_CHECKING:
    from musterd.client import Decision, Requirement, Run

Answer = Callable[[str], str]
_STEP_WORDS = {"step": "begin the step", "failed_step": "try the failed step again (n skips it)"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A reply to a question: the word, or its first letter."""

    word: str
    meaning: str

    @property
    def letter(self) -> str:
        """The letter that stands for it."""
        return self.word[0]


_LATER = Choice("later", "decide later; the run waits")
_REFUSE = Choice("no", "do not make the call; the model is told")
_CONFIRM = (Choice("yes", "make the call"), _REFUSE, Choice("edit", "change the values, then decide"), _LATER)
_GIVE_RESULT = (Choice("result", "type what the call returned"), _REFUSE, _LATER)
# No "yes": it could be read as "it happened", or be typed as an answer to a first question.
_AFTER_CUT_OFF = (
    Choice("result", "it happened: type what it returned"),
    Choice("again", "it did not happen: make the call again"),
    Choice("no", "do not make it again; the model is told"),
    _LATER,
)
_FILL_IN = (Choice("fill in", "type the values"), Choice("no", "refuse"), _LATER)
_BEGIN_STEP = (Choice("yes", "begin the step"), Choice("no", "do not begin it"), _LATER)
_RETRY_STEP = (Choice("yes", "try the step again"), Choice("no", "skip it"), _LATER)


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
        forget_typed_keys()
        say("")
        for line in question_lines(requirement):
            say(line)
        raw = requirement.raw
        if raw.get("available_choices"):
            return self._routed(requirement)
        if raw.get("user_feedback_schema"):
            return self._filled_in(requirement, self._options)
        if requirement.fields and (requirement.kind == "user_input" or raw.get("requires_user_input")):
            return self._filled_in(requirement, self._values)
        return self._choose(requirement)

    def _choose(self, requirement: "Requirement") -> "Decision | None":
        changes: dict[str, Any] = {}
        while True:
            match self._letter(_choices_of(requirement)):
                case "y" | "a":
                    return requirement.approve(changes or None)
                case "n":
                    has_reader = requirement.list_name == "requirements"
                    note = self._answer("Reason, for the model (optional): ") if has_reader else ""
                    return requirement.reject(note.strip() or None)
                case "e":  # the person sees the call as it would be made before it is made
                    changes |= self._edited(requirement.arguments, changes)
                    say(f"The call is now {call_text(requirement.name, {**requirement.arguments, **changes})}")
                case "r":
                    return requirement.give_result(self._answer("What the call returned: "))
                case _:
                    return None

    def _letter(self, choices: Sequence[Choice]) -> str:
        """The letter of what the person chooses. Any other reply is answered with what each choice means."""
        prompt = ", ".join(f"[{choice.letter}]{choice.word[1:]}" for choice in choices)
        while True:
            reply = self._answer(f"{prompt}? ").strip().lower()
            for choice in choices:
                if reply in (choice.letter, choice.word):
                    return choice.letter
            if reply:
                for line in _meanings(choices):
                    say(line)

    def _edited(self, arguments: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
        """The arguments that the person has changed.

        :param earlier: those that the person changed before.
        """
        changes = {}
        for name, proposed in arguments.items():
            value = earlier.get(name, proposed)
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            reply = self._answer(f"{one_line(name)} [{one_line(text)}]: ")
            if reply.strip():
                changes[name] = reply if isinstance(proposed, str) else json_or_text(reply)
        return changes

    def _routed(self, requirement: "Requirement") -> "Decision | None":
        """Which of its choices a router takes."""
        names = requirement.raw["available_choices"]
        while True:
            reply = self._answer(f"{', '.join(map(one_line, names))}, or later: ")
            if reply.strip().lower() in ("l", "later"):
                return None
            chosen = _parts(reply)
            if chosen and set(chosen) <= set(names):
                return requirement.choose(chosen)
            if reply.strip():
                say("  Type the names, with commas between them. later: decide later; the run waits")

    def _filled_in(
        self, requirement: "Requirement", read: Callable[["Requirement"], dict[str, Any]]
    ) -> "Decision | None":
        match self._letter(_FILL_IN):
            case "f":
                return requirement.fill_in(read(requirement))
            case "n":
                return requirement.reject()
            case _:
                return None

    def _values(self, requirement: "Requirement") -> dict[str, Any]:
        """The values of a form. An empty line takes the value that is there."""
        values: dict[str, Any] = {}
        for entry in requirement.fields:
            current = entry.get("value")
            default = "" if current is None else f" [{one_line(current)}]"
            reply = self._answer(f"{one_line(entry['name'])}{default}: ").strip()
            if reply:
                values[entry["name"]] = reply if entry.get("field_type") in ("str", None) else json_or_text(reply)
            elif current is not None:
                values[entry["name"]] = current
        return values

    def _options(self, requirement: "Requirement") -> dict[str, Any]:
        """The options that are chosen for each question."""
        return {
            entry["question"]: _parts(self._answer(f"{one_line(entry['question'])} ")) for entry in requirement.fields
        }


def _choices_of(requirement: "Requirement") -> Sequence[Choice]:
    """What can be decided about a requirement."""
    if requirement.kind == UNKNOWN_OUTCOME:
        return _AFTER_CUT_OFF
    match requirement.kind:
        case "external_execution":
            return _GIVE_RESULT
        case "failed_step":
            return _RETRY_STEP
        case "step":
            return _BEGIN_STEP
        case _:
            return _CONFIRM


def _meanings(choices: Sequence[Choice]) -> Iterator[str]:
    """What each choice means, in a line."""
    return (f"  {choice.word:<8} {choice.meaning}" for choice in choices)


def question_lines(requirement: "Requirement") -> Iterator[str]:
    """What the person is to decide, before the prompt."""
    who = f"{one_line(requirement.member)} wants to" if requirement.member else "The run wants to"
    if words := _STEP_WORDS.get(requirement.kind):
        yield f"{who} {words}: {one_line(requirement.name)}"
        for key in ("confirmation_message", "user_input_message", "error_message"):
            if message := requirement.raw.get(key):
                yield f"  {one_line(message)}"
        return
    call = call_text(requirement.name, requirement.arguments)
    if requirement.kind == UNKNOWN_OUTCOME:
        yield f"This call was cut off, and may have happened: {call}"
        yield from _meanings(_AFTER_CUT_OFF)
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


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def json_or_text(text: str) -> Any:
    """The value of a text that a person typed. A text that is not JSON stays a text."""
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
