"""The use cases of contents that need the database alone: they are the same in every process."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from musterd.core import clock, jsontext
from musterd.core.callers import Caller
from musterd.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from musterd.core.jsontypes import JsonObject
from musterd.core.settings import Settings
from musterd.core.threads import in_thread
from musterd.core.webhook_addresses import Reach
from musterd.declare.knowledge import Knowledge
from musterd.engine.slices import Slices
from musterd.features.knowledge import metadata_search, sources, store
from musterd.features.knowledge.embedders import DeclaredEmbedder, Embedders
from musterd.features.knowledge.records import (
    Content,
    ContentFilter,
    NewContent,
    SourceKind,
    Status,
    TextProperties,
    Viewer,
)
from musterd.knowledge.problems import KnowledgeProblem, Unreadable
from musterd.knowledge.reading import Source, kind_of
from musterd.store import idempotency
from musterd.store.database import Database, Tx
from musterd.store.idempotency import Performed, Request

LONG_BYTES = 64 * 1024
"""Longer contents are checked in a thread, and stored one at a time with pauses, because the runs of this process wait
for their commits while a megabyte is written."""
Described = TypeVar("Described", bound=TextProperties)
NOT_OF_A_RUN = "A person has already added a content of this name. Add the text under another name."
NO_URL = "This content was not fetched from a URL. To have it read again, upload it again under its name."
SHARED = "Only administrators can change contents that are shared by all users."


@dataclass(frozen=True, slots=True)
class Added:
    """A content that was added.

    :param is_repeated: whether the same request was received under its key before.
    """

    content: Content
    is_repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Changes to a content that do not change its chunks. None: as it is.

    :param metadata: replaces the keys that it has.
    :param reader: with which the content is read when it is added again.
    """

    name: str | None = None
    description: str | None = None
    metadata: JsonObject | None = None
    reader: str | None = None


