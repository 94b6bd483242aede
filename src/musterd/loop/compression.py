"""Tool results that are shortened: the model of later turns reads what matters of them, at a fraction of the tokens.

The conversation keeps the full results, and so do the journal and the run's tool calls; what is shortened stands beside
them. A result that cannot be shortened is read in full: no run fails for that.
"""

import asyncio

from pydantic_ai.messages import ToolReturnPart

from musterd.core.error_logging import log_failure
from musterd.core.errors import BudgetSpent, ModelFailed
from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.declare.compression_manager import CompressionManager
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.conversation import Conversation, text_in
from musterd.loop.run_tree import RunTree
from musterd.loop.side_calls import SideCall, ask, said_in, told

PROMPT = (
    "Shorten the result of a tool, so that who works with it loses nothing that matters. Keep every fact: numbers, "
    "dates, names, places, addresses, identifiers, versions, quotes and where they come from. Of descriptions "
    "and lists keep what bears on the matter. Leave out introductions, hedging, repetition, markup and advertising. "
    "Answer with the shortened result alone."
)
SHORT_CHARS = 200
"""Results up to this length are not worth a model call."""


async def compress(world: RunTree, run: Assignment, progress: Progress, turn: int, tokens: int) -> None:
    """Shorten the tool results that the model has read, where there are many of them.

    :param turn: the turn that begins.
    :param tokens: what the last turn has read and written.
    """
    manager = run.component.spec.compression_manager or CompressionManager()
    conversation = progress.conversation
    if not manager.compress_tool_results or conversation is None:
        return
    waiting = [(number, part) for number, part in enumerate(conversation.own_results) if _is_long(conversation, part)]
    is_due = manager.results is not None and len(waiting) >= manager.results
    is_due = is_due or (manager.compress_token_limit is not None and tokens >= manager.compress_token_limit)
    if not waiting or not is_due:
        return
    tell = world.teller(run.run_id, run.at(f"short/t{turn}"))
    tell(EventKind.COMPRESSION_STARTED, {}, "")
    asked = [_shortened(world, run, progress, manager, number, part) for number, part in waiting]
    # All come to their end: what is answered is stored, whatever becomes of the others.
    found = await asyncio.gather(*asked, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    pairs = [(part, str(one)) for (_, part), one in zip(waiting, found, strict=True)]
    for part, short in pairs:
        conversation.shorten(part.tool_call_id, short)
    data: JsonObject = {
        "tool_results_compressed": len(pairs),
        "original_size": sum(len(text_in(part)) for part, _ in pairs),
        "compressed_size": sum(len(short) for _, short in pairs),
    }
    tell(EventKind.COMPRESSION_COMPLETED, data, "")


def _is_long(conversation: Conversation, part: ToolReturnPart) -> bool:
    return len(text_in(part)) > SHORT_CHARS and not conversation.is_shortened(part.tool_call_id)


async def _shortened(
    world: RunTree, run: Assignment, progress: Progress, manager: CompressionManager, number: int, part: ToolReturnPart
) -> str:
    """The result in short; in full where that is not longer, or where the model fails."""
    text = text_in(part)
    aside = SideCall(
        place=f"short/{number}",
        role="compression_model",
        model=manager.model or run.component.model,
        messages=told(manager.compress_tool_call_instructions or PROMPT, f"Tool: {part.tool_name}\nResult:\n{text}"),
        is_told=False,  # several are asked at once
    )
    try:
        response, _ = await ask(world, run, progress, aside)
    except (ModelFailed, BudgetSpent) as error:  # where the run itself has no room left, its next turn says so
        log_failure("a tool result could not be shortened", error, run_id=run.run_id, tool=part.tool_name)
        return text
    short = said_in(response).strip()
    return short if short and len(short) < len(text) else text
