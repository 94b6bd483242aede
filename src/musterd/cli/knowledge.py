"""``musterd knowledge``: the contents of knowledge bases without a running server."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from musterd.cli.offline_database import with_database
from musterd.cli.output import Column, cut, print_json, print_table, print_text, say, with_iso_times
from musterd.cli.settings import settings_from
from musterd.core.callers import Caller
from musterd.core.errors import NotFound, StartError
from musterd.core.knowledge import Hit, Hits, KnowledgeUnavailable, Search
from musterd.core.settings import Settings
from musterd.declare.knowledge import BUILTIN_EMBEDDER, Knowledge
from musterd.features.knowledge import folders, store
from musterd.features.knowledge.answers import content_object, result_object
from musterd.features.knowledge.contents import Contents
from musterd.features.knowledge.embedders import Embedders
from musterd.features.knowledge.indexes import Indexes
from musterd.features.knowledge.records import NAME_LENGTH, Content, ContentFilter, NewContent, SourceKind
from musterd.features.knowledge.reranking import Rerankers
from musterd.features.knowledge.searching import Searcher
from musterd.models import resolve
from musterd.store.database import Database

T = TypeVar("T")
PAGE = 1000
TEXT_LENGTH = 200
CONTENT_COLUMNS = [
    Column("NAME"),
    Column("KIND"),
    Column("CHUNKS"),
    Column("STATUS"),
    Column("PROBLEM", is_text=True),
    Column("ID"),
]
HIT_COLUMNS = [Column("SCORE"), Column("NAME"), Column("PLACE"), Column("TEXT", is_text=True)]
_OPERATOR = Caller()


@dataclass(frozen=True, slots=True)
class _Place:
    """A knowledge base in an open database."""

    database: Database
    settings: Settings
    knowledge: Knowledge

    @property
    def contents(self) -> Contents:
        """Its contents."""
        return Contents(self.database, self.settings)


def show(base: str, *, db: str | None, as_json: bool) -> int:
    """Print the contents of a knowledge base.

    :raises NotFound: there is no such knowledge base.
    """

    async def work(place: _Place) -> tuple[list[Content], Knowledge]:
        return await _all_contents(place), place.knowledge

    contents, knowledge = _with_base(db, base, work)
    if as_json:
        print_json(with_iso_times([content_object(content, knowledge) for content in contents]))
    else:
        print_table(CONTENT_COLUMNS, map(_cells, contents), empty="There are no contents.")
    return 0


def add(base: str, files: Sequence[Path], *, db: str | None) -> int:
    """Add files under their names; a server reads them soon. Print their ids.

    :raises NotFound: there is no such knowledge base.
    :raises StartError: a file cannot be read. Those before it are added.
    :raises InvalidInput: the same.
    """

    async def work(place: _Place) -> None:
        for file in files:
            try:
                content = file.read_bytes()
            except OSError as error:
                raise StartError(f"{file}: cannot be read ({error.strerror}) — choose another file") from error
            if len(content) > place.settings.body_bytes:
                raise StartError(f"{file}: is larger than MUSTERD_BODY_BYTES ({place.settings.body_bytes}) — raise it")
            new = NewContent(source=SourceKind.FILE, content=content, origin=file.name[-NAME_LENGTH:])
            added = await place.contents.add(place.knowledge, new, _OPERATOR)
            print_text(f"{added.content.id}  {added.content.name}")

    _with_base(db, base, work)
    return 0


def remove(base: str, name: str, *, db: str | None) -> int:
    """Delete a content.

    :param name: its name or id.
    :raises NotFound: there is no such content or knowledge base.
    """

    async def work(place: _Place) -> None:
        matching = [content for content in await _all_contents(place) if name in (content.id, content.name)]
        if not matching:
            raise NotFound(f"{name}: there is no such content in {base}")
        for content in matching:
            await place.contents.remove(place.knowledge, content.id, _OPERATOR)

    _with_base(db, base, work)
    return 0


def search(base: str, query: str, *, limit: int, db: str | None, as_json: bool) -> int:
    """Print the chunks that match a query, the best first, and whether their vectors could not be compared.

    :raises NotFound: there is no such knowledge base.
    :raises StartError: it cannot be searched.
    """

    async def work(place: _Place) -> tuple[Hits, Knowledge]:
        indexes = Indexes(place.database, place.settings)
        searcher = Searcher(place.database, Embedders(place.settings), indexes, Rerankers(place.settings))
        return await searcher.search(place.knowledge, Search(query=query, limit=limit)), place.knowledge

    try:
        result, knowledge = _with_base(db, base, work)
    except KnowledgeUnavailable as error:
        raise StartError(str(error)) from error
    if as_json:
        print_json(with_iso_times([result_object(hit, knowledge) for hit in result.hits]))
    else:
        print_table(HIT_COLUMNS, map(_hit_cells, result.hits), empty="Nothing matches.")
    if result.missing is not None:
        say("Only words were compared: the vectors of this knowledge base cannot be searched here.")
    return 0


def sync(base: str, folder: Path, *, db: str | None) -> int:
    """Add the files of a folder that are new or have changed, and delete the contents of those that are gone.

    :raises NotFound: there is no such knowledge base.
    :raises StartError: there is no such folder.
    """

    async def work(place: _Place) -> folders.Sync:
        limit = place.settings.body_bytes
        return await folders.sync(place.database, place.contents, place.knowledge, folder, limit, is_manual=True)

    result = _with_base(db, base, work)
    lines = [f"added  {name}" for name in result.added] + [f"removed  {name}" for name in result.removed]
    for line in (*lines, *(f"left out  {name}: {reason}" for name, reason in result.skipped.items())):
        print_text(line)
    counts = {"to read": result.added, "unchanged": result.unchanged, "removed": result.removed}
    words = [f"{len(names)} {state}" for state, names in {**counts, "left out": result.skipped}.items()]
    hint = f" A server reads them; musterd knowledge ls {base} shows if one fails." if result.added else ""
    say(f"{', '.join(words)}.{hint}")
    return 1 if result.skipped else 0


def _cells(content: Content) -> tuple[object, ...]:
    return (
        content.name,
        content.kind,
        content.chunks,
        content.status.value,
        content.status_message,
        content.id,
    )


def _hit_cells(hit: Hit) -> tuple[object, ...]:
    return f"{hit.score:.2f}", hit.name, hit.place, cut(hit.text, TEXT_LENGTH)


async def _all_contents(place: _Place) -> list[Content]:
    contents: list[Content] = []
    while True:
        query = ContentFilter(sort_by="name", is_descending=False, limit=PAGE, page=len(contents) // PAGE + 1)
        page, total = await place.contents.page(place.knowledge, query, _OPERATOR)
        contents += page
        if len(contents) >= total or not page:
            return contents


def _with_base(db: str | None, base_id: str, action: Callable[[_Place], Awaitable[T]]) -> T:
    """The result of ``action``.

    :raises StartError: the database cannot be used, or is not one of musterd.
    :raises NotFound: it has no such knowledge base.
    """
    settings = settings_from(db)

    async def with_place(database: Database) -> T:
        try:
            return await action(_Place(database, settings, await _knowledge(database, base_id)))
        finally:
            await resolve.close(settings)

    return with_database(settings, with_place)


async def _knowledge(database: Database, base_id: str) -> Knowledge:
    """A knowledge base as it is stored: a server has declared it."""
    stored = {base.id: base for base in await database.scan(store.bases)}
    if (base := stored.get(base_id)) is None:
        known = f"; there are {', '.join(stored)}" if stored else ""
        raise NotFound(f"{base_id}: there is no such knowledge base here{known} — start the server that declares it")
    return Knowledge(id=base.id, embedder=base.embedder_spec or BUILTIN_EMBEDDER)
