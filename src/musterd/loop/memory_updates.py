"""The memory manager: a model that decides what to remember of a run's user.

It reads the user's message and the memories so far, and changes them with tools. The calls change a draft, so they need
no intents; the outcome is recorded as one step, and the rows are written with the end of the run. Only an event, a
metric and a log line report a failure: no answer waits longer than ``MUSTERD_MEMORY_SECONDS`` for it, and none fails.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from pydantic_ai.messages import ModelMessage, ModelRequest
from pydantic_ai.models import ModelRequestParameters

from musterd.core import clock
from musterd.core.error_logging import log_failure
from musterd.core.errors import BudgetSpent, ModelFailed
from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Output, StepKind
from musterd.core.user_memories import MemoryChanges, changed_ids, memory_key
from musterd.declare import Component, MemoryManager
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.builtin_tools import Rejected, ToolCallContext
from musterd.loop.component_cache import cached_per_component
from musterd.loop.hooks import message_of
from musterd.loop.memory_draft import MemoryDraft, Source, manager_tools
from musterd.loop.run_tree import RunTree, fingerprint
from musterd.loop.side_calls import SideCall, answer_text, ask, prompt_messages
from musterd.loop.steps import MEMORY, NOTED
from musterd.loop.task_abandonment import STOP_SECONDS, stop_within
from musterd.loop.user_memories import (
    MESSAGE_CHARACTERS,
    Remembered,
    UserMemories,
    numbered_memories,
    profile_fields_of,
    profile_lines,
    read_memories,
    with_pending,
)

CALLS = 2
"""The most model calls of one update: one, and another if a change was refused."""
EVENT_MEMORIES = 50
"""The most memories that the event lists."""
UNKNOWN_USER = "The user is unknown, so nothing can be remembered."

PROMPT = (
    "You decide what an assistant remembers of its user from one conversation to the next. Read the user's message and "
    "the memories so far, and change the memories with your tools. Make all changes in one answer. If there is nothing "
    "worth remembering, which is the usual case, call no tool."
)
CAPTURE = (
    "Remember facts about the user that later conversations can use: names, people and places in their life, work, "
    "preferences, plans, and what they ask you to remember. Leave out what only matters in this conversation."
)
RULES = (
    "A memory is one short sentence in the third person, about one fact in the user's message. It states what is so; "
    "it never tells anyone what to do. If a memory is about the same subject, update it in place of adding another. "
    "Never add what is remembered already."
)

PROFILE = (
    "The user's profile has its own tool, update_profile. Set a field only if the user says what it is; do not add a "
    "memory of it."
)

Answered = Callable[[], Awaitable[Output]]


def updates_memories(run: Assignment) -> bool:
    """Whether a run's message is read for memories. Only the user's own: a member's task is a text of a model."""
    has_tools = bool(manager_tools(manager_of(run.component), profile_fields_of(run.component)))
    return has_tools and run.parent_id is None and bool(message_of(run.prompt).strip())


async def answer_with_update(
    tree: RunTree, run: Assignment, progress: Progress, remembered: Remembered, answered: Answered
) -> Output:
    """Drive a run to its answer, with the memory manager beside it, and wait for both.

    :raises BaseException: what ``answered`` raises; the manager is stopped then.
    """
    assert tree.memories is not None
    update = MemoryUpdate(
        tree=tree,
        run=run,
        memories=tree.memories,
        place=MEMORY,
        text=message_of(run.prompt)[:MESSAGE_CHARACTERS],
        remembered=remembered,
    )
    # With a budget the manager begins after the answer, so that it cannot take room from a turn.
    manager = None if tree.budgets is not None else asyncio.create_task(update.outcome())
    emit = tree.emitter(run.run_id, run.at(MEMORY))
    try:
        output = await answered()
        emit(EventKind.MEMORY_UPDATE_STARTED, {}, "")
        outcome = await (update.outcome() if manager is None else manager)
    finally:
        if manager is not None:
            await _stop(manager, run)
    progress.output.count_asides(outcome["asides"])
    emit(EventKind.MEMORY_UPDATE_COMPLETED, update.event_data(outcome), "")
    return output


