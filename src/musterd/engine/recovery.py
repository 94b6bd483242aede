"""What a later attempt finds of earlier ones: stored steps, members, and what was told already."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from musterd.core import jsontext
from musterd.core.errors import ReplayDiverged
from musterd.core.events import END_EVENTS, Event, EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.media import Medium, references
from musterd.core.records import CODEC, RunRow, StepKind, StepRow, Usage
from musterd.core.requirements import ApprovalRow
from musterd.engine.outbox import EventKey, Requests, note_request
from musterd.loop.conversation import NOTES, parse_response
from musterd.loop.steps import ToolStep
from musterd.loop.stored_media import with_contents
from musterd.models.call import ModelAnswer
from musterd.store import approvals, blobs, events, journal, messages, runs
from musterd.store.database import Tx


@dataclass(frozen=True, slots=True)
class Recovered:
    """What earlier attempts stored; empty for a first one.

    :param steps: by path.
    :param members: rows of the members that began, by run id.
    :param told: keys of the events that readers have; they are not told again.
    :param approvals: what waited for a person, by path; what was acted on already is left out.
    :param contents: of the media that steps refer to, by hash.
    :param asked: the last that persons were asked, by path, whatever became of it.
    :param requests: the model calls that readers were told of.
    :param superseded: streams that were cut off: that run's text from that event on is void.
    :param heard: the messages that stored model calls saw, by the call's path.
    :param lost_characters: how much text each of them had, by the place of its step.
    :param worked_seconds: how long earlier attempts were at work, as far as they told anything.
    """

    steps: dict[str, StepRow] = field(default_factory=dict)
    members: dict[str, RunRow] = field(default_factory=dict)
    told: frozenset[EventKey] = frozenset()
    approvals: dict[str, ApprovalRow] = field(default_factory=dict)
    superseded: list[JsonObject] = field(default_factory=list)
    heard: dict[str, list[str]] = field(default_factory=dict)
    lost_characters: dict[str, int] = field(default_factory=dict)
    worked_seconds: float = 0.0
    contents: dict[str, bytes] = field(default_factory=dict)
    asked: dict[str, ApprovalRow] = field(default_factory=dict)
    requests: Requests = field(default_factory=dict)

    @property
    def call_ids(self) -> dict[str, None]:
        """The ids of the tool calls that models made: no other call of the tree may have one of them."""
        answers = [loaded(step) for step in self.steps.values() if step.kind is StepKind.MODEL]
        parts = [part for answer in answers for part in answer.get("parts", ())]
        return {part["tool_call_id"]: None for part in parts if part["part_kind"] == "tool-call"}

    @property
    def continued(self) -> list[str]:
        """The members' runs that waited for a person and go on: something was decided about them or below them."""
        found: dict[str, None] = {}
        for approval in self.approvals.values():
            run_id = approval.requirement.run_id if approval.state == "decided" else None
            while run_id is not None and (row := self.members.get(run_id)) is not None:
                found[run_id], run_id = None, row.parent_id
        return list(found)

    @property
    def has_closed(self) -> bool:
        """Whether a question was closed: the member that waited for its answer is to stop, and must not ask again."""
        return any(row.state == "closed" for row in self.asked.values())

    @property
    def prepared(self) -> JsonObject | None:
        """What the root took from the world before its first turn."""
        stored = self.steps.get("p")
        return None if stored is None else loaded(stored)


async def load(tx: Tx, run: RunRow) -> Recovered:
    """Read, at once, what earlier attempts of ``run`` stored.

    :raises ReplayDiverged: a newer program stored a step in a way that this one cannot read.
    """
    steps = {step.path: step for step in await journal.steps(tx, run.run_id)}
    if newer := [path for path, step in steps.items() if step.codec > CODEC]:
        raise ReplayDiverged(f"The run cannot go on: step {newer[0]} was stored by a newer musterd.")
    tree = {row.run_id: row for row in await runs.tree(tx, run.run_id)}
    found = await events.every(tx, run.run_id)
    told, cut_off = _told_so_far(found)
    superseded: list[JsonObject] = [
        {"run_id": voice, "path": tree[stream.run_id].path, "from_event_index": stream.index}
        for voice, stream in cut_off.items()
    ]
    members = {run_id: row for run_id, row in tree.items() if row.parent_id is not None}
    asked = await _agreed_before(tx, run, steps) if run.forked_from is not None else {}
    asked |= {row.requirement.path: row for row in await approvals.of_root(tx, run.run_id)}
    return Recovered(
        steps=steps,
        members=members,
        told=frozenset(told),
        approvals={path: row for path, row in asked.items() if row.state in ("pending", "decided")},
        superseded=superseded,
        heard=await _messages_seen(tx, run) if run.signals else {},
        lost_characters={stream.place: stream.characters for stream in cut_off.values()},
        worked_seconds=worked_seconds(found, run.run_id),
        contents=await blobs.several(tx, {name for step in steps.values() for name in _references(step)}),
        asked=asked,
        requests=_requests(found),
    )


def _requests(found: Iterable[tuple[int, Event]]) -> Requests:
    requests: Requests = {}
    for index, event in found:
        note_request(requests, index, event)
    return requests


