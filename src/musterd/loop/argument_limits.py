"""Reads the arguments of a model's tool calls, and refuses those that are too large or that JSON cannot express.

``call_planning.py`` checks their types, with ``Tool.validate``.

A call whose arguments are too large, or contain values that JSON cannot express, stays in the conversation with empty
arguments and fails. The reason is stored with the answer, so that a later attempt does not check the call again under
other settings.
"""

import json
from collections.abc import Mapping, Sequence

from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_core import from_json, to_json

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.settings import Settings
from musterd.loop.conversation import NOTES
from musterd.loop.structured_answers import AnswerInvalid
from musterd.models.answer_limits import byte_count

REFUSED = "refused_calls"
"""The key, in our notes on an answer, of the reasons why calls were refused, by tool call id."""

SHALLOW = 100
"""Text with at most this many brackets and commas cannot be nested too deeply."""

NO_OBJECT = "The arguments are not a JSON object. Send the call again with one."
NOT_JSON = (
    "The arguments are not a JSON object. They contain a non-finite number or are nested too deeply. "
    "Send the call again with other arguments."
)


def refuse_unusable_arguments(calls: Sequence[ToolCallPart], settings: Settings) -> JsonObject:
    """Empty the arguments of calls that cannot be made with them.

    :return: the notes with the reasons, to store with the answer.
    """
    reasons = {call.tool_call_id: reason for call in calls if (reason := _refusal(call, settings)) is not None}
    for call in calls:
        if call.tool_call_id in reasons:
            call.args = "{}"
    return {REFUSED: reasons} if reasons else {}


def refused_calls(response: ModelResponse) -> Mapping[str, str]:
    """Why calls of this answer were refused, by tool call id."""
    notes: JsonObject = (response.metadata or {}).get(NOTES) or {}
    reasons: Mapping[str, str] = notes.get(REFUSED) or {}
    return reasons


def final_arguments(response: ModelResponse, call: ToolCallPart) -> str:
    """The arguments of a call of the tool for the final answer, as JSON text.

    :raises AnswerInvalid: if they were refused.
    """
    reason = refused_calls(response).get(call.tool_call_id)
    if reason is not None:
        raise AnswerInvalid(reason)
    return call.args_as_json_str()


def read_arguments(call: ToolCallPart) -> tuple[JsonObject, str | None]:
    """The arguments of a call, and the reason if they cannot be read."""
    arguments: Json = call.args or {}
    try:
        if isinstance(arguments, str):
            arguments = _parsed(arguments)
        else:
            jsontext.dumps(arguments)
    except (ValueError, RecursionError) as error:
        return {}, NO_OBJECT if isinstance(error, json.JSONDecodeError) else NOT_JSON
    return (arguments, None) if isinstance(arguments, dict) else ({}, NO_OBJECT)


def _parsed(text: str) -> Json:
    # Unlike the json module, pydantic's parser rejects halves of surrogate pairs and more than 200 levels of nesting.
    if "\\ud" in text or "\\uD" in text or jsontext.max_values(text) > SHALLOW:
        from_json(text)
    return jsontext.loads(text)


def _refusal(call: ToolCallPart, settings: Settings) -> str | None:
    if not call.args:
        return None
    try:
        size = byte_count(call.args) if isinstance(call.args, str) else len(to_json(call.args))
    except ValueError:
        return NOT_JSON
    if size > (limit := settings.tool_arguments_bytes):
        return f"The arguments have {size} bytes; at most {limit} are allowed. The call was not made. Send less."
    reason = read_arguments(call)[1]
    # Text that is not JSON at all stays in the conversation: it is harmless, and the model sees what to correct.
    return reason if reason == NOT_JSON else None
