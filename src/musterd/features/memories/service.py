"""The use cases of memories: write, read, delete, and merge with a model."""

import itertools
from dataclasses import replace

import structlog
from pydantic_ai.messages import ModelMessage, ModelRequest, SystemPromptPart, TextPart, UserPromptPart
from pydantic_ai.models import Model, ModelRequestParameters

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import (
    Conflict,
    DeclarationError,
    InvalidInput,
    ModelFailed,
    NotFound,
    StartError,
    Unavailable,
)
from musterd.core.user_memories import MAX_TOPICS, PROFILE_CHARACTERS
from musterd.declare import models_of
from musterd.engine.resources import Resources
from musterd.features.memories import store
from musterd.features.memories.records import Memory, MemoryFilter, MemoryStats, Optimized
from musterd.loop.conversation import make_storable
from musterd.loop.user_memories import CHARACTERS
from musterd.models import resolve
from musterd.models.call import ModelAnswer
from musterd.store.database import Tx

log = structlog.get_logger("musterd.memories")

NOBODY = "default"
"""The user that a memory is about if the request names none."""

MERGED_CHARACTERS = 3000
"""What a model may write. It leaves room for newer memories among those that a run reads."""
INPUT_CHARACTERS = 20_000
"""The most characters of memories that a model reads to merge them."""

PROMPT = (
    "What follows is remembered of one user, one note after the other. Write one text that holds all of it: every fact "
    "once, related ones together, in the third person, as short as can be, and in any case with at most "
    f"{MERGED_CHARACTERS} characters. Add nothing. Answer with that text alone."
)


