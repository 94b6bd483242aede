"""Reads what earlier attempts of a run stored, and converts journal rows to the loop's values and back."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from musterd.core import jsontext
from musterd.core.errors import ReplayDiverged
from musterd.core.events import END_EVENTS, Event, EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.media import Medium, references
from musterd.core.records import CODEC, RunRow, StepKind, StepRow, Usage
from musterd.core.requirements import ApprovalRow
from musterd.core.step_contents import MAX_INLINE
from musterd.engine.outbox import EventKey
from musterd.engine.step_attempts import CUT_OFF_OUTCOME, attempt_of
from musterd.engine.superseded_text import ModelCallStarts, note_model_calls
from musterd.loop.conversation import NOTES, parse_response
from musterd.loop.steps import ToolStep
from musterd.loop.stored_media import with_contents
from musterd.models.call import ModelAnswer
from musterd.store import approvals, blobs, events, journal, messages, runs
from musterd.store.database import Tx
from musterd.store.shards import SessionTx


@dataclass(frozen=True, slots=True)
class Recovered:
    """What earlier attempts stored; empty for a first one.

    :param steps: the stored steps, by path.
    :param members: rows of the members that began, by run id.
    :param emitted_keys: keys of the stored events; these are not emitted again.
    :param approvals: open questions to persons, and decisions that were not acted on yet, by path.
    :param contents: the media that steps refer to, by hash.
    :param questions: the last question to a person at each path, in whatever state.
    :param model_calls: the model calls whose start was emitted.
    :param superseded: the streams that were cut off; the text of each is void from its first event on.
    :param seen_messages: the messages that stored model calls saw, by the call's path.
    :param lost_characters: the length of the text of each stream that was cut off, by the path of its step.
    :param cut_off_calls: the model calls that the end of an attempt cut off, as attempts of the step at their path.
    :param worked_seconds: how long earlier attempts were at work, from the first to the last event of each.
    """

    steps: dict[str, StepRow] = field(default_factory=dict)
    members: dict[str, RunRow] = field(default_factory=dict)
    emitted_keys: frozenset[EventKey] = frozenset()
    approvals: dict[str, ApprovalRow] = field(default_factory=dict)
    superseded: list[JsonObject] = field(default_factory=list)
    seen_messages: dict[str, list[str]] = field(default_factory=dict)
    lost_characters: dict[str, int] = field(default_factory=dict)
    cut_off_calls: dict[str, list[JsonObject]] = field(default_factory=dict)
    worked_seconds: float = 0.0
    contents: dict[str, bytes] = field(default_factory=dict)
    questions: dict[str, ApprovalRow] = field(default_factory=dict)
    model_calls: ModelCallStarts = field(default_factory=dict)

    @property
    def call_ids(self) -> dict[str, None]:
        """The ids of the tool calls that models made. Each id must be unique in the run tree."""
        answers = [loaded(step) for step in self.steps.values() if step.kind is StepKind.MODEL]
        parts = [part for answer in answers for part in answer.get("parts", ())]
        return {part["tool_call_id"]: None for part in parts if part["part_kind"] == "tool-call"}

    @property
    def step_names(self) -> Mapping[str, str]:
        """The names of the stored steps by path, and the paths above them."""
        return names_by_path(self.steps.values())

    @property
    def finished_paths(self) -> frozenset[str]:
        """The paths of the steps that have a result."""
        return frozenset(path for path, step in self.steps.items() if step.result is not None)

    @property
    def continued(self) -> list[str]:
        """The members' runs that go on because a question of theirs, or of a member below them, was decided."""
        run_ids: dict[str, None] = {}  # ordered, each once
        for approval in self.approvals.values():
            run_id = approval.requirement.run_id if approval.state == "decided" else None
            while run_id is not None and (row := self.members.get(run_id)) is not None:
                run_ids[run_id], run_id = None, row.parent_id
        return list(run_ids)

    @property
    def has_closed(self) -> bool:
        """Whether a question was closed: its member was cancelled meanwhile, and must stop instead of asking again."""
        return any(row.state == "closed" for row in self.questions.values())

    @property
    def prepared(self) -> JsonObject | None:
        """The values that the root run read before its first turn."""
        stored = self.steps.get("p")
        return None if stored is None else loaded(stored)


def names_by_path(steps: Iterable[StepRow]) -> Mapping[str, str]:
    """The names of steps by path; also of the paths above them, whose names are empty."""
    names: dict[str, str] = {}
    for step in steps:
        names[step.path] = step.name or ""
        above = step.path.rpartition("/")[0]
        while above and above not in names:
            names[above] = ""
            above = above.rpartition("/")[0]
    return names


