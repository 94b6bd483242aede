"""How a small model is made to choose well: prompts, constraints, and the reading of what comes back. Pure.

A model of this size cannot follow a tool protocol, but it can tell which of two letters fits better, copy
names into a form that the decoder holds it to, and put one result into a sentence. So every question here
is one of those.

Letters are compared against the same question about nothing in particular: what is left after that is what
the request adds, without the model's liking for a letter.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from musterd.models.clauses import Member

NEUTRAL = ("...", "something", "N/A")
"""Requests that say nothing: what the model answers to them is its bias."""

MEMBER_MARGIN = 0.35
"""By how much (natural logarithm) a member must fit better than nobody. Measured: see
docs/howto/local-model.md."""

MAX_OPTIONS = 20
MAX_CALLS = 4
ARGUMENT_TOKENS = 400
ANSWER_TOKENS = 200
CHAT_TOKENS = 400
ARGUMENT_CHARS = 400

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NOBODY = "Nobody: small talk and anything else"
_ABSENT = -25.0
_TOP = 40  # letters beyond the forty likeliest tokens do not matter

_CHOOSE = "You answer multiple-choice questions with one letter."
_FILL = (
    "You fill in the arguments of a function from a request, as a JSON list with one entry for each call that the "
    "request needs. Most need one. Copy names and numbers from the request."
)
_TELL = (
    "You answer a request in one or two short sentences, using only the result given to you. "
    "Keep every number and name."
)
_USE = (
    'Answer with JSON: {"tool": name, "args": {...}} to use one of these functions, '
    'or {"answer": text} when none is needed or the results are enough.'
)
_REPEAT_PENALTY = 1.15  # without it a free text may go round in circles
_BRIEF = "Be brief: a few sentences at most."

Body = dict[str, Any]
Json = Mapping[str, Any]


def option(member: Member) -> str:
    """A member as a choice."""
    return f"{member.name or member.id}: {member.role or member.words}"


def tool_option(function: Json) -> str:
    """A tool as a choice."""
    return f"{_spoken(function['name'])}: {_first_line(function)}"


def routing(request: str, options: Sequence[str]) -> Body:
    """Ask for the letter of the option that ``request`` is work for; the last letter stands for nobody."""
    choices = zip(_LETTERS, [*options, _NOBODY], strict=False)
    listed = "\n".join(f"{letter}. {text}" for letter, text in choices)
    question = f'Who in the team should do this: "{request}"?\n{listed}\nAnswer with the letter.'
    return {**_messages(_CHOOSE, question), "max_tokens": 1, "logprobs": True, "top_logprobs": _TOP}


def letter_scores(chunk: Json, count: int) -> list[float] | None:
    """The logarithms of the first ``count`` letters' probabilities; None where ``chunk`` tells none."""
    for choice in chunk.get("choices") or ():
        for token in (choice.get("logprobs") or {}).get("content") or ():
            found = {entry["token"]: float(entry["logprob"]) for entry in token["top_logprobs"]}
            return [found.get(letter, _ABSENT) for letter in _LETTERS[:count]]
    return None


def best(scores: Sequence[float], neutral: Sequence[Sequence[float]]) -> int | None:
    """The option that ``scores`` speak for once the ``neutral`` ones are taken off; None: nobody."""
    bias = [sum(column) / len(neutral) for column in zip(*neutral, strict=True)]
    *gains, nobody = (score - usual for score, usual in zip(scores, bias, strict=True))
    highest = max(gains)
    return gains.index(highest) if highest - nobody >= MEMBER_MARGIN else None


def arguments(function: Json, request: str) -> Body:
    """Ask for the arguments of ``function``, once for each call that ``request`` needs, held to its schema."""
    schema = bounded(parameters_of(function))
    properties = schema.get("properties") or {}
    told = [f"- {name}: {item['description']}" for name, item in properties.items() if "description" in item]
    question = "\n".join([_signature(function), *told, f"Request: {request}"])
    definitions = schema.pop("$defs", None)
    several = {"type": "array", "items": schema, "minItems": 1, "maxItems": MAX_CALLS}
    held = _held_to(several if definitions is None else {**several, "$defs": definitions})
    return {**_messages(_FILL, question), "max_tokens": ARGUMENT_TOKENS, **held}


