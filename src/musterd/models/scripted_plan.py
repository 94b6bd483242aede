"""The script of the model ``scripted``: computes the answer as a pure function of the conversation.

Messages and tools have the format of OpenAI's chat completions. The last user message may contain directives:

| directive | the model |
|---|---|
| ``[[SAY text]]`` | answers ``text`` |
| ``[[WORDS n]]``, ``[[WORDS n ms]]`` | answers ``n`` words, ``ms`` milliseconds apart |
| ``[[TOOL name {"a": 1}]]`` | calls the tool; may occur several times |
| ``[[DELEGATE member-id: task || DELEGATE other: task]]`` | delegates all tasks in one turn |
| ``[[BROADCAST task]]`` | delegates to all members |
| ``[[SLEEP ms]]`` | waits first; can be combined with any other directive |
| ``[[ERROR status]]`` | fails with this HTTP status |

In a task, ``<…>`` stands for a nested ``[[…]]``. After tool results the model answers ``Done:`` and the results.

Without directives:

- A leader that can delegate splits the message, gives each part to the member whose role shares its words, and answers
  with the replies.
- A leader that can broadcast gives the message to all members.
- A leader with a task list makes each part a task. Tasks after "then" depend on the tasks before it.
- A memory manager remembers what begins with "I", "My" or "Remember that". If there is a profile, "My name is …" sets
  the name in it.
- An agent calls the tool whose name and description share the most words with the message, if the message has a value
  for each parameter that the tool requires. Numbers are taken in their order. Texts are names (after "in", "to" and the
  like), then texts in double quotes, then numbers and codes after a word ("order 17").
- Any other agent echoes the message. If a tool's name shares words with it, the answer says which value is missing.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from musterd.models.clauses import Member, joined, members_of, pick_by_words, split_request, words_of
from musterd.models.scripted_tasks import has_task_list, next_steps

MEMORY_TOOLS = frozenset({"add_memory", "update_memory", "delete_memory", "clear_memory", "update_profile"})
DELEGATE = "delegate_task_to_member"
BROADCAST = "delegate_task_to_members"
INPUT_TOKENS = 10
OUTPUT_TOKENS = 5
MAX_WORDS = 100_000

_DIRECTIVE = re.compile(r"\[\[(SAY|WORDS|TOOL|DELEGATE|BROADCAST|SLEEP|ERROR)\b *(.*?)\]\](?!\])", re.DOTALL)
_NESTED = re.compile(r"<(?=(?:SAY|WORDS|TOOL|DELEGATE|BROADCAST|SLEEP|ERROR)\b)")
_PROPER_NAME = re.compile(r"\b(?:in|for|of|at|to|on)\s+([A-Z][\w'-]*(?:\s+[A-Z][\w'-]*)*)")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?\b")
_QUOTED = re.compile(r'"([^"\n]+)"|“([^”\n]+)”')
# After a word that it belongs to, and not before a word that it counts: "order 17", but neither "at 5" nor "12 bikes".
_CODE = re.compile(
    r"(?:#|\b(?!(?:after|at|before|by|in|on|since|until)\b)[A-Za-z]+\s+#?)(?P<code>[A-Za-z-]{0,20}\d[\w-]{0,40})"
    r"(?=\s*(?:[.,;:!?)]|$|\b(?:and|at|because|by|for|from|in|of|on|please|to|with)\b))",
    re.IGNORECASE,
)
_FACT = re.compile(r"\b(?:I|My|Remember that)\b[^.!?\n]*")
_NAME = re.compile(r"\bMy name is ([^.!?,\n]+)[.!?,]*")
_WORD = re.compile(r"\S+\s*|\s+")

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call that the model makes."""

    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The model's turn: it waits, and then fails, calls tools or answers.

    :param calls: the tools that the model calls. If there are any, it answers no text.
    :param error_status: the HTTP status that it fails with, else None.
    :param sleep_seconds: how long it waits first.
    :param word_seconds: how long it waits before each word.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    error_status: int | None = None
    sleep_seconds: float = 0.0
    word_seconds: float = 0.0

    @property
    def error_message(self) -> str:
        """The failure's message."""
        return f"fake model error {self.error_status}"

    @property
    def pieces(self) -> list[str]:
        """The words of the text, as they are streamed."""
        return _WORD.findall(self.text)