async def load(tx: Tx, run: RunRow) -> Recovered:
    """Read what earlier attempts of ``run`` stored. One transaction, so that all of it is of one moment.

    :raises ReplayDiverged: a newer version of musterd stored a step in a format that this one cannot read.
    """
    tx = SessionTx(tx, run.session_id)
    steps = {step.path: step for step in await journal.steps(tx, run.run_id)}
    if newer := [path for path, step in steps.items() if step.codec > CODEC]:
        raise ReplayDiverged(f"The run cannot continue because step {newer[0]} was stored by a newer musterd. Upgrade.")
    tree = {row.run_id: row for row in await runs.tree(tx, run.run_id)}
    stored_events = await events.all_events(tx, run.run_id)
    emitted = _Emitted(stored_events, run.run_id)
    superseded: list[JsonObject] = [
        {"run_id": voice, "path": tree[stream.run_id].path, "from_event_index": stream.index}
        for voice, stream in emitted.streams.items()
    ]
    superseded += [
        {"run_id": run_id, "path": path, "from_event_index": index}
        for (run_id, path), index in emitted.step_texts.items()
    ]
    members = {run_id: row for run_id, row in tree.items() if row.parent_id is not None}
    questions = await questions_of(tx, run, steps)
    model_calls: ModelCallStarts = {}
    note_model_calls(model_calls, stored_events)
    return Recovered(
        steps=steps,
        members=members,
        emitted_keys=frozenset(emitted.keys),
        approvals={path: row for path, row in questions.items() if row.state in ("pending", "decided")},
        superseded=superseded,
        seen_messages=await _seen_messages(tx, run) if run.signals else {},
        lost_characters={stream.place: stream.characters for stream in emitted.streams.values()},
        cut_off_calls=emitted.cut_off_calls,
        worked_seconds=worked_seconds(stored_events, run.run_id),
        contents=await blobs.several(tx, {name for step in steps.values() for name in references_of(step)}),
        questions=questions,
        model_calls=model_calls,
    )


async def questions_of(tx: SessionTx, run: RunRow, paths: Collection[str]) -> dict[str, ApprovalRow]:
    """The last question to a person at each path, in whatever state, with the decisions about calls that a fork copied.

    :param paths: those of the stored steps.
    """
    questions = await _earlier_decisions(tx, run, paths) if run.forked_from is not None else {}
    # The run's own questions replace those of the runs that it was forked from.
    return questions | {row.requirement.path: row for row in await approvals.of_root(tx, run.run_id)}


async def _earlier_decisions(tx: SessionTx, run: RunRow, paths: Collection[str]) -> dict[str, ApprovalRow]:
    """Decisions about calls that a fork copied, made in the runs that this one was forked from, by path."""
    decisions: dict[str, ApprovalRow] = {}
    origin_id = run.forked_from
    while origin_id is not None:
        rows = [row for row in await approvals.of_root(tx, origin_id) if row.state == "consumed"]
        # From the nearest origin to the furthest: a decision that was made later, nearer to this run, takes precedence.
        decisions = {row.requirement.path: row for row in rows if row.requirement.path in paths} | decisions
        origin_id = await runs.origin_of(tx, origin_id)
    return decisions


async def _seen_messages(tx: SessionTx, run: RunRow) -> dict[str, list[str]]:
    """The messages that stored model calls saw, by the call's path."""
    texts: dict[str, list[str]] = {}
    for message in await messages.of_root(tx, run.run_id):
        if message.taken_path is not None:
            texts.setdefault(message.taken_path, []).append(message.text)
    return texts


def worked_seconds(stored_events: Iterable[tuple[int, Event]], root_id: str) -> float:
    """How long attempts were at work, in seconds: each from its first event to its pause or its last event."""
    seconds, began, last = 0.0, None, 0.0
    for _, event in stored_events:
        is_own = event.run_id == root_id
        # Without an attempt number the event only withdraws a text; the same attempt goes on.
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
    """A model's text as it was emitted: index of its start, path of its step, the run that called, its length.

    ``attempt`` and ``started_at`` say in which attempt of the run the call was made, and when.
    """

    index: int
    place: str
    run_id: str
    attempt: int
    started_at: float
    characters: int = 0


