"""Prompts and output constraints for a small model, and the parsing of its answers. Pure.

A model of this size cannot follow a tool protocol. But it can tell which of two letters fits better, copy names into a
structure that the decoder enforces, and put one result into a sentence. So every prompt here asks for one of those.

The scores of letters are compared with the scores for neutral requests. The difference is the effect of the request,
without the model's preference for certain letters.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from musterd.models.clauses import Member

NEUTRAL = ("...", "something", "N/A")
"""Neutral requests. The model's scores for them are its bias."""

MEMBER_MARGIN = 0.35
"""How much higher a member's score (natural logarithm) must be than the score for nobody. Measured, see
docs/howto/local-model.md."""

MAX_OPTIONS = 20
MAX_CALLS = 4
ARGUMENT_TOKENS = 400
ANSWER_TOKENS = 200
CHAT_TOKENS = 400
ARGUMENT_CHARS = 400

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NOBODY = "Nobody: small talk and anything else"
_ABSENT_LOGPROB = -25.0
_TOP_LOGPROBS = 40  # letters that are not among the forty likeliest tokens do not matter

_CHOOSE_SYSTEM = "You answer multiple-choice questions with one letter."
_FILL_SYSTEM = (
    "You fill in the arguments of a function from a request, as a JSON list with one entry for each call that the "
    "request needs. Most need one. Copy names and numbers from the request."
)
_ANSWER_SYSTEM = (
    "You answer a request in one or two short sentences, using only the result given to you. "
    "Keep every number and name."
)
_TOOL_SYSTEM = (
    'Answer with JSON: {"tool": name, "args": {...}} to use one of these functions, '
    'or {"answer": text} when none is needed or the results are enough.'
)
_REPEAT_PENALTY = 1.15  # without it, free text may repeat itself endlessly
_BRIEF = "Be brief: a few sentences at most."

Body = dict[str, Any]
JsonMapping = Mapping[str, Any]


def member_option(member: Member) -> str:
    """A member as an option."""
    return f"{member.name or member.id}: {member.role or member.words}"


def tool_option(function: JsonMapping) -> str:
    """A tool as an option."""
    return f"{_as_words(function['name'])}: {_first_line(function)}"


def routing_prompt(request: str, options: Sequence[str]) -> Body:
    """Ask for the letter of the option that ``request`` fits. The last letter stands for nobody."""
    choices = zip(_LETTERS, [*options, _NOBODY], strict=False)
    option_list = "\n".join(f"{letter}. {text}" for letter, text in choices)
    question = f'Who in the team should do this: "{request}"?\n{option_list}\nAnswer with the letter.'
    return {**_messages(_CHOOSE_SYSTEM, question), "max_tokens": 1, "logprobs": True, "top_logprobs": _TOP_LOGPROBS}


def letter_scores(chunk: JsonMapping, count: int) -> list[float] | None:
    """The log probabilities of the first ``count`` letters. None if ``chunk`` has none."""
    for choice in chunk.get("choices") or ():
        for token in (choice.get("logprobs") or {}).get("content") or ():
            logprobs = {entry["token"]: float(entry["logprob"]) for entry in token["top_logprobs"]}
            return [logprobs.get(letter, _ABSENT_LOGPROB) for letter in _LETTERS[:count]]
    return None


def best_option(scores: Sequence[float], neutral: Sequence[Sequence[float]]) -> int | None:
    """The index of the best option after the ``neutral`` scores are subtracted. None for nobody."""
    bias = [sum(column) / len(neutral) for column in zip(*neutral, strict=True)]
    *gains, nobody_gain = (score - average for score, average in zip(scores, bias, strict=True))
    highest = max(gains)
    return gains.index(highest) if highest - nobody_gain >= MEMBER_MARGIN else None


def arguments_prompt(function: JsonMapping, request: str) -> Body:
    """Ask for the arguments of each call of ``function`` that ``request`` needs, constrained to its schema."""
    schema = with_max_lengths(parameters_of(function))
    properties = schema.get("properties") or {}
    descriptions = [f"- {name}: {item['description']}" for name, item in properties.items() if "description" in item]
    question = "\n".join([_signature(function), *descriptions, f"Request: {request}"])
    definitions = schema.pop("$defs", None)
    list_schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": MAX_CALLS}
    constraint = _constrained_to(list_schema if definitions is None else {**list_schema, "$defs": definitions})
    return {**_messages(_FILL_SYSTEM, question), "max_tokens": ARGUMENT_TOKENS, **constraint}


