"""Compression of tool results, so that later turns of a run use fewer tokens.

The conversation, the journal and the run's tool calls keep the full results; the short versions are stored in addition.
If a result cannot be shortened, the model reads it in full. The run does not fail.
"""

import asyncio

from pydantic_ai.messages import ToolReturnPart

from musterd.core.error_logging import log_failure
from musterd.core.errors import BudgetSpent, ModelFailed
from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.declare.compression_manager import CompressionManager
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.conversation import Conversation, result_text
from musterd.loop.run_tree import RunTree
from musterd.loop.side_calls import SideCall, answer_text, ask, prompt_messages

PROMPT = (
    "Shorten the result of a tool, so that who works with it loses nothing that matters. Keep every fact: numbers, "
    "dates, names, places, addresses, identifiers, versions, quotes and where they come from. Of descriptions "
    "and lists keep what bears on the matter. Leave out introductions, hedging, repetition, markup and advertising. "
    "Answer with the shortened result alone."
)
PLACE = "short"
"""Where the calls stand in a run."""
SHORT_CHARS = 200
"""Results up to this length are never compressed."""


async def compress(tree: RunTree, run: Assignment, progress: Progress, turn: int, tokens: int) -> None:
    """Shorten the tool results of earlier turns, if a limit of the compression manager is reached.

    :param turn: the turn that begins.
    :param tokens: input and output tokens of the last turn.
    """
    manager = run.component.spec.compression_manager or CompressionManager()
    conversation = progress.conversation
    if not manager.compress_tool_results or conversation is None:
        return
    # Numbered among all results of the run, so that a result has the same step in every turn and attempt.
    long_results = [
        (number, part) for number, part in enumerate(conversation.own_results) if _is_long(conversation, part)
    ]
    is_due = manager.results is not None and len(long_results) >= manager.results
    is_due = is_due or (manager.compress_token_limit is not None and tokens >= manager.compress_token_limit)
    if not long_results or not is_due:
        return
    emit = tree.emitter(run.run_id, run.at(f"{PLACE}/t{turn}"))
    emit(EventKind.COMPRESSION_STARTED, {}, "")
    calls = [_shortened(tree, run, progress, manager, number, part) for number, part in long_results]
    # Wait for all calls before one of them may raise, so that each answer is stored and a later attempt reuses it.
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    pairs = [(part, str(outcome)) for (_, part), outcome in zip(long_results, outcomes, strict=True)]
    for part, short in pairs:
        conversation.shorten(part.tool_call_id, short)
    data: JsonObject = {
        "tool_results_compressed": len(pairs),
        "original_size": sum(len(result_text(part)) for part, _ in pairs),
        "compressed_size": sum(len(short) for _, short in pairs),
    }
    emit(EventKind.COMPRESSION_COMPLETED, data, "")


def _is_long(conversation: Conversation, part: ToolReturnPart) -> bool:
    return len(result_text(part)) > SHORT_CHARS and not conversation.is_shortened(part.tool_call_id)


async def _shortened(
    tree: RunTree, run: Assignment, progress: Progress, manager: CompressionManager, number: int, part: ToolReturnPart
) -> str:
    """The short version of a result. The full text if the short one is no shorter, or if the model call fails."""
    text = result_text(part)
    instructions = manager.compress_tool_call_instructions or PROMPT
    side_call = SideCall(
        place=f"{PLACE}/{number}",
        role="compression_model",
        model=manager.model or run.component.model,
        messages=prompt_messages(instructions, f"Tool: {part.tool_name}\nResult:\n{text}"),
        emits_events=False,  # several of these calls run at once, and events of only one could be told apart
    )
    try:
        response, _ = await ask(tree, run, progress, side_call)
    except (ModelFailed, BudgetSpent) as error:  # if the run's own budget is spent, the next turn raises it
        log_failure("tool result could not be compressed", error, run_id=run.run_id, tool=part.tool_name)
        return text
    short = answer_text(response).strip()
    return short if short and len(short) < len(text) else text