def telling(request: str, results: Sequence[str]) -> Body:
    """Ask for an answer to ``request`` out of the ``results`` of tools."""
    question = f"Request: {request}\nResult: {' | '.join(results)}"
    return {**_messages(_TELL, question), "max_tokens": ANSWER_TOKENS}


def choosing(functions: Sequence[Json], system: str, request: str, results: Sequence[str]) -> Body:
    """Ask to use one of ``functions`` or to answer, held to a schema of both."""
    listed = "\n".join(f"- {_signature(function)}" for function in functions)
    question = "\n".join([f"Request: {request}", *(f"Result: {result}" for result in results)])
    answer = {"answer": {"type": "string", "maxLength": 2 * ARGUMENT_CHARS}}
    definitions: Body = {}
    choices = [_object(answer)]
    for function in functions:
        schema = bounded(parameters_of(function))
        definitions |= schema.pop("$defs", {})
        choices.insert(-1, _object({"tool": {"const": function["name"]}, "args": schema}))
    held = _held_to({"anyOf": choices, **({"$defs": definitions} if definitions else {})})
    instructions = "\n\n".join(part for part in (system, f"Functions:\n{listed}", _USE) if part)
    return {**_messages(instructions, question), "max_tokens": CHAT_TOKENS, **held}


def chatting(messages: Sequence[Json], system: str, schema: Json | None = None) -> Body:
    """Ask for the next turn of a conversation, as text or as JSON of ``schema``."""
    spoken = [
        {"role": message["role"], "content": message["content"]}
        for message in messages
        if message["role"] in ("user", "assistant") and message.get("content")
    ]
    opening = {"role": "system", "content": f"{system}\n\n{_BRIEF}".strip()}
    if schema is not None:
        return {
            "messages": [opening, *spoken],
            "max_tokens": 2 * CHAT_TOKENS,
            **_held_to(bounded(schema)),
        }
    return {
        "messages": [opening, *spoken],
        "max_tokens": CHAT_TOKENS,
        "repeat_penalty": _REPEAT_PENALTY,
    }


def read_json(text: str) -> Body | None:
    """The JSON object that was generated; None when it was cut off."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def read_calls(text: str) -> list[Body]:
    """The different entries of the list that was generated; none when it was cut off."""
    try:
        entries = json.loads(text)
    except ValueError:
        return []
    found: list[Body] = []
    for entry in entries:
        if entry not in found:
            found.append(entry)
    return found


def parameters_of(function: Json) -> Body:
    """The schema of a function's arguments."""
    return dict(function.get("parameters") or {"type": "object", "properties": {}})


def bounded(schema: Json) -> Body:
    """``schema`` with a length for every text that has none: a small model does not know when to stop."""
    copy: Body = {}
    for key, value in schema.items():
        if isinstance(value, dict):
            copy[key] = bounded(value)
        elif isinstance(value, list):
            copy[key] = [bounded(item) if isinstance(item, dict) else item for item in value]
        else:
            copy[key] = value
    if copy.get("type") == "string" and not copy.keys() & {"maxLength", "enum", "const", "format", "pattern"}:
        copy["maxLength"] = ARGUMENT_CHARS
    return copy


def _signature(function: Json) -> str:
    properties = parameters_of(function).get("properties") or {}
    listed = ", ".join(f"{name}: {item.get('type', 'any')}" for name, item in properties.items())
    return f"{function['name']}({listed}): {_first_line(function)}"


def _first_line(function: Json) -> str:
    lines = (function.get("description") or "").strip().splitlines()
    return lines[0] if lines else _spoken(function["name"])


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _object(properties: Body) -> Body:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _held_to(schema: Json) -> Body:
    return {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}


def _messages(system: str, question: str) -> Body:
    return {"messages": [{"role": "system", "content": system}, {"role": "user", "content": question}]}