def plan(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> Plan:
    """Plan the next turn of ``scripted``.

    :param messages: the conversation in the format of OpenAI's chat completions. Contents may be lists of parts.
    :param tools: the available tools in the same format.
    """
    last_user = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=-1)
    text = _text(messages[last_user]) if last_user >= 0 else ""
    functions = [tool["function"] for tool in tools]
    # Cut after the last "]]": each unclosed "[[" after it would otherwise be searched to the end of the text.
    directives = _DIRECTIVE.findall(text[: text.rfind("]]") + 2])
    directives = _directives_for(directives, is_manager=any(tool["name"] in MEMORY_TOOLS for tool in functions))
    system = "\n".join(_text(message) for message in messages if message["role"] in ("system", "developer"))
    if not directives and has_task_list([function["name"] for function in functions]):
        steps = next_steps(text, system, messages[last_user + 1 :])
        if isinstance(steps, str):
            return Plan(text=steps)
        return Plan(calls=tuple(Call(name=name, args=args) for name, args in steps))
    if results := [_text(message) for message in messages[last_user + 1 :] if message["role"] == "tool"]:
        return Plan(text="Done: " + " | ".join(results) if directives else joined(map(_reply_of, results)))
    if directives:
        return _plan_directives(text, directives)
    return _plan_plain_request(text, system, functions)


def _reply_of(result: str) -> str:
    """The result of a call in an answer. Failed calls have results of the form ``{"error": text}``."""
    if not result.startswith('{"error":'):
        return result
    try:
        error = json.loads(result)["error"]
    except ValueError:
        return result
    return f"Failed: {error}" if isinstance(error, str) else result


def _directives_for(directives: Sequence[tuple[str, str]], *, is_manager: bool) -> list[tuple[str, str]]:
    """The directives for a memory manager, or for another model. Both read the user's message."""

    def is_for_manager(verb: str, body: str) -> bool:
        return verb == "TOOL" and body.partition(" ")[0] in MEMORY_TOOLS

    return [
        (verb, body)
        for verb, body in directives
        if verb in ("SLEEP", "ERROR") or is_for_manager(verb, body) is is_manager
    ]


def _plan_directives(text: str, directives: Sequence[tuple[str, str]]) -> Plan:
    sleep_seconds = sum(float(body) / 1000 for verb, body in directives if verb == "SLEEP")
    calls: list[Call] = []
    for verb, body in directives:
        if verb == "ERROR":
            return Plan(error_status=int(body), sleep_seconds=sleep_seconds)
        if verb == "SAY":
            return Plan(text=body, sleep_seconds=sleep_seconds)
        if verb == "WORDS":
            count, _, milliseconds = body.partition(" ")
            words = " ".join(f"word{number}" for number in range(min(int(count), MAX_WORDS)))
            return Plan(text=words, sleep_seconds=sleep_seconds, word_seconds=float(milliseconds or 0) / 1000)
        calls.extend(_directive_calls(verb, body))
    return Plan(text="" if calls else f"Echo: {text}", calls=tuple(calls), sleep_seconds=sleep_seconds)


def _directive_calls(verb: str, body: str) -> Iterator[Call]:
    if verb == "TOOL":
        name, _, args = body.partition(" ")
        yield Call(name=name, args=json.loads(args or "{}"))
    elif verb == "BROADCAST":
        yield Call(name=BROADCAST, args={"task": _unnest(body.strip())})
    elif verb == "DELEGATE":
        for part in _split_delegations(body):
            member, _, task = part.removeprefix("DELEGATE ").partition(":")
            yield Call(name=DELEGATE, args={"member_id": member.strip(), "task": _unnest(task.strip())})


def _split_delegations(body: str) -> list[str]:
    """``body`` split at every ``||`` outside ``<…>``."""
    parts, depth = [""], 0
    for token in re.findall(r"\|\||.", body, re.DOTALL):
        depth += (token == "<") - (token == ">")
        if token == "||" and depth <= 0:
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts]


def _unnest(task: str) -> str:
    """``task`` with each outermost ``<DIRECTIVE …>`` replaced by ``[[DIRECTIVE …]]``."""
    pieces, depth = [], 0
    for position, char in enumerate(task):
        if char == "<" and (depth or _NESTED.match(task, position)):
            depth += 1
            pieces.append("[[" if depth == 1 else char)
        elif char == ">" and depth:
            depth -= 1
            pieces.append(char if depth else "]]")
        else:
            pieces.append(char)
    return "".join(pieces)


