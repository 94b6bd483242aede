"""The script of the model ``scripted``: what it answers, as a pure function of the conversation.

Messages and tools have the shapes of OpenAI's chat completions. The last user message may carry directives:

| directive | what the model does |
|---|---|
| ``[[SAY text]]`` | answers ``text`` |
| ``[[WORDS n]]``, ``[[WORDS n ms]]`` | answers ``n`` words, so many milliseconds apart |
| ``[[TOOL name {"a": 1}]]`` | calls the tool; may stand several times |
| ``[[DELEGATE member-id: task || DELEGATE other: task]]`` | delegates, in one turn |
| ``[[BROADCAST task]]`` | delegates to all members |
| ``[[SLEEP ms]]`` | waits first; may stand beside any other |
| ``[[ERROR status]]`` | fails with this HTTP status |

In a task ``<…>`` stands for a nested ``[[…]]``. After tool results it answers ``Done:`` and the results.
Without a directive a leader that can delegate splits the message and gives each part to the member whose
role shares its words, then answers with the replies; one that broadcasts gives it to all; one with a task list makes
each part a task, those behind "then" dependent on those before; a member with one tool that fits calls it; whoever is
left echoes.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from musterd.models.clauses import Member, joined, members_of, pick_by_words, split_request, words_of
from musterd.models.script_tasks import has_task_list, next_steps

DELEGATE = "delegate_task_to_member"
BROADCAST = "delegate_task_to_members"
INPUT_TOKENS = 10
OUTPUT_TOKENS = 5
MOST_WORDS = 100_000

_DIRECTIVE = re.compile(r"\[\[(SAY|WORDS|TOOL|DELEGATE|BROADCAST|SLEEP|ERROR)\b *(.*?)\]\](?!\])", re.DOTALL)
_NESTED = re.compile(r"<(?=(?:SAY|WORDS|TOOL|DELEGATE|BROADCAST|SLEEP|ERROR)\b)")
_PROPER_NAME = re.compile(r"\b(?:in|for|of|at|to|on)\s+([A-Z][\w'-]*(?:\s+[A-Z][\w'-]*)*)")
_PIECE = re.compile(r"\S+\s*|\s+")

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call that the model makes."""

    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the model does in one turn: wait, then fail, call or speak.

    :param calls: the tools it calls; when there are any it says nothing.
    :param error_status: the HTTP status it fails with, else None.
    :param sleep_seconds: how long it waits before anything else.
    :param word_seconds: how long it waits before each word.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    error_status: int | None = None
    sleep_seconds: float = 0.0
    word_seconds: float = 0.0

    @property
    def error_message(self) -> str:
        """The words of the failure."""
        return f"fake model error {self.error_status}"

    @property
    def pieces(self) -> list[str]:
        """The text word by word, as it is streamed."""
        return _PIECE.findall(self.text)


def plan(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> Plan:
    """What ``scripted`` does next.

    :param messages: the conversation, as OpenAI's chat completions take it; contents may be lists of parts.
    :param tools: the tools offered, as OpenAI's chat completions take them.
    """
    last_user = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=-1)
    text = _text(messages[last_user]) if last_user >= 0 else ""
    directives = _DIRECTIVE.findall(text[: text.rfind("]]") + 2])  # behind it each would be looked for to the end
    functions = [tool["function"] for tool in tools]
    system = "\n".join(_text(message) for message in messages if message["role"] in ("system", "developer"))
    if not directives and has_task_list([function["name"] for function in functions]):
        steps = next_steps(text, system, messages[last_user + 1 :])
        if isinstance(steps, str):
            return Plan(text=steps)
        return Plan(calls=tuple(Call(name=name, args=args) for name, args in steps))
    if results := [_text(message) for message in messages[last_user + 1 :] if message["role"] == "tool"]:
        return Plan(text="Done: " + " | ".join(results) if directives else joined(results))
    if directives:
        return _directed(text, directives)
    return _undirected(text, system, functions)


def _directed(text: str, directives: Sequence[tuple[str, str]]) -> Plan:
    sleep = sum(float(body) / 1000 for verb, body in directives if verb == "SLEEP")
    calls: list[Call] = []
    for verb, body in directives:
        if verb == "ERROR":
            return Plan(error_status=int(body), sleep_seconds=sleep)
        if verb == "SAY":
            return Plan(text=body, sleep_seconds=sleep)
        if verb == "WORDS":
            count, _, milliseconds = body.partition(" ")
            words = " ".join(f"word{number}" for number in range(min(int(count), MOST_WORDS)))
            return Plan(text=words, sleep_seconds=sleep, word_seconds=float(milliseconds or 0) / 1000)
        calls.extend(_calls(verb, body))
    return Plan(text="" if calls else f"Echo: {text}", calls=tuple(calls), sleep_seconds=sleep)


def _calls(verb: str, body: str) -> Iterator[Call]:
    if verb == "TOOL":
        name, _, args = body.partition(" ")
        yield Call(name=name, args=json.loads(args or "{}"))
    elif verb == "BROADCAST":
        yield Call(name=BROADCAST, args={"task": _unnested(body.strip())})
    elif verb == "DELEGATE":
        for part in _parts(body):
            member, _, task = part.removeprefix("DELEGATE ").partition(":")
            yield Call(name=DELEGATE, args={"member_id": member.strip(), "task": _unnested(task.strip())})


def _parts(body: str) -> list[str]:
    """``body`` cut at every ``||`` outside of ``<…>``."""
    parts, depth = [""], 0
    for token in re.findall(r"\|\||.", body, re.DOTALL):
        depth += (token == "<") - (token == ">")
        if token == "||" and depth <= 0:
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts]


def _unnested(task: str) -> str:
    """``task`` with each outermost ``<DIRECTIVE …>`` written ``[[DIRECTIVE …]]``."""
    written, depth = [], 0
    for position, sign in enumerate(task):
        if sign == "<" and (depth or _NESTED.match(task, position)):
            depth += 1
            written.append("[[" if depth == 1 else sign)
        elif sign == ">" and depth:
            depth -= 1
            written.append(sign if depth else "]]")
        else:
            written.append(sign)
    return "".join(written)


def _undirected(text: str, system: str, functions: Sequence[Mapping[str, Any]]) -> Plan:
    names = [function["name"] for function in functions]
    if BROADCAST in names:
        return Plan(calls=(Call(name=BROADCAST, args={"task": text}),))
    if DELEGATE in names:
        if calls := _delegations(text, members_of(system)):
            return Plan(calls=calls)
    elif len(functions) == 1 and (call := _fitting_call(text, functions[0])):
        return Plan(calls=(call,))
    return Plan(text=f"Echo: {text}")


def _delegations(text: str, members: Sequence[Member]) -> tuple[Call, ...]:
    clauses = ((clause, pick_by_words(clause, members)) for clause in split_request(text))
    return tuple(
        Call(name=DELEGATE, args={"member_id": member.id, "task": clause}) for clause, member in clauses if member
    )


def _fitting_call(text: str, function: Mapping[str, Any]) -> Call | None:
    """A call of the only tool, where ``text`` speaks of it and its only argument can be read from it."""
    properties: Mapping[str, Any] = (function.get("parameters") or {}).get("properties") or {}
    about = words_of(f"{function['name'].replace('_', ' ')} {function.get('description') or ''}")
    named = _PROPER_NAME.search(text)
    if len(properties) != 1 or named is None or not about & words_of(text):
        return None
    (argument,) = properties
    return Call(name=function["name"], args={argument: named[1]})


def _text(message: Message) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
