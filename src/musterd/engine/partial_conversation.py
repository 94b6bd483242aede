"""What a run at work has said so far: the conversation that its end will store, read from its ledger.

It ends with the last exchange that is whole. Where the ledger alone does not tell what the model was told next, as
after an answer without the form asked for, it ends there.
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
from musterd.declare import Component
from musterd.engine.history import history_of
from musterd.engine.recovery import loaded
from musterd.engine.resources import Resources
from musterd.loop.context import examples, fill_placeholders
from musterd.loop.conversation import Conversation, parse_response
from musterd.store import attempt_input, journal, messages
from musterd.store.attempt_input import AttemptInput, HistoryQuery
from musterd.store.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What is stored of a run at work.

    :param steps: by path, seen from the run.
    :param prepared: what it took from the world before its first turn.
    :param heard: what was said to it, by the model call that saw it.
    """

    steps: Mapping[str, StepRow]
    prepared: JsonObject
    found: AttemptInput
    heard: Mapping[str, Sequence[str]]


async def conversation_so_far(resources: Resources, component: Component, run: RunRow) -> list[JsonObject]:
    """The messages of a run that has not ended, in pydantic-ai's JSON form; none before its first step.

    A member that is shown its own earlier runs has none before its end: its ledger does not hold what it was shown.
    """
    if run.parent_id is not None and component.spec.add_history_to_context:
        return []
    ledger = await resources.database.scan(lambda tx: _read(tx, run))
    if ledger is None:
        return []
    talk = _opening(component, run, ledger)
    for turn in itertools.count():
        if not _has_told(talk, ledger, turn):
            return [json.loads(text) for text in talk.texts]
    raise AssertionError("turns are endless")


async def _read(tx: Tx, run: RunRow) -> Ledger | None:
    above = f"{run.path}/" if run.path else ""
    found = {step.path: step for step in await journal.steps(tx, run.root_id)}
    steps = {path.removeprefix(above): step for path, step in found.items() if path.startswith(above)}
    first = steps.get("p")
    if first is None or first.result is None or any(step.codec > CODEC for step in steps.values()):
        return None
    prepared = loaded(first)
    wanted = HistoryQuery(is_shown=False, limit=0, run_ids=prepared["history_runs"])
    heard: dict[str, list[str]] = {}
    for message in await messages.of_root(tx, run.root_id):
        if message.run_id == run.run_id and message.taken_path is not None:
            heard.setdefault(message.taken_path.removeprefix(above), []).append(message.text)
    return Ledger(steps=steps, prepared=prepared, found=await attempt_input.load(tx, run, wanted), heard=heard)


def _opening(component: Component, run: RunRow, ledger: Ledger) -> Conversation:
    spec, found, prepared = component.spec, ledger.found, ledger.prepared
    history = history_of(spec, found.history, found.input.options, found.blobs)
    talk = Conversation(prepared["system"], [*examples(component), *history], found.input.message, prepared["at"])
    for message in talk.messages:
        if message.timestamp == _time(prepared["at"]):  # not when it is read here
            for part in message.parts:
                if isinstance(part, SystemPromptPart | UserPromptPart):
                    part.timestamp = _time(prepared["at"])
    if run.seq == 0 and spec.introduction:
        talk.add_introduction(_introduction(component, run, ledger))
    return talk


def _introduction(component: Component, run: RunRow, ledger: Ledger) -> str:
    spec, options = component.spec, ledger.found.input.options
    if not spec.resolve_in_context:
        return spec.introduction or ""
    values = ChainMap(
        ledger.prepared["state"],
        {**(spec.dependencies or {}), **options.get("dependencies", {})},
        {**(spec.metadata or {}), **options.get("metadata", {})},
        {} if run.user_id is None else {"user_id": run.user_id},
    )
    return fill_placeholders(spec.introduction or "", values)


def _has_told(talk: Conversation, ledger: Ledger, turn: int) -> bool:
    """Add a turn with the results of its calls; False where there is none, or one of them is not there yet."""
    step = ledger.steps.get(f"t{turn}/m")
    if step is None or step.result is None:
        return False
    response = parse_response(step.result)
    found = [ledger.steps.get(f"t{turn}/c{place}") for place in range(len(response.tool_calls))]
    made = [call for call in found if call is not None and call.result is not None]
    if len(made) < len(found):
        return False
    for text in ledger.heard.get(f"t{turn}/m", ()):
        talk.add_user_message(text)
    talk.add_answer(response, step.result)
    if made:
        _tell_results(talk, response, made)
    return bool(made)


def _tell_results(talk: Conversation, response: ModelResponse, steps: Sequence[StepRow]) -> None:
    talk.add_request(
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
