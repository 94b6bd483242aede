"""Responses that are no answer: the model refused, or its tokens ended before it said anything."""

from pydantic_ai.messages import FilePart, ModelResponse, TextPart, ThinkingPart, ToolCallPart

from musterd.core.errors import ModelFailed
from musterd.models.failures import safe

REFUSED = "The model or its provider refused to answer"
CUT = "The model used up its tokens before it answered. Raise max_tokens, or let it reason less."


def require_answer(response: ModelResponse, *, takes_thoughts: bool = False) -> None:
    """Check that the response has text, a call or a file, unless it ended as any other.

    :param takes_thoughts: whether the model's thoughts are an answer.
    :raises ModelFailed: if it has none, because of the provider's filter or the limit of tokens.
    """
    if any(_says_something(part, takes_thoughts=takes_thoughts) for part in response.parts):
        return
    require_no_refusal(response)
    if response.finish_reason == "length":
        raise ModelFailed(CUT, "max_tokens")


def require_no_refusal(response: ModelResponse) -> None:
    """Check that no filter ended the response: a model would refuse its correction too.

    :raises ModelFailed: it was refused. The message has the reason if the provider gives one.
    """
    if response.finish_reason == "content_filter":
        reason = (response.provider_details or {}).get("refusal")
        message = f"{REFUSED}: {safe(reason)}" if isinstance(reason, str) and reason.strip() else f"{REFUSED}."
        raise ModelFailed(message, "content_filter")


def _says_something(part: object, *, takes_thoughts: bool) -> bool:
    if isinstance(part, TextPart):
        return bool(part.content.strip())
    if isinstance(part, ThinkingPart):
        return takes_thoughts and bool(part.content.strip())
    return isinstance(part, ToolCallPart | FilePart)
