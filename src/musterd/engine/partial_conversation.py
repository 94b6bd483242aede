"""The conversation of a run at work, as far as it has got, read from the run's journal.

It ends with the last complete exchange. It ends earlier if the journal alone does not say what the model was told
next, as after an answer that did not have the required form.
"""

import itertools
import json
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic_ai.messages import (
    ModelResponse,
    SystemPromptPart,
    ToolReturnPart,
    UserPromptPart,
)

from musterd.core.jsontypes import JsonObject
from musterd.core.records import CODEC, RunRow, StepRow
from musterd.declare import BaseComponent, Component
from musterd.engine.history import history_of
from musterd.engine.recovery import loaded
from musterd.engine.resources import Resources
from musterd.loop.context import examples, fill_placeholders
from musterd.loop.conversation import Conversation, parse_response
from musterd.store import attempt_input, journal, messages
from musterd.store.attempt_input import AttemptInput, HistoryQuery
from musterd.store.database import Tx
from musterd.store.shards import SessionTx


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The stored records of a run at work.

    :param steps: its journal steps, by path relative to the run.
    :param prepared: the values that it read before its first turn.
    :param seen_messages: the messages that it was sent, by the path of the model call that saw them.
    """

    steps: Mapping[str, StepRow]
    prepared: JsonObject
    inputs: AttemptInput
    seen_messages: Mapping[str, Sequence[str]]


async def conversation_so_far(resources: Resources, component: BaseComponent, run: RunRow) -> list[JsonObject]:
    """The messages of a run that has not ended, in pydantic-ai's JSON form; empty before its first step.

    Empty also for a workflow, which has no conversation of its own, and for a member that is shown its own earlier
    runs: its journal does not hold them.
    """
    if not isinstance(component, Component):
        return []
    if run.parent_id is not None and component.spec.add_history_to_context:
        return []
    ledger = await resources.database.scan(lambda tx: _read(tx, run))
    if ledger is None:
        return []
    conversation = _opening(component, run, ledger)
    for turn in itertools.count():
        if not _add_turn(conversation, ledger, turn):
            return [json.loads(text) for text in conversation.texts]
    raise AssertionError("turns are endless")


async def _read(tx: Tx, run: RunRow) -> Ledger | None:
    tx = SessionTx(tx, run.session_id)
    prefix = f"{run.path}/" if run.path else ""
    all_steps = {step.path: step for step in await journal.steps(tx, run.root_id)}
    steps = {path.removeprefix(prefix): step for path, step in all_steps.items() if path.startswith(prefix)}
    first = steps.get("p")
    # A newer program may have stored steps in a format that this one cannot read.
    if first is None or first.result is None or any(step.codec > CODEC for step in steps.values()):
        return None
    prepared = loaded(first)
    history_query = HistoryQuery(is_enabled=False, limit=0, run_ids=prepared["history_runs"])
    seen_messages: dict[str, list[str]] = {}
    for message in await messages.of_root(tx, run.root_id):
        if message.run_id == run.run_id and message.taken_path is not None:
            seen_messages.setdefault(message.taken_path.removeprefix(prefix), []).append(message.text)
    inputs = await attempt_input.load(tx, run, history_query)
    return Ledger(steps=steps, prepared=prepared, inputs=inputs, seen_messages=seen_messages)


def _opening(component: Component, run: RunRow, ledger: Ledger) -> Conversation:
    spec, inputs, prepared = component.spec, ledger.inputs, ledger.prepared
    history = history_of(spec, inputs.history, inputs.input.options, inputs.blobs)
    conversation = Conversation(
        prepared["system"], [*examples(component), *history], inputs.input.message, prepared["at"]
    )
    for message in conversation.messages:
        if message.timestamp == _time(prepared["at"]):  # else pydantic-ai stamps the parts with the time of this read
            for part in message.parts:
                if isinstance(part, SystemPromptPart | UserPromptPart):
                    part.timestamp = _time(prepared["at"])
    if run.seq == 0 and spec.introduction:
        conversation.add_introduction(_introduction(component, run, ledger))
    return conversation


def _introduction(component: Component, run: RunRow, ledger: Ledger) -> str:
    spec, options = component.spec, ledger.inputs.input.options
    if not spec.resolve_in_context:
        return spec.introduction or ""
    values = ChainMap(
        ledger.prepared["state"],
        {**(spec.dependencies or {}), **options.get("dependencies", {})},
        {**(spec.metadata or {}), **options.get("metadata", {})},
        {} if run.user_id is None else {"user_id": run.user_id},
    )
    return fill_placeholders(spec.introduction or "", values)


def _add_turn(conversation: Conversation, ledger: Ledger, turn: int) -> bool:
    """Add a turn with its calls' results; False if it is the last one, or is not complete."""
    step = ledger.steps.get(f"t{turn}/m")
    if step is None or step.result is None:
        return False
    response = parse_response(step.result)
    steps = [ledger.steps.get(f"t{turn}/c{number}") for number in range(len(response.tool_calls))]
    finished = [step for step in steps if step is not None and step.result is not None]
    if len(finished) < len(steps):
        return False
    for text in ledger.seen_messages.get(f"t{turn}/m", ()):
        conversation.add_user_message(text)
    conversation.add_answer(response, step.result)
    if finished:
        _add_results(conversation, response, finished)
    return bool(finished)


def _add_results(conversation: Conversation, response: ModelResponse, steps: Sequence[StepRow]) -> None:
    conversation.add_request(
        [
            ToolReturnPart(
                tool_name=call.tool_name,
                content=loaded(step)["result"],
                tool_call_id=call.tool_call_id,
                outcome="failed" if loaded(step)["is_error"] else "success",
                timestamp=_time(step.ended_at or step.started_at),
            )
            for call, step in zip(response.tool_calls, steps, strict=True)
        ]
    )


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