class MemoryService:
    """The use cases of memories.

    :raises StartError: the model that the settings name for memories cannot be used.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._database = resources.database
        if model := resources.settings.memory_model:
            try:
                resolve.check(model, resources.settings)
            except DeclarationError as error:
                raise StartError(f"MUSTERD_MEMORY_MODEL: {error.message}") from error

    async def add(self, text: str, topics: list[str], user_id: str | None, caller: Caller) -> Memory:
        """Store a memory about a user: the one that a token proved, else ``user_id``.

        :return: the memory; if the user has one with this text, that one with the topics of both.
        """
        about = (caller.sees_only or user_id or caller.user_id) or NOBODY
        now = clock.now()
        memory = Memory(
            memory_id=clock.new_id(),
            owner=None if caller.user_id is None else about,
            user_id=about,
            memory=text,
            topics=topics,
            created_at=now,
            updated_at=now,
        )
        return await self._database.write(lambda tx: _add(tx, memory))

    async def view(self, memory_id: str, user_id: str | None, caller: Caller) -> Memory:
        """One memory.

        :param user_id: if given, the user that it must be about.
        :raises NotFound: there is none that this caller may see.
        """
        return await self._database.read(lambda tx: _visible(tx, memory_id, user_id, caller))

    async def search(self, conditions: MemoryFilter, caller: Caller) -> tuple[list[Memory], int]:
        """One page of memories, and how many there are in all."""
        return await self._database.scan(lambda tx: store.search(tx, conditions, caller))

    async def topics(self, user_id: str | None, caller: Caller) -> list[str]:
        """Every topic, once."""
        return await self._database.scan(lambda tx: store.topics(tx, user_id, caller))

    async def stats(
        self, user_id: str | None, caller: Caller, *, limit: int, page: int
    ) -> tuple[list[MemoryStats], int]:
        """One page of users with how much is remembered of each, and of how many in all."""
        return await self._database.scan(lambda tx: store.stats(tx, user_id, caller, limit=limit, page=page))

    async def change(self, memory_id: str, text: str, topics: list[str], user_id: str | None, caller: Caller) -> Memory:
        """Replace the text and the topics of a memory. Another text is the caller's, and comes from no run.

        :raises NotFound: there is none that this caller may see, or it is not of ``user_id``.
        :raises InvalidInput: it is a field of the profile, and the text is too long for one.
        """
        now = clock.now()

        async def work(tx: Tx) -> Memory:
            memory = await _visible(tx, memory_id, None if caller.sees_only else user_id, caller)
            if memory.profile_field is not None and len(text) > PROFILE_CHARACTERS:
                words = f"String should have at most {PROFILE_CHARACTERS} characters"
                raise InvalidInput.at(("body", "memory"), "string_too_long", words)
            await store.lock_user(tx, memory.user_id)
            changed = replace(memory, memory=text, topics=topics, updated_at=now)
            if text != memory.memory:
                changed = replace(changed, agent_id=None, team_id=None, input=None, source_run_id=None)
            for other in await store.with_keys(tx, memory.user_id, memory.owner, [changed.key]):
                if other.memory_id != memory_id:  # it says the same: the one that is changed stays
                    await store.remove(tx, other.memory_id)
            if not await store.set_text(tx, changed):
                raise _not_found(memory_id)
            return changed

        return await self._database.write(work)

    async def forget(self, memory_id: str, user_id: str | None, caller: Caller) -> None:
        """Delete a memory.

        :raises NotFound: there is none that this caller may see.
        """

        async def work(tx: Tx) -> None:
            memory = await _visible(tx, memory_id, user_id, caller)
            await store.lock_user(tx, memory.user_id)
            await store.remove(tx, memory_id)

        await self._database.write(work)

    async def forget_many(self, ids: list[str], user_id: str | None, caller: Caller) -> None:
        """Delete those of ``ids`` that this caller may see, and ignore the others."""

        async def work(tx: Tx) -> None:
            visible = [memory for memory_id in set(ids) if (memory := await store.get(tx, memory_id, caller))]
            memories = [memory for memory in visible if user_id in (None, memory.user_id)]
            # In one order, so that two requests about some of the same users cannot deadlock.
            for locked_id in sorted({memory.user_id for memory in memories}):
                await store.lock_user(tx, locked_id)
            for memory in memories:
                await store.remove(tx, memory.memory_id)

        await self._database.write(work)

    async def forget_user(self, user_id: str, caller: Caller) -> int:
        """Delete all memories that are about a user or belong to them, and that this caller may see.

        :return: how many.
        """

        async def work(tx: Tx) -> int:
            # In one order, so that two requests about some of the same users cannot deadlock.
            for locked_id in sorted({user_id, *await store.users_of_owner(tx, user_id, caller)}):
                await store.lock_user(tx, locked_id)
            return await store.remove_of_user(tx, user_id, caller)

        return await self._database.write(work)

    async def optimize(self, user_id: str, model: str | None, applies: bool, caller: Caller) -> Optimized:
        """Let a model merge all memories of a user into one for each owner: no owner may see those of another.

        :param model: the name of a model that a served component uses, or of ``memory_model``; None: the latter.
        :param applies: whether the merged memory replaces the others; otherwise it is only returned.
        :raises InvalidInput: no model is named, or one that this server does not use.
        :raises NotFound: the user has no memories.
        :raises Conflict: the memories changed during the model calls.
        :raises Unavailable: the model does not answer, or with a text that is longer than what a run reads.
        """
        merging_model = await self._model(model)
        before = _merged_at_once(await self._database.scan(lambda tx: store.of_user(tx, user_id, caller)))
        if not before:
            raise NotFound(f"No memories found for user {user_id}")
        # No transaction is open during the model calls. _replace() checks that the memories are still the same.
        after = [
            _merged_memory(memories, await self._merged_text(merging_model, memories)) for memories in _by_owner(before)
        ]
        if applies:
            await self._database.write(lambda tx: _replace(tx, before, after, caller))
        return Optimized(before=before, after=after)

    async def _model(self, name: str | None) -> Model:
        settings = self._resources.settings
        name = name or settings.memory_model
        if not name:
            words = "Specify a model, because MUSTERD_MEMORY_MODEL is not set"
            raise InvalidInput.at(("body", "model"), "missing", words)
        known = self._known_models()
        if name not in known:
            words = f"Not a model of this server; it uses {', '.join(sorted(known))}"
            raise InvalidInput.at(("body", "model"), "value_error", words, name)
        try:
            await resolve.load([known[name]], settings)
            return resolve.resolve(known[name], settings)
        except DeclarationError as error:
            log.error("a model for memories cannot be used", model=name, reason=error.message)
            raise InvalidInput.at(("body", "model"), "value_error", "This model cannot be used now", name) from error

    def _known_models(self) -> "dict[str, str | Model]":
        """The models that a client may name: those of served components. Any other would be paid with our keys."""
        registry, models = self._resources.registry, list[str | Model]()
        for served in registry.top_level():
            models += [model for component in served.agents_and_teams() for model in models_of(component)]
        named = {model if isinstance(model, str) else f"{model.system}:{model.model_name}": model for model in models}
        preferred = self._resources.settings.memory_model
        return {preferred: preferred, **named} if preferred else named

    async def _merged_text(self, model: Model, before: list[Memory]) -> str:
        notes = "\n\n".join(f"{number}. {memory.memory}" for number, memory in enumerate(before, 1))
        messages: list[ModelMessage] = [ModelRequest(parts=[SystemPromptPart(PROMPT), UserPromptPart(notes)])]
        try:
            answer = await self._resources.models.caller.stream(
                model,
                messages,
                ModelRequestParameters(),
                None,
                on_text=lambda text, reasoning: None,
                on_retry=lambda failed_try, wait_seconds, reason, had_text: None,
            )
        except ModelFailed as error:
            raise Unavailable(f"The model did not merge the memories: {error.message}") from error
        if not (text := _text(answer)):
            raise Unavailable("The model did not merge the memories: its answer is empty.")
        if len(text) > CHARACTERS:
            words = f"its answer has {len(text)} characters; a run reads {CHARACTERS}"
            raise Unavailable(f"The model did not merge the memories: {words}.")
        return text


async def _add(tx: Tx, memory: Memory) -> Memory:
    await store.lock_user(tx, memory.user_id)
    if await store.add(tx, memory):
        return memory
    (same,) = await store.with_keys(tx, memory.user_id, memory.owner, [memory.key])
    topics = list(dict.fromkeys((*same.topics, *memory.topics)))[:MAX_TOPICS]
    merged = replace(same, topics=topics, updated_at=memory.updated_at)
    await store.set_text(tx, merged)
    return merged


async def _visible(tx: Tx, memory_id: str, user_id: str | None, caller: Caller) -> Memory:
    memory = await store.get(tx, memory_id, caller)
    if memory is None or user_id not in (None, memory.user_id):
        raise _not_found(memory_id)
    return memory


def _not_found(memory_id: str) -> NotFound:
    return NotFound(f"Memory with ID {memory_id} not found")


async def _replace(tx: Tx, before: list[Memory], after: list[Memory], caller: Caller) -> None:
    user_id = before[0].user_id
    await store.lock_user(tx, user_id)
    # Locked and compared: a memory that was written during the model calls is not in a merged one.
    if _merged_at_once(await store.of_user(tx, user_id, caller, locks=True)) != before:
        raise Conflict("The user's memories have changed in the meantime; try again.")
    for memory in before:
        await store.remove(tx, memory.memory_id)
    for memory in after:
        await store.add(tx, memory)


def _merged_at_once(memories: list[Memory]) -> list[Memory]:
    """The oldest memories, as many as a model reads."""
    sizes = itertools.accumulate(len(memory.memory) for memory in memories)
    return [memory for memory, size in zip(memories, sizes, strict=True) if size <= INPUT_CHARACTERS]


def _by_owner(memories: list[Memory]) -> list[list[Memory]]:
    """The memories of each owner, in their order. A run of one user in another's session writes for the other."""
    owned: dict[str | None, list[Memory]] = {}
    for memory in memories:
        owned.setdefault(memory.owner, []).append(memory)
    return list(owned.values())


def _merged_memory(before: list[Memory], text: str) -> Memory:
    """The memory that replaces those of one owner. It names the run of the newest one that a run wrote."""
    now, first = clock.now(), before[0]
    newest = max(before, key=lambda memory: (memory.source_run_id is not None, memory.updated_at))
    agents, teams = {memory.agent_id for memory in before}, {memory.team_id for memory in before}
    return Memory(
        memory_id=clock.new_id(),
        owner=first.owner,
        user_id=first.user_id,
        memory=text,
        topics=list(dict.fromkeys(topic for memory in before for topic in memory.topics))[:MAX_TOPICS],
        agent_id=agents.pop() if len(agents) == 1 else None,
        team_id=teams.pop() if len(teams) == 1 else None,
        input=newest.input,
        source_run_id=newest.source_run_id,
        created_at=now,
        updated_at=now,
    )


def _text(answer: ModelAnswer) -> str:
    make_storable(answer.response)
    return "".join(part.content for part in answer.response.parts if isinstance(part, TextPart)).strip()
