"""Simulates crashes at chosen points, and checks the guarantees for subscribers of a recovered run."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage, ModelResponseStreamEvent
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings

from musterd.core.events import DELTAS, Event, EventKind
from musterd.core.records import RunView
from musterd.models.plain_messages import plain_messages
from musterd.models.scripted import ScriptedModel
from tests.support.engine import EngineHarness
from tests.support.store import Records

IndexedEvents = Sequence[tuple[int, Event]]


async def end_before_death(fuse: "Fuse", harness: EngineHarness) -> RunView | None:
    """Wait for the end of the run ``r1``, or until the fuse blows; the process is killed then. None: it was."""
    ending = asyncio.ensure_future(harness.end_of("r1"))
    dying = asyncio.ensure_future(fuse.blown.wait())
    await asyncio.wait([ending, dying], return_when=asyncio.FIRST_COMPLETED)
    dying.cancel()
    has_died = not ending.done()
    if has_died:
        ending.cancel()
        await harness.kill()
    fuse.between = None
    fuse.disarm()
    return None if has_died else await ending


class Fuse:
    """Counts moments. From the chosen moment on nothing continues, like in a process that died there."""

    def __init__(self) -> None:
        self.between: Callable[[], Awaitable[None]] | None = None
        self.disarm()

    def arm(self, moments: int) -> None:
        """Stop after this many moments."""
        self._left: int | None = moments

    def disarm(self) -> None:
        """Stop nothing."""
        self._left = None
        self.blown = asyncio.Event()

    async def tick(self) -> None:
        """One moment; ``between`` moments other tasks continue."""
        if self.between is not None:
            await self.between()
        if self._left is None:
            return
        self._left -= 1
        if self._left < 0:
            self.blown.set()
            await asyncio.Event().wait()


class CountedModel(ScriptedModel):
    """The scripted model. Counts its calls by message and number of earlier answers: ``"message #0"``."""

    def __init__(self, fuse: Fuse | None = None) -> None:
        super().__init__()
        self.fuse = fuse or Fuse()
        self.calls: Counter[str] = Counter()
        self.systems: list[str] = []

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        conversation = plain_messages(messages, model_request_parameters)
        self.systems += [message["content"] for message in conversation if message["role"] == "system"]
        last_user = max(place for place, message in enumerate(conversation) if message["role"] == "user")
        turn = sum(message["role"] == "assistant" for message in conversation[last_user:])
        self.calls[f"{conversation[last_user]['content']} #{turn}"] += 1
        await self.fuse.tick()
        async with super().request_stream(messages, model_settings, model_request_parameters, run_context) as stream:
            vars(stream)["_get_event_iterator"] = self._ticking(stream)
            yield stream

    def _ticking(self, stream: StreamedResponse) -> Any:
        whole = stream._get_event_iterator

        async def events() -> AsyncIterator[ModelResponseStreamEvent]:
            async for event in whole():
                await self.fuse.tick()
                yield event
            await self.fuse.tick()

        return events


@dataclass
class VisibleText:
    """The text that a subscriber displays if it removes what later events declare void."""

    texts: defaultdict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))

    def read(self, index: int, event: Event) -> None:
        """Process one event."""
        if event.kind is EventKind.CONTENT:
            self.texts[event.run_id].append((index, event.data.get("text", "")))
        for void in event.data.get("superseded", ()):
            pieces = [piece for piece in self.texts[void["run_id"]] if piece[0] < void["from_event_index"]]
            self.texts[void["run_id"]] = pieces

    def text(self, run_id: str) -> str:
        """The text that it shows for a run."""
        return "".join(text for _, text in self.texts[run_id])


def check_each_event_once(events: IndexedEvents) -> None:
    """Nothing but text was emitted twice, and exactly the streams that were cut off are declared void."""
    indexes = [index for index, _ in events]
    assert indexes == sorted(set(indexes))
    counts = Counter(event.key for _, event in events if event.kind not in DELTAS)
    voided: Counter[tuple[str, str, str]] = Counter()
    by_index = dict(events)
    for index, event in events:
        for item in event.data.get("superseded", ()):
            request = by_index[item["from_event_index"]]
            assert (request.kind, request.run_id) == (EventKind.MODEL_REQUEST_STARTED, item["run_id"])
            between = [
                one for at, one in events if item["from_event_index"] < at < index and one.run_id == request.run_id
            ]
            assert {one.kind for one in between} <= DELTAS | {EventKind.MODEL_REQUEST_RETRIED}
            voided[request.key] += 1
    for key, count in counts.items():
        assert count == 1 + voided[key], f"{key} was told {count} times"
    for run_id in {event.run_id for _, event in events}:
        own = [event.kind for _, event in events if event.run_id == run_id]
        assert own[0] is EventKind.RUN_STARTED
        assert own.count(EventKind.RUN_STARTED) == 1


def check_calls(events: IndexedEvents) -> None:
    """A tool call has one id, unique in the tree, from its start to its end."""
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for _, event in events:
        if "tool" in event.data:
            ids[event.place].add(event.data["tool"]["id"])
    assert all(len(call_ids) == 1 for call_ids in ids.values()), ids
    assert len(set().union(*ids.values())) == len(ids)


async def stored_steps(records: Records, root_id: str) -> dict[str, str]:
    """The steps with a stored result, by path, with the key under which :class:`CountedModel` counts a model call."""
    steps = await records.select(
        "SELECT path, kind FROM journal WHERE root_id = :root AND result IS NOT NULL AND kind IN ('model', 'tool')",
        root=root_id,
    )
    inputs = await records.select(
        "SELECT COALESCE(path, '') AS path, input FROM runs JOIN run_io USING (run_id) WHERE root_id = :root",
        root=root_id,
    )
    messages = {row["path"]: json.loads(row["input"])["message"] for row in inputs}
    keys = {}
    for step in steps:
        of_run, _, turn = step["path"].removesuffix("/m").rpartition("t")
        keys[step["path"]] = f"{messages[of_run.removesuffix('/')]} #{turn}" if step["kind"] == "model" else ""
    return keys