def answer_prompt(request: str, results: Sequence[str]) -> Body:
    """Ask for an answer to ``request`` from the ``results`` of tools."""
    question = f"Request: {request}\nResult: {' | '.join(results)}"
    return {**_messages(_ANSWER_SYSTEM, question), "max_tokens": ANSWER_TOKENS}


def tool_prompt(functions: Sequence[JsonMapping], system: str, request: str, results: Sequence[str]) -> Body:
    """Ask for a call of one of ``functions`` or an answer, constrained to a schema of both."""
    function_list = "\n".join(f"- {_signature(function)}" for function in functions)
    question = "\n".join([f"Request: {request}", *(f"Result: {result}" for result in results)])
    answer = {"answer": {"type": "string", "maxLength": 2 * ARGUMENT_CHARS}}
    definitions: Body = {}
    choices = [_object(answer)]
    for function in functions:
        schema = with_max_lengths(parameters_of(function))
        definitions |= schema.pop("$defs", {})
        choices.insert(-1, _object({"tool": {"const": function["name"]}, "args": schema}))
    constraint = _constrained_to({"anyOf": choices, **({"$defs": definitions} if definitions else {})})
    instructions = "\n\n".join(part for part in (system, f"Functions:\n{function_list}", _TOOL_SYSTEM) if part)
    return {**_messages(instructions, question), "max_tokens": CHAT_TOKENS, **constraint}


def chat_prompt(messages: Sequence[JsonMapping], system: str, schema: JsonMapping | None = None) -> Body:
    """Ask for the next message of a conversation, as text or as JSON that matches ``schema``."""
    conversation = [
        {"role": message["role"], "content": message["content"]}
        for message in messages
        if message["role"] in ("user", "assistant") and message.get("content")
    ]
    system_message = {"role": "system", "content": f"{system}\n\n{_BRIEF}".strip()}
    if schema is not None:
        return {
            "messages": [system_message, *conversation],
            "max_tokens": 2 * CHAT_TOKENS,
            **_constrained_to(with_max_lengths(schema)),
        }
    return {
        "messages": [system_message, *conversation],
        "max_tokens": CHAT_TOKENS,
        "repeat_penalty": _REPEAT_PENALTY,
    }


def read_json(text: str) -> Body | None:
    """Parse a generated JSON object. None if it was cut off."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def read_calls(text: str) -> list[Body]:
    """Parse a generated JSON list and drop duplicate entries. Empty if it was cut off."""
    try:
        entries = json.loads(text)
    except ValueError:
        return []
    calls: list[Body] = []
    for entry in entries:
        if entry not in calls:
            calls.append(entry)
    return calls


def parameters_of(function: JsonMapping) -> Body:
    """The schema of a function's arguments."""
    return dict(function.get("parameters") or {"type": "object", "properties": {}})


def with_max_lengths(schema: JsonMapping) -> Body:
    """``schema`` with a length limit for every string that has none, because a small model may not stop."""
    copy: Body = {}
    for key, value in schema.items():
        if isinstance(value, dict):
            copy[key] = with_max_lengths(value)
        elif isinstance(value, list):
            copy[key] = [with_max_lengths(item) if isinstance(item, dict) else item for item in value]
        else:
            copy[key] = value
    if copy.get("type") == "string" and not copy.keys() & {"maxLength", "enum", "const", "format", "pattern"}:
        copy["maxLength"] = ARGUMENT_CHARS
    return copy


def _signature(function: JsonMapping) -> str:
    properties = parameters_of(function).get("properties") or {}
    parameter_list = ", ".join(f"{name}: {item.get('type', 'any')}" for name, item in properties.items())
    return f"{function['name']}({parameter_list}): {_first_line(function)}"


def _first_line(function: JsonMapping) -> str:
    lines = (function.get("description") or "").strip().splitlines()
    return lines[0] if lines else _as_words(function["name"])


def _as_words(name: str) -> str:
    return name.replace("_", " ")


def _object(properties: Body) -> Body:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _constrained_to(schema: JsonMapping) -> Body:
    return {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}


def _messages(system: str, question: str) -> Body:
    return {"messages": [{"role": "system", "content": system}, {"role": "user", "content": question}]}