async def _agreed_before(tx: Tx, run: RunRow, steps: Mapping[str, StepRow]) -> dict[str, ApprovalRow]:
    """What persons said, in the runs that this one goes on from, about calls that it has from there, by path."""
    found: dict[str, ApprovalRow] = {}
    origin_id = run.forked_from
    while origin_id is not None:
        rows = [row for row in await approvals.of_root(tx, origin_id) if row.state == "consumed"]
        found = {row.requirement.path: row for row in rows if row.requirement.path in steps} | found
        origin_id = await runs.origin_of(tx, origin_id)
    return found


async def _messages_seen(tx: Tx, run: RunRow) -> dict[str, list[str]]:
    """The messages that stored model calls saw, by the call's path."""
    found: dict[str, list[str]] = {}
    for message in await messages.of_root(tx, run.run_id):
        if message.taken_path is not None:
            found.setdefault(message.taken_path, []).append(message.text)
    return found


def worked_seconds(found: Iterable[tuple[int, Event]], root_id: str) -> float:
    """How long attempts were at work: from the start, or where one went on, to the pause, or what was told last."""
    seconds, began, last = 0.0, None, 0.0
    for _, event in found:
        is_own = event.run_id == root_id
        if is_own and event.kind is EventKind.RUN_CONTINUED and "attempt" in event.data:
            seconds += 0.0 if began is None else max(last - began, 0.0)
            began = event.at
        elif began is None and event.kind is EventKind.RUN_STARTED:
            began = event.at
        last = event.at
        if is_own and event.kind is EventKind.RUN_PAUSED and began is not None:
            seconds, began = seconds + max(last - began, 0.0), None
    return seconds if began is None else seconds + max(last - began, 0.0)


@dataclass(slots=True)
class _Stream:
    """A model's stream as it was told: the index of its beginning, the step, the run that asked, how much it said."""

    index: int
    place: str
    run_id: str
    characters: int = 0


def _told_so_far(found: Iterable[tuple[int, Event]]) -> tuple[set[EventKey], dict[str, _Stream]]:
    """What need not be told again, and the streams that were cut off, by the run as whose text they were told.

    A stream that is void begins again, and says so: whatever was told of it is told anew.
    """
    told: set[EventKey] = set()
    streams: dict[str, _Stream] = {}
    for index, event in found:
        if event.is_delta:
            _heard(streams.get(event.run_id), event)
            continue
        if event.kind is EventKind.MODEL_REQUEST_STARTED:
            streams[event.voice] = _Stream(index, event.place, event.run_id)
        elif event.kind is EventKind.MODEL_REQUEST_COMPLETED:
            streams.pop(event.voice, None)
        elif event.kind in END_EVENTS:
            streams = {voice: stream for voice, stream in streams.items() if stream.run_id != event.run_id}
        elif event.kind is EventKind.RUN_CONTINUED:
            for item in event.data.get("superseded", ()):  # those are void already
                if (stream := streams.pop(item["run_id"], None)) is not None:
                    told = _without(told, stream.place)
        told.add(event.key)
    for stream in streams.values():
        told = _without(told, stream.place)
    return told, streams


def _heard(stream: _Stream | None, event: Event) -> None:
    if stream is not None:
        stream.characters += len(event.data.get("text", "")) + len(event.data.get("reasoning", ""))


def _without(told: set[EventKey], place: str) -> set[EventKey]:
    return {key for key in told if not key[2].startswith(place)}


def loaded(step: StepRow) -> JsonObject:
    """The result of a step, as it was recorded."""
    value: JsonObject = json.loads(step.result or "{}")
    return value


def _references(step: StepRow) -> list[str]:
    """The contents that the result of a step refers to."""
    if step.kind is StepKind.MODEL:
        return references(step.result)
    if step.kind is not StepKind.TOOL or step.result is None or '"media"' not in step.result:
        return []
    return [one["item"]["blob"] for one in loaded(step).get("media", ()) if "blob" in one["item"]]


def answer_of(step: StepRow, contents: Mapping[str, bytes]) -> ModelAnswer:
    """The answer that a stored model step holds."""
    response = parse_response(step.result)
    if references(step.result):
        response = with_contents(response, contents)
    notes = (response.metadata or {}).get(NOTES) or {}
    return ModelAnswer(
        response=response,
        usage=step.usage or Usage(),
        seconds=notes.get("seconds", 0.0),
        first_token_seconds=notes.get("first_token_seconds"),
        cost=step.cost,
    )


def tool_result_text(done: ToolStep) -> str:
    """A tool call's result as it is recorded."""
    value: JsonObject = {
        "result": done.result,
        "is_error": done.is_error,
        "seconds": done.seconds,
        "child_run_id": done.child_run_id,
        "state_delta": done.state_delta,
    }
    if done.media:
        value["media"] = [medium.as_json() for medium in done.media]
    if done.hook_effect is not None:
        value["hook_effect"] = done.hook_effect
    return jsontext.dumps(value)


def tool_step_of(step: StepRow, contents: Mapping[str, bytes]) -> ToolStep:
    """The result that a stored tool call or delegation holds."""
    value = loaded(step)
    return ToolStep(
        result=value["result"],
        is_error=value["is_error"],
        started_at=step.started_at,
        seconds=value["seconds"],
        state=step.state,
        child_run_id=value["child_run_id"],
        state_delta=value["state_delta"],
        media=tuple(
            Medium(name=one["name"], item=one["item"], content=contents.get(one["item"].get("blob", "")))
            for one in value.get("media", ())
        ),
        hook_effect=value.get("hook_effect"),
    )