def _plan_plain_request(text: str, system: str, functions: Sequence[Mapping[str, Any]]) -> Plan:
    names = [function["name"] for function in functions]
    if "add_memory" in names:
        named = _NAME.search(text) if "update_profile" in names else None
        profile = [Call(name="update_profile", args={"name": named[1].strip()})] if named else []
        facts = _FACT.findall(text.replace(named[0], "") if named else text)
        calls = (*profile, *(Call(name="add_memory", args={"memory": fact}) for fact in facts))
        return Plan(calls=calls, text="" if calls else "Nothing to remember.")
    if BROADCAST in names:
        return Plan(calls=(Call(name=BROADCAST, args={"task": text}),))
    if DELEGATE in names:
        if calls := _delegations(text, members_of(system)):
            return Plan(calls=calls)
    elif matching := _matching_functions(text, functions):
        possible = (_call_from(text, function) for function in matching)
        if call := next((call for call in possible if isinstance(call, Call)), None):
            return Plan(calls=(call,))
        return Plan(text=f"Echo: {text}{_why_not_called(text, matching)}")
    return Plan(text=f"Echo: {text}")


def _delegations(text: str, members: Sequence[Member]) -> tuple[Call, ...]:
    clauses = ((clause, pick_by_words(clause, members)) for clause in split_request(text))
    return tuple(
        Call(name=DELEGATE, args={"member_id": member.id, "task": clause}) for clause, member in clauses if member
    )


def _matching_functions(text: str, functions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The functions that share words with ``text``, those with the most first; of equals, the one declared first."""
    words = words_of(text)

    def shared_words(function: Mapping[str, Any]) -> int:
        return len(words & words_of(f"{function['name'].replace('_', ' ')} {function.get('description') or ''}"))

    return sorted(filter(shared_words, functions), key=shared_words, reverse=True)


def _needed(function: Mapping[str, Any]) -> dict[str, bool]:
    """The parameters of a call that need a value, and whether it is a number."""
    parameters: Mapping[str, Any] = function.get("parameters") or {}
    properties: Mapping[str, Any] = parameters.get("properties") or {}
    names = list(properties) if len(properties) == 1 else parameters.get("required") or ()
    schemas = {name: properties.get(name) for name in names}
    return {
        name: isinstance(schema, Mapping) and schema.get("type") in ("integer", "number")
        for name, schema in schemas.items()
    }


def _call_from(text: str, function: Mapping[str, Any]) -> Call | str | None:
    """A call of ``function`` with values of ``text``.

    :return: or the parameter for which ``text`` has no value; None: the function needs no arguments.
    """
    needed = _needed(function)
    if not needed:
        return None
    numbers = [json.loads(number) for number in _NUMBER.findall(text)]
    quoted = [straight or curly for straight, curly in _QUOTED.findall(text)]
    texts = [*_PROPER_NAME.findall(text), *quoted]
    if not any(needed.values()):
        texts += [match["code"] for match in _CODE.finditer(text)]
    args: dict[str, Any] = {}
    for argument, is_number in needed.items():
        values = numbers if is_number else texts
        if not values:
            return argument
        args[argument] = values.pop(0)
    return Call(name=function["name"], args=args)


def _why_not_called(text: str, functions: Sequence[Mapping[str, Any]]) -> str:
    """A text that says why the first of the functions that ``text`` names in part is not called, and how to call it."""
    words = words_of(text)
    for function in functions:
        is_named = words & words_of(function["name"].replace("_", " "))
        if is_named and isinstance(missing := _call_from(text, function), str):
            name, needed = function["name"], _needed(function)
            values = "a number" if needed[missing] else 'a name after "in" or "for", a text in quotes, or "order 17"'
            example = json.dumps(
                {name: 1 if is_number else "…" for name, is_number in needed.items()}, ensure_ascii=False
            )
            # Without the brackets: a workflow may pass the answer to another agent, which would follow the directive.
            return (
                f"\n\n(The scripted model did not call {name}, because the message has no value for {missing}, such as "
                f"{values}. To make it call the tool, write TOOL {name} {example} in double square brackets.)"
            )
    return ""


def _text(message: Message) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
