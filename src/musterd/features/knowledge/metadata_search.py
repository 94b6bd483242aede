"""The metadata of all contents of a knowledge base: which ones satisfy a filter, and which keys they have.

A filter may have many conditions, and a knowledge base many contents. So the metadata are compared in a thread, and
outside of the transaction that reads them.
"""

import json
from collections.abc import Sequence

from musterd.core.knowledge_filters import Filter, matches
from musterd.core.threads import in_thread
from musterd.features.knowledge import store
from musterd.features.knowledge.records import Viewer
from musterd.store.database import Database


async def matching_ids(database: Database, knowledge_id: str, viewer: Viewer, filters: Filter) -> list[str]:
    """The ids of the contents that this caller may see and whose metadata satisfy ``filters``."""
    rows = await database.fetch(lambda tx: store.metadata(tx, knowledge_id, viewer))
    return await in_thread(_matching_ids, rows, filters)


async def keys(database: Database, knowledge_id: str, viewer: Viewer) -> list[str]:
    """The keys of the metadata of the contents that this caller may see, in alphabetical order."""
    rows = await database.fetch(lambda tx: store.metadata(tx, knowledge_id, viewer))
    return await in_thread(_keys, rows)


def _matching_ids(rows: Sequence[tuple[str, str]], filters: Filter) -> list[str]:
    return [content_id for content_id, metadata in rows if matches(filters, json.loads(metadata))]


def _keys(rows: Sequence[tuple[str, str]]) -> list[str]:
    return sorted({key for _, metadata in rows for key in json.loads(metadata)})
