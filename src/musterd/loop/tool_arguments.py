"""The arguments of a model's tool calls: checked once, when its answer arrives, and read when the calls are planned.

A call whose arguments are too large, or hold what JSON cannot express, stays in the conversation with empty arguments
and is a failed call. The reason is stored with the answer, so a later attempt does not judge the call again by other
settings.
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
"""The key, among our notes of an answer, of the reasons why calls are not made, by tool call id."""

SHALLOW = 100
"""Text with no more brackets and commas than this is not nested deep."""

NO_OBJECT = "The arguments are not a JSON object. Send the call again with one."
NOT_JSON = (
    "The arguments are not a JSON object. They hold a number that is not finite, or are nested too deep. "
    "Send the call again with others."
)


def refuse_unfit(calls: Sequence[ToolCallPart], settings: Settings) -> JsonObject:
    """Empty the arguments of calls that cannot be made with them; the notes that say why."""
    reasons = {call.tool_call_id: reason for call in calls if (reason := _unfit(call, settings)) is not None}
    for call in calls:
        if call.tool_call_id in reasons:
            call.args = "{}"
    return {REFUSED: reasons} if reasons else {}


def refused_calls(response: ModelResponse) -> Mapping[str, str]:
    """Why calls of this answer are not made, by tool call id."""
    notes: JsonObject = (response.metadata or {}).get(NOTES) or {}
    reasons: Mapping[str, str] = notes.get(REFUSED) or {}
    return reasons


def final_arguments(response: ModelResponse, call: ToolCallPart) -> str:
    """The arguments of the call that gives the run's answer, as JSON text.

    :raises AnswerInvalid: they are not taken.
    """
    reason = refused_calls(response).get(call.tool_call_id)
    if reason is not None:
        raise AnswerInvalid(reason)
    return call.args_as_json_str()


def read_arguments(call: ToolCallPart) -> tuple[JsonObject, str | None]:
    """The arguments of a call, or why they cannot be read."""
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
    # pydantic's parser refuses what is nested deeper than 200 levels, and halves of surrogate pairs.
    if "\\ud" in text or "\\uD" in text or jsontext.most_parts(text) > SHALLOW:
        from_json(text)
    return jsontext.loads(text)


def _unfit(call: ToolCallPart, settings: Settings) -> str | None:
    if not call.args:
        return None
    try:
        size = byte_count(call.args) if isinstance(call.args, str) else len(to_json(call.args))
    except ValueError:
        return NOT_JSON
    if size > (limit := settings.tool_arguments_bytes):
        return f"The arguments have {size} bytes; at most {limit} are taken. The call was not made. Send less."
    reason = read_arguments(call)[1]
    # Text that is no JSON at all stays: it is harmless as text, and the model sees what to correct.
    return reason if reason == NOT_JSON else None