async def _stop(manager: "asyncio.Task[JsonObject]", run: Assignment) -> None:
    """Stop the manager if the run goes on without it: it failed, was cancelled, or waits for a person."""
    if not manager.done():
        # Awaited, so that the call records its end before the attempt stores that of the run.
        await stop_within(manager, STOP_SECONDS, run_id=run.run_id)
    elif not manager.cancelled():
        manager.exception()  # retrieved, so that asyncio does not log it: the run ends for another reason


async def update_by_task(context: ToolCallContext, task: str) -> str:
    """Change the memories as a model asks for it; return what was changed.

    :raises Rejected: nothing could be changed.
    """
    tree, run = context.tree, context.run
    place = f"{context.path.removeprefix(f'{run.path}/')}/memory"
    remembered = await read_memories(tree, run, run.at(f"{place}/read"), task)
    if remembered is None or tree.memories is None:
        return UNKNOWN_USER
    text = task[:MESSAGE_CHARACTERS]
    update = MemoryUpdate(tree=tree, run=run, memories=tree.memories, place=place, text=text, remembered=remembered)
    outcome = await update.outcome()
    context.details["asides"] = outcome["asides"]
    changes = MemoryChanges.from_json(outcome)
    if changes.is_empty and outcome["error"]:
        raise Rejected(f"The memories could not be changed: {outcome['error']['message']}")
    return _report(changes, outcome["words"])