class _Emitted:
    """What the stored events tell about earlier attempts.

    ``keys`` are the keys of events that are not emitted again. ``streams`` are the streams that the last attempt left
    open, by the run of their text. Such a stream begins again, so the events of its call are emitted again, and their
    keys are left out. ``cut_off_calls`` are the model calls that were cut off in any attempt, by their step's path.
    ``step_texts`` are the texts of generators that the last attempt left open, by the run and the path of the step,
    with the index at which they begin.
    """

    def __init__(self, stored_events: Iterable[tuple[int, Event]], root_id: str) -> None:
        self.keys: set[EventKey] = set()
        self.streams: dict[str, _Stream] = {}
        self.step_texts: dict[tuple[str, str], int] = {}
        self.cut_off_calls: dict[str, list[JsonObject]] = {}
        self._root_id = root_id
        self._attempt = 1
        for index, event in stored_events:
            if event.kind is EventKind.STEP_CONTENT:
                self.step_texts.setdefault((event.run_id, event.data["path"]), index)
            elif event.is_delta:
                _add_length(self.streams.get(event.run_id), event)
            else:
                self._read(index, event)
                self.keys.add(event.key)
        for stream in self.streams.values():
            self._drop(stream, is_cut_off=True)

    def _read(self, index: int, event: Event) -> None:
        if event.kind is EventKind.MODEL_REQUEST_STARTED:
            self.streams[event.voice] = _Stream(index, event.place, event.run_id, self._attempt, event.at)
        elif event.kind is EventKind.MODEL_REQUEST_COMPLETED:
            self.streams.pop(event.voice, None)
        elif event.kind is EventKind.STEP_COMPLETED:
            self.step_texts.pop((event.run_id, event.place), None)
        elif event.kind is EventKind.STEP_ERROR:  # which voids the text of the try that failed
            self.step_texts.pop((event.run_id, event.place.rpartition("/")[0]), None)
        elif event.kind in END_EVENTS:
            # A run that has ended or paused has no model call in progress, so none of its text was cut off.
            streams = self.streams.items()
            self.streams = {voice: stream for voice, stream in streams if stream.run_id != event.run_id}
        elif event.kind is EventKind.RUN_CONTINUED:
            self._continue(event)

    def _continue(self, event: Event) -> None:
        # Without an attempt number the event only withdraws a text; the same attempt goes on.
        begins_attempt = event.run_id == self._root_id and "attempt" in event.data
        for item in event.data.get("superseded", ()):  # an earlier attempt made these void
            self.step_texts.pop((item["run_id"], item["path"]), None)
            if (stream := self.streams.pop(item["run_id"], None)) is not None:
                self._drop(stream, is_cut_off=begins_attempt)
        if begins_attempt:
            self._attempt = event.data["attempt"]

    def _drop(self, stream: _Stream, *, is_cut_off: bool) -> None:
        self.keys = _without_call(self.keys, stream.place)
        if is_cut_off:
            entry = attempt_of(stream.attempt, stream.started_at, None, CUT_OFF_OUTCOME)
            self.cut_off_calls.setdefault(stream.place, []).append(entry)


def _add_length(stream: _Stream | None, event: Event) -> None:
    if stream is not None:
        stream.characters += len(event.data.get("text", "")) + len(event.data.get("reasoning", ""))


def _without_call(keys: set[EventKey], place: str) -> set[EventKey]:
    """The keys without those of the model call at ``place``. The messages that it was to read stay: no text is void."""
    return {key for key in keys if not key[2].startswith(place) or key[1] == EventKind.MESSAGE_RECEIVED}


def loaded(step: StepRow) -> JsonObject:
    """The recorded result of a step."""
    value: JsonObject = json.loads(step.result or "{}")
    return value


def references_of(step: StepRow) -> list[str]:
    """The hashes of the media that a step's result refers to."""
    if step.kind is StepKind.MODEL:
        return references(step.result)
    if not step.kind.has_effect or step.result is None or '"media"' not in step.result:
        return []
    return [medium["item"]["blob"] for medium in loaded(step).get("media", ()) if "blob" in medium["item"]]


def answer_of(step: StepRow, contents: Mapping[str, bytes]) -> ModelAnswer:
    """The answer of a model, from its stored step."""
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
        is_taken_over=step.is_taken_over,
    )


def recorded_result(result: ToolStep, *, keeps_content_apart: bool) -> tuple[str, str | None]:
    """The result of a tool call in the form in which it is recorded, and its text if that is stored apart."""
    is_apart = keeps_content_apart and not result.is_error and len(result.result) > MAX_INLINE
    value: JsonObject = {
        **({"characters": len(result.result)} if is_apart else {"result": result.result}),
        "is_error": result.is_error,
        "seconds": result.seconds,
        "child_run_id": result.child_run_id,
        "state_delta": result.state_delta,
    }
    if result.media:
        value["media"] = [medium.as_json() for medium in result.media]
    if result.hook_effect is not None:
        value["hook_effect"] = result.hook_effect
    if result.details is not None:
        value["details"] = result.details
    return jsontext.dumps(value), jsontext.storable(result.result) if is_apart else None


def tool_step_of(step: StepRow, contents: Mapping[str, bytes]) -> ToolStep:
    """The result of a tool call or delegation, from its stored step."""
    value = loaded(step)
    return ToolStep(
        result=value.get("result", ""),
        unread_characters=value.get("characters"),
        is_error=value["is_error"],
        started_at=step.started_at,
        seconds=value["seconds"],
        state=step.state,
        child_run_id=value["child_run_id"],
        state_delta=value["state_delta"],
        media=tuple(
            Medium(name=medium["name"], item=medium["item"], content=contents.get(medium["item"].get("blob", "")))
            for medium in value.get("media", ())
        ),
        hook_effect=value.get("hook_effect"),
        details=value.get("details"),
    )
