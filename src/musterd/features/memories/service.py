"""Memories of users: written, read, forgotten, and put together by a model."""

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
from musterd.declare import models_of
from musterd.engine.resources import Resources
from musterd.features.memories import store
from musterd.features.memories.records import Memory, MemoryFilter, MemoryStats, Optimized
from musterd.loop.conversation import make_storable
from musterd.models import resolve
from musterd.models.call import ModelAnswer
from musterd.store.database import Tx

log = structlog.get_logger("musterd.memories")

NOBODY = "default"
"""Whom a memory is about when nobody says so."""

PROMPT = (
    "What follows is remembered of one user, one note after the other. Write one text that holds all of it: every fact "
    "once, related ones together, in the third person, as short as can be. Add nothing. Answer with that text alone."
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
        """Remember something of a user: of the one that a token proved, else of ``user_id``."""
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
        await self._database.write(lambda tx: store.add(tx, memory))
        return memory

    async def view(self, memory_id: str, user_id: str | None, caller: Caller) -> Memory:
        """One memory.

        :param user_id: whose it must be, where that is given.
        :raises NotFound: there is none that this caller may see.
        """
        return await self._database.read(lambda tx: _found(tx, memory_id, user_id, caller))

    async def search(self, wanted: MemoryFilter, caller: Caller) -> tuple[list[Memory], int]:
        """One page of memories, and how many there are in all."""
        return await self._database.scan(lambda tx: store.search(tx, wanted, caller))

    async def topics(self, user_id: str | None, caller: Caller) -> list[str]:
        """Every topic, once."""
        return await self._database.scan(lambda tx: store.topics(tx, user_id, caller))

    async def stats(
        self, user_id: str | None, caller: Caller, *, limit: int, page: int
    ) -> tuple[list[MemoryStats], int]:
        """One page of users with how much is remembered of each, and of how many in all."""
        return await self._database.scan(lambda tx: store.stats(tx, user_id, caller, limit=limit, page=page))

    async def change(self, memory_id: str, text: str, topics: list[str], user_id: str | None, caller: Caller) -> Memory:
        """Replace the text and the topics of a memory.

        :raises NotFound: there is none that this caller may see, or it is not of ``user_id``.
        """
        now = clock.now()

        async def work(tx: Tx) -> Memory:
            found = await _found(tx, memory_id, None if caller.sees_only else user_id, caller)
            changed = replace(found, memory=text, topics=topics, updated_at=now)
            if not await store.set_text(tx, changed):
                raise _not_found(memory_id)
            return changed

        return await self._database.write(work)

    async def forget(self, memory_id: str, user_id: str | None, caller: Caller) -> None:
        """Forget a memory.

        :raises NotFound: there is none that this caller may see.
        """

        async def work(tx: Tx) -> None:
            await _found(tx, memory_id, user_id, caller)
            await store.remove(tx, memory_id)

        await self._database.write(work)

    async def forget_many(self, ids: list[str], user_id: str | None, caller: Caller) -> None:
        """Forget those of ``ids`` that this caller may see; the others are forgotten already."""

        async def work(tx: Tx) -> None:
            for memory_id in sorted(set(ids)):
                found = await store.get(tx, memory_id, caller)
                if found is not None and user_id in (None, found.user_id):
                    await store.remove(tx, memory_id)

        await self._database.write(work)

    async def optimize(self, user_id: str, model: str | None, applies: bool, caller: Caller) -> Optimized:
        """Have a model put all that is remembered of a user into one memory.

        :param model: a name that a served component or ``memory_model`` has; None: that setting's.
        :param applies: whether the one takes the others' place; else it is only shown.
        :raises InvalidInput: no model is named, or one that this server does not use.
        :raises NotFound: nothing is remembered of the user.
        :raises Conflict: it has changed while the model was asked.
        :raises Unavailable: the model does not answer.
        """
        asked = await self._model(model)
        before = await self._database.scan(lambda tx: store.of_user(tx, user_id, caller))
        if not before:
            raise NotFound(f"No memories found for user {user_id}")
        one = _one_of(before, await self._put_together(asked, before))
        if applies:
            await self._database.write(lambda tx: _apply(tx, before, one, caller))
        return Optimized(before=before, after=[one])

    async def _model(self, name: str | None) -> Model:
        settings = self._resources.settings
        wanted = name or settings.memory_model
        if not wanted:
            words = "Name a model: this server has none set for it (MUSTERD_MEMORY_MODEL)"
            raise InvalidInput.at(("body", "model"), "missing", words)
        known = self._known_models()
        if wanted not in known:
            words = f"Not a model that this server uses; it uses {', '.join(sorted(known))}"
            raise InvalidInput.at(("body", "model"), "value_error", words, wanted)
        try:
            await resolve.load([known[wanted]], settings)
            return resolve.resolve(known[wanted], settings)
        except DeclarationError as error:
            log.error("a model for memories cannot be used", model=wanted, reason=error.message)
            raise InvalidInput.at(("body", "model"), "value_error", "It cannot be used now", wanted) from error

    def _known_models(self) -> "dict[str, str | Model]":
        """Models that a client may have asked: what is declared here, by its name. Others would cost keys of ours."""
        registry, found = self._resources.registry, list[str | Model]()
        for top in (*registry.teams.values(), *registry.agents.values()):
            found += [model for component in top.tree() for model in models_of(component)]
        named = {model if isinstance(model, str) else f"{model.system}:{model.model_name}": model for model in found}
        preferred = self._resources.settings.memory_model
        return {preferred: preferred, **named} if preferred else named

    async def _put_together(self, model: Model, before: list[Memory]) -> str:
        notes = "\n\n".join(f"{number}. {one.memory}" for number, one in enumerate(before, 1))
        asked: list[ModelMessage] = [ModelRequest(parts=[SystemPromptPart(PROMPT), UserPromptPart(notes)])]
        try:
            answer = await self._resources.models.caller.stream(
                model,
                asked,
                ModelRequestParameters(),
                None,
                on_text=lambda text, reasoning: None,
                on_retry=lambda failed_try, wait_seconds, reason, had_text: None,
            )
        except ModelFailed as error:
            raise Unavailable(f"The model did not put the memories together: {error.message}") from error
        if not (text := _text(answer)):
            raise Unavailable("The model did not put the memories together: its answer is empty.")
        return text


async def _found(tx: Tx, memory_id: str, user_id: str | None, caller: Caller) -> Memory:
    found = await store.get(tx, memory_id, caller)
    if found is None or user_id not in (None, found.user_id):
        raise _not_found(memory_id)
    return found


def _not_found(memory_id: str) -> NotFound:
    return NotFound(f"Memory with ID {memory_id} not found")


async def _apply(tx: Tx, before: list[Memory], one: Memory, caller: Caller) -> None:
    if await store.of_user(tx, one.user_id, caller, holds=True) != before:
        raise Conflict("The user's memories have changed meanwhile; ask again.")
    for memory in before:
        await store.remove(tx, memory.memory_id)
    await store.add(tx, one)


def _one_of(before: list[Memory], text: str) -> Memory:
    now, first = clock.now(), before[0]
    agents, teams = {one.agent_id for one in before}, {one.team_id for one in before}
    return Memory(
        memory_id=clock.new_id(),
        owner=next((one.owner for one in before if one.owner is not None), None),
        user_id=first.user_id,
        memory=text,
        topics=list(dict.fromkeys(topic for one in before for topic in one.topics)),
        agent_id=agents.pop() if len(agents) == 1 else None,
        team_id=teams.pop() if len(teams) == 1 else None,
        created_at=now,
        updated_at=now,
    )


def _text(answer: ModelAnswer) -> str:
    make_storable(answer.response)
    return "".join(part.content for part in answer.response.parts if isinstance(part, TextPart)).strip()