class Contents:
    """The contents of knowledge bases over a database."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._slices = Slices(database)
        self._embedders = Embedders(settings)
        self._reach = Reach.of(settings.knowledge_private_hosts)
        self._on_change: Callable[[], None] = lambda: None

    # --- changes ----------------------------------------------------------------------------------

    async def add(self, knowledge: Knowledge, new: NewContent, caller: Caller, key: str | None = None) -> Added:
        """Add a content, or replace the one of the same owner and name. It is read and embedded in the background.

        The same bytes again cost nothing.

        :param key: an idempotency key.
        :raises InvalidInput: it cannot be read, or its URL is not allowed. Nothing is stored.
        :raises Conflict: the key was used for another request, or a run would replace what people have added.
        """
        is_long = len(new.content or b"") > LONG_BYTES
        new = await in_thread(self._checked, new) if is_long else self._checked(new)
        owner = caller.sees_only if knowledge.per_user else None
        choice, now = self._choice(knowledge), clock.now()
        request = None
        if key is not None:
            request = Request(caller=caller.label, kind="content", key=key, fingerprint=_fingerprint(knowledge, new))

        async def perform(tx: Tx) -> Performed[Added]:
            await store.ensure_base(tx, knowledge.id, choice.name, choice.spec, now)
            content = await _put(tx, knowledge.id, owner, new, now)
            return Performed(Added(content), content.id, content.id)

        async def repeat(tx: Tx, content_id: str | None) -> Added:
            content = await store.get(tx, knowledge.id, content_id or "", _viewer(caller))
            if content is None:
                raise _not_found(content_id or "")
            return Added(content, is_repeated=True)

        write = self._slices.one if is_long else self._database.write
        added = await write(
            lambda tx: idempotency.once(tx, request, lambda: perform(tx), lambda answer: repeat(tx, answer))
        )
        self._on_change()
        return added

    async def change(self, knowledge: Knowledge, content_id: str, details: Details, caller: Caller) -> Content:
        """Change what is said about a content. Searches filter by its new metadata at once.

        :raises NotFound: there is none that this caller may see.
        :raises Forbidden: it is shared, and the caller may not change what is shared.
        :raises InvalidInput: another content has its new name.
        """

        async def work(tx: Tx) -> Content:
            content = await _locked(tx, knowledge, content_id, caller)
            name = details.name or content.name
            if name != content.name and await store.named(tx, knowledge.id, content.owner, name) is not None:
                raise InvalidInput.at(("body", "name"), "value_error", "Another content has this name", name)
            changed = replace(_changed(content, details), name=name, updated_at=clock.now())
            await store.set_details(tx, changed)
            if (pending := await sources.properties(tx, content.id)) is not None:
                await sources.put_properties(tx, content.id, _changed(pending, details), changed.updated_at)
            await store.move_base(tx, knowledge.id)
            return changed

        return await self._database.write(work)

    async def refresh(self, knowledge: Knowledge, content_id: str, caller: Caller) -> Content:
        """Fetch the URL of a content again; what it led to before is found until then.

        :raises NotFound: there is none that this caller may see.
        :raises Forbidden: it is shared, and the caller may not change what is shared.
        :raises InvalidInput: it was not fetched from a URL.
        """

        async def work(tx: Tx) -> Content:
            content = await _locked(tx, knowledge, content_id, caller)
            if content.source is not SourceKind.URL:
                raise InvalidInput.at(("path", "content_id"), "value_error", NO_URL, content_id)
            if not content.status.is_final:
                return content
            new, now = _of_url(content), clock.now()
            return await _begin(tx, content.replaced_by(new, now), content.properties_of(new), None, is_stale=True)

        content = await self._database.write(work)
        self._on_change()
        return content

    async def remove(self, knowledge: Knowledge, content_id: str, caller: Caller) -> None:
        """Delete a content with all that belongs to it, and end its job.

        :raises NotFound: there is none that this caller may see.
        :raises Forbidden: it is shared, and the caller may not change what is shared.
        """

        async def work(tx: Tx) -> None:
            await store.delete(tx, await _locked(tx, knowledge, content_id, caller), clock.now())

        await self._database.write(work)
        self._on_change()

    async def remove_all(self, knowledge: Knowledge, caller: Caller) -> None:
        """Delete all contents that this caller may change."""

        async def work(tx: Tx) -> None:
            if await store.base(tx, knowledge.id) is not None:
                now, is_shared = clock.now(), not knowledge.per_user
                await store.delete_all(tx, knowledge.id, _viewer(caller), is_shared=is_shared, now=now)

        await self._database.write(work)
        self._on_change()

    # --- read -------------------------------------------------------------------------------------

    async def view(self, knowledge: Knowledge, content_id: str, caller: Caller) -> Content:
        """One content.

        :raises NotFound: there is none that this caller may see.
        """
        viewer = _viewer(caller)
        content = await self._database.read(lambda tx: store.get(tx, knowledge.id, content_id, viewer))
        if content is None:
            raise _not_found(content_id)
        return content

    async def page(self, knowledge: Knowledge, query: ContentFilter, caller: Caller) -> tuple[list[Content], int]:
        """One page of contents, and the number of all that match."""
        viewer, ids = _viewer(caller), None
        if query.metadata is not None:
            ids = await metadata_search.matching_ids(self._database, knowledge.id, viewer, query.metadata)
        return await self._database.scan(lambda tx: store.search(tx, knowledge.id, query, viewer, ids))

    async def visible_keys(self, knowledge: Knowledge, caller: Caller) -> list[str]:
        """The keys of the metadata of the contents that this caller may see, in alphabetical order."""
        return await self._keys(knowledge, _viewer(caller))

    async def _keys(self, knowledge: Knowledge, viewer: Viewer) -> list[str]:
        return await metadata_search.keys(self._database, knowledge.id, viewer)

    # --- checks -----------------------------------------------------------------------------------

    def _checked(self, new: NewContent) -> NewContent:
        """Add the kind and the hash, if the bytes are known."""
        if new.content is None:
            if (problem := self._reach.problem(new.origin or "")) is not None:
                raise InvalidInput.at(("body", "url"), "value_error", problem)
            return new
        source = Source(content=new.content, file_name=new.origin, media_type=new.media_type)
        try:
            return replace(new, kind=kind_of(source, new.splitting.reader)).hashed()
        except Unreadable as error:
            field = "text_content" if new.source is SourceKind.TEXT else "file"
            raise InvalidInput.at(("body", field), "value_error", str(error)) from error

    def _choice(self, knowledge: Knowledge) -> DeclaredEmbedder:
        """The embedder of a new knowledge base. One that cannot be used is chosen later."""
        try:
            return self._embedders.declared(knowledge)
        except KnowledgeProblem:
            return DeclaredEmbedder(None)


def _changed(described: Described, details: Details) -> Described:
    return replace(
        described,
        description=described.description if details.description is None else details.description,
        metadata={**described.metadata, **(details.metadata or {})},
        reader=details.reader or described.reader,
    )


async def _put(tx: Tx, knowledge_id: str, owner: str | None, new: NewContent, now: float) -> Content:
    """Store a content that is new or other than the stored one of its name, and leave its job to upkeep."""
    existing = await store.named(tx, knowledge_id, owner, new.stored_name)
    if existing is None:
        content = Content.of(new, clock.new_id(), knowledge_id, owner, now)
        await store.add(tx, content)
        if new.content is not None:
            await sources.add(tx, content.id, new.content, now)
        return content
    pending = await sources.properties(tx, existing.id)
    latest = existing if pending is None else existing.with_properties(pending)
    if new.source is SourceKind.RUN and latest.source is not SourceKind.RUN:
        raise Conflict(NOT_OF_A_RUN)  # a model chooses the name; it must not replace what people have added
    properties = latest.properties_of(new)
    is_same, may_differ = existing.source_hash == new.hash, new.content is None  # a URL may lead to other bytes by now
    if is_same and not may_differ and existing.status is Status.FAILED:
        # It goes on with what is stored, so that no embedding is paid twice.
        return await _begin(tx, existing.restarted(now), properties, new.content)
    if is_same and not (may_differ and existing.status.is_final):
        return await _add_details(tx, existing, pending, properties, now)
    return await _begin(tx, existing.replaced_by(new, now), properties, new.content, is_stale=True)


async def _begin(
    tx: Tx, content: Content, properties: TextProperties, text: bytes | None, *, is_stale: bool = False
) -> Content:
    """Store a content whose job begins. As long as searches find an earlier text of it, it describes that one.

    :param properties: what it says about the text that the job reads.
    """
    await sources.remove(tx, content.id)  # first, so that the job does not read what was added for an earlier one
    if content.is_published:
        await sources.put_properties(tx, content.id, properties, content.updated_at)
    else:
        content = content.with_properties(properties)
    await store.set_content(tx, content, is_stale=is_stale)
    if text is not None:
        await sources.add(tx, content.id, text, content.updated_at)
    return content


async def _add_details(
    tx: Tx, content: Content, pending: TextProperties | None, properties: TextProperties, now: float
) -> Content:
    """Store the description and the metadata with which the same bytes are added again.

    :param pending: what the content will say about the text that its job reads; None: it says so already.
    """
    description, metadata = properties.description, properties.metadata
    if pending is not None:
        changed = replace(pending, description=description, metadata=metadata)
        await sources.put_properties(tx, content.id, changed, now)
        return content
    described = replace(content, description=description, metadata=metadata)
    if described != content:
        await store.set_details(tx, replace(described, updated_at=now))
        await store.move_base(tx, content.knowledge_id)
    return described


async def _locked(tx: Tx, knowledge: Knowledge, content_id: str, caller: Caller) -> Content:
    """A content that the caller may change, locked after its knowledge base."""
    if await store.base(tx, knowledge.id) is None:
        raise _not_found(content_id)
    await store.lock_base(tx, knowledge.id)
    content = await store.lock(tx, knowledge.id, content_id, _viewer(caller))
    if content is None:
        raise _not_found(content_id)
    if knowledge.per_user and content.owner is None and caller.sees_only is not None:
        raise Forbidden(SHARED)
    return content


def _of_url(content: Content) -> NewContent:
    return NewContent(
        source=SourceKind.URL,
        name=content.name,
        origin=content.origin,
        splitting=content.splitting,
    )


def _fingerprint(knowledge: Knowledge, new: NewContent) -> str:
    return jsontext.canonical([knowledge.id, new.stored_name, new.description, new.metadata, new.hash])


def _viewer(caller: Caller) -> Viewer:
    return Viewer(caller.sees_only, sees_all=caller.sees_only is None)


def _not_found(content_id: str) -> NotFound:
    return NotFound(f"Content not found: {content_id}")