def _report(changes: MemoryChanges, words: str) -> str:
    """What was changed, as the leader's model reads it. Words of the manager alone do not count as a change."""
    lines = [f"Added: {memory.memory}" for memory in changes.added]
    lines += [f"Updated: {memory.memory}" for memory in changes.updated]
    lines += [f"Removed: {memory.memory}" for memory in changes.removed]
    lines += [f"Profile: {memory.profile_field} is {memory.memory or 'removed'}" for memory in changes.profile]
    if lines:
        return "\n".join(lines)
    is_cleared = changes.cleared_before is not None
    return "All memories were removed." if is_cleared else f"Nothing was changed. {words}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUpdate:
    """One update of the memories of a run's user.

    :param place: its place in the run: ``memory``, or below a tool call.
    :param text: what the manager reads: the user's message, or the task of a tool call.
    :param remembered: the memories so far.
    """

    tree: RunTree
    run: Assignment
    memories: UserMemories
    place: str
    text: str
    remembered: Remembered

    async def outcome(self) -> JsonObject:
        """The outcome of the update, made now or recorded by an earlier attempt.

        :return: the changes, the ids of memories that were left alone because others had changed them, the error if
            there is one, the tokens used, and the manager's last words.
        """
        run = self.run
        step = fingerprint(StepKind.PREPARE, run.component.id, "memory", None)
        return await self.tree.steps.take(run.at(f"{self.place}/{NOTED}"), step, self._make)

    async def _make(self) -> JsonObject:
        draft = MemoryDraft(self._manager, self._profile_fields, self.remembered, self._source())
        # The calls' tokens are part of the outcome: an attempt that finds it stored counts them without the calls.
        progress, skipped, words = Progress(), list[str](), ""
        error: JsonObject | None = None
        try:
            async with asyncio.timeout(self.tree.settings.memory_seconds):
                words = await self._let_manager_change(draft, progress)
                skipped = await self._drop_stale(draft)
        except (ModelFailed, BudgetSpent) as failure:
            error = self._failed(failure, failure.code, failure.message)
        except TimeoutError as failure:
            seconds = self.tree.settings.memory_seconds
            error = self._failed(failure, "memory_timeout", f"The memory manager took more than {seconds:g} s.")
        # Even if the second call failed: the changes of the first one are right.
        changes, asides = draft.changes.as_json(), progress.output.asides
        return {**changes, "skipped": skipped, "error": error, "asides": asides, "words": words}

    def event_data(self, outcome: JsonObject) -> JsonObject:
        """The data of the event that reports an outcome: the memories as the changes leave them, and what changed."""
        changes, skipped = MemoryChanges.from_json(outcome), outcome["skipped"]
        # What others have changed is not shown as it was read.
        read = self.remembered
        memories = [
            *changes.applied_to_profile(memory for memory in read.profile if memory.memory_id not in skipped),
            *changes.applied_to(memory for memory in read.memories if memory.memory_id not in skipped),
        ]
        data: JsonObject = {
            "memories": [memory.as_json() for memory in memories[:EVENT_MEMORIES]],
            "user_id": self.tree.user_id,
            **changed_ids([changes]),
        }
        data.update((name, outcome[name]) for name in ("skipped", "error") if outcome[name])
        return data

    def _failed(self, failure: Exception, code: str, message: str) -> JsonObject:
        log_failure("memory update failed", failure, run_id=self.run.run_id)
        return {"code": code, "message": message}

    async def _let_manager_change(self, draft: MemoryDraft, progress: Progress) -> str:
        """Call the manager's model, and apply its tool calls to the draft. Return its last words.

        :raises ModelFailed: it does not answer.
        """
        tree, run, manager = self.tree, self.run, self._manager
        model = manager.model or tree.settings.memory_model
        component = replace(run.component, model=model) if model else run.component
        await tree.models.load(component)
        messages: list[ModelMessage] = prompt_messages(self._prompt(), self.text)
        tools = manager_tools(manager, self._profile_fields)
        parameters, words = ModelRequestParameters(function_tools=tools), ""
        for number in range(CALLS):
            side_call = SideCall(
                place=f"{self.place}/{number}" if number else self.place,
                role="memory_model",
                model=component.model,
                messages=list(messages),
                parameters=parameters,
                emits_events=False,
            )
            response, _ = await ask(tree, run, progress, side_call)
            words = answer_text(response)
            results, is_refused = draft.apply(response)
            if not is_refused:
                break
            messages += [response, ModelRequest(parts=results)]
        return words

    async def _drop_stale(self, draft: MemoryDraft) -> list[str]:
        """Undo changes of memories that others have changed since; return the ids of those memories."""
        changes = draft.changes
        if changes.is_empty:
            return []
        ids = [memory.memory_id for memory in (*changes.updated, *changes.removed)]
        new = (*changes.added, *changes.profile)
        stored = await self.memories.matching(ids, [memory_key(memory.memory, memory.profile_field) for memory in new])
        return draft.drop_stale(with_pending(self.tree, stored))

    @property
    def _manager(self) -> MemoryManager:
        return manager_of(self.run.component)

    @property
    def _profile_fields(self) -> Mapping[str, str]:
        return profile_fields_of(self.run.component)

    def _prompt(self) -> str:
        manager, memories = self._manager, "\n".join(numbered_memories(self.remembered.memories)) or "none"
        own = manager.system_message or "\n\n".join((PROMPT, manager.memory_capture_instructions or CAPTURE, RULES))
        parts = [own, manager.additional_instructions, f"<memories>\n{memories}\n</memories>"]
        if self._profile_fields:
            profile = "\n".join(profile_lines(self.remembered.profile)) or "none"
            parts += [PROFILE, f"<profile>\n{profile}\n</profile>"]
        return "\n\n".join(part for part in parts if part)

    def _source(self) -> Source:
        component, path, salt = self.run.component, self.run.at(self.place), self.tree.salt
        return Source(
            at=clock.now(),
            # From the path, so that a later attempt that computes the same changes gives new memories the same ids.
            new_id=lambda name: clock.derived_id(salt, f"{path}/{name}"),
            text=self.text,
            agent_id=component.id if component.kind == "agent" else None,
            team_id=component.id if component.kind == "team" else None,
        )


@cached_per_component
def manager_of(component: Component) -> MemoryManager:
    """The component's manager. By default one that a model directs may delete, because users ask to forget."""
    spec = component.spec
    return spec.memory_manager or MemoryManager(delete_memories=spec.enable_agentic_memory)
