"""The statements on knowledge bases and contents.

Each transaction locks the knowledge base before a content of it, so that two of them cannot deadlock. A statement that
clients cause has the rule of owners in its text: contents of other users do not exist for it.
"""

import json
from collections.abc import Collection
from typing import Any

from musterd.core import jsontext
from musterd.features.knowledge.records import (
    Content,
    ContentFilter,
    SourceKind,
    Status,
    StoredBase,
    StoredSource,
    TextProperties,
    Viewer,
)
from musterd.store.database import Row, Statement, Tx
from musterd.store.list_conditions import equalities

MAX_CRASHES = 3

_BASE = "id, number, version, embedder, embedder_spec"
GET_BASE = Statement("knowledge_base_get", f"SELECT {_BASE} FROM knowledge_bases WHERE id = :id")
BASES = Statement("knowledge_bases_all", f"SELECT {_BASE} FROM knowledge_bases ORDER BY id")
# One at a time, because each gets the number after the largest one.
BASE_TURN = Statement("knowledge_base_turn", "SELECT TURN('knowledge_bases') AS held")
ADD_BASE = Statement(
    "knowledge_base_add",
    """INSERT INTO knowledge_bases (id, number, embedder, embedder_spec, created_at)
       SELECT :id, COALESCE(max(number), 0) + 1, :embedder, :embedder_spec, :now FROM knowledge_bases""",
)
LOCK_BASE = Statement("knowledge_base_lock", f"SELECT {_BASE} FROM knowledge_bases WHERE id = :id LOCK_ROW")
MOVE_BASE = Statement(
    "knowledge_base_move",
    f"UPDATE knowledge_bases SET version = version + 1 WHERE id = :id RETURNING {_BASE}",
)
ALLOCATE = Statement(
    "knowledge_base_allocate",
    f"UPDATE knowledge_bases SET next_chunk = next_chunk + :count WHERE id = :id RETURNING {_BASE}, next_chunk",
)
SWITCH = Statement(
    "knowledge_base_switch",
    "UPDATE knowledge_bases SET embedder = :embedder, embedder_spec = :embedder_spec WHERE id = :id",
)
# The row of a dead worker is removed, so a worker without a row has left its work to others.
_IS_FREE = "(worker IS NULL OR worker = :worker OR worker NOT IN (SELECT id FROM workers))"
RELEASE_BASE = Statement(
    "knowledge_base_release", "UPDATE knowledge_bases SET worker = NULL WHERE id = :id AND worker = :worker"
)
CLAIM_BASE = Statement(
    "knowledge_base_claim", f"UPDATE knowledge_bases SET worker = :worker WHERE id = :id AND {_IS_FREE}"
)

_MAY_SEE = "(owner IS NULL OR owner = :owner OR :sees_all = 1)"
_MAY_CHANGE = "(owner = :owner OR :sees_all = 1)"
_EXISTS = "status <> 'deleted'"
_UNFINISHED = "status IN ('queued', 'reading', 'embedding')"
GET = Statement(
    "content_get",
    f"SELECT * FROM contents WHERE id = :id AND knowledge_id = :knowledge_id AND {_EXISTS} AND {_MAY_SEE}",
)
LOCK = Statement("content_lock", f"{GET.text} LOCK_ROW")
NAMED = Statement(
    "content_named",
    f"""SELECT * FROM contents
        WHERE knowledge_id = :knowledge_id AND COALESCE(owner, '') = :owner AND name = :name AND {_EXISTS} LOCK_ROW""",
)
LOCK_ANY = Statement("content_lock_any", "SELECT * FROM contents WHERE id = :id LOCK_ROW")
METADATA = Statement(
    "contents_metadata",
    f"""SELECT id, metadata FROM contents
        WHERE knowledge_id = :knowledge_id AND {_EXISTS} AND {_MAY_SEE} ORDER BY created_at, id""",
)
VISIBLE = Statement(
    "contents_visible", f"SELECT id FROM contents WHERE knowledge_id = :knowledge_id AND {_EXISTS} AND {_MAY_SEE}"
)
# One that is not published has none.
CHUNKS = Statement(
    "contents_chunks",
    f"SELECT COALESCE(sum(chunks), 0) AS n FROM contents WHERE knowledge_id = :knowledge_id AND {_EXISTS}",
)
CHUNKS_OF = Statement(
    "contents_chunks_of",
    f"SELECT COALESCE(sum(chunks), 0) AS n FROM contents WHERE IN_LIST(id, :contents) AND {_EXISTS}",
)
OF_SOURCE = Statement(
    "contents_of_source",
    f"""SELECT id, name, source_hash, status, crashes FROM contents
        WHERE knowledge_id = :knowledge_id AND source = :source AND {_EXISTS} AND owner IS NULL""",
)
# The name is given up at once; the chunks are removed in slices.
_DELETE = """UPDATE contents SET status = 'deleted', published_version = 0, changed_version = :version, is_stale = 1,
                 worker = NULL, description = NULL, metadata = '{}', updated_at = :now"""
DELETE = Statement("content_delete", f"{_DELETE} WHERE id = :id")
DELETE_ALL = Statement(
    "contents_delete_all", f"{_DELETE} WHERE knowledge_id = :knowledge_id AND {_EXISTS} AND {_MAY_CHANGE}"
)
DELETE_SHARED = Statement(
    "contents_delete_shared", f"{_DELETE} WHERE knowledge_id = :knowledge_id AND {_EXISTS} AND owner IS NULL"
)
FORGET = Statement("content_forget", "DELETE FROM contents WHERE id = :id AND status = 'deleted'")
FORGET_REQUESTS = Statement("content_forget_requests", "DELETE FROM requests WHERE run_id = :id")
STALE = Statement("contents_stale", "SELECT id FROM contents WHERE is_stale = 1 ORDER BY id LIMIT 1")
SET_STALE = Statement("content_set_stale", "UPDATE contents SET is_stale = :is_stale WHERE id = :id")

# An expression in place of the column, so that SQLite uses the index of unfinished contents.
_CLAIMABLE = f"""SELECT id, knowledge_id FROM contents
                 WHERE {_UNFINISHED} AND IN_LIST(knowledge_id || '', :served) AND {_IS_FREE}"""
_FIRST = "ORDER BY COALESCE(owner, ''), created_at, id LIMIT 1"
CLAIMABLE = Statement("content_claimable", f"{_CLAIMABLE} {_FIRST}")
CLAIMABLE_AFTER = Statement("content_claimable_after", f"{_CLAIMABLE} AND COALESCE(owner, '') > :after_owner {_FIRST}")
LOCK_CLAIMABLE = Statement("content_lock_claimable", f"{CLAIMABLE.text} SKIP_LOCKED_ROWS")
LOCK_CLAIMABLE_AFTER = Statement("content_lock_claimable_after", f"{CLAIMABLE_AFTER.text} SKIP_LOCKED_ROWS")
CLAIM = Statement(
    "content_claim",
    """UPDATE contents SET attempts = attempts + 1, crashes = crashes + CASE WHEN worker IS NULL THEN 0 ELSE 1 END,
           worker = :worker, status = CASE WHEN status = 'queued' THEN 'reading' ELSE status END, updated_at = :now
       WHERE id = :id RETURNING *""",
)
# Without the attempt: the answer of an earlier one may have been lost. A process has one job at a time.
RESUME = Statement(
    "content_resume",
    f"""UPDATE contents SET attempts = attempts + 1, updated_at = :now
        WHERE id = :id AND worker = :worker AND {_UNFINISHED} RETURNING *""",
)
# An attempt's first statement in each of its transactions. It has lost the content if no row matches.
_HELD = f"id = :id AND worker = :worker AND attempts = :attempts AND {_UNFINISHED}"
HOLD = Statement("content_hold", f"UPDATE contents SET updated_at = :now WHERE {_HELD}")
RELEASE = Statement("content_release", f"UPDATE contents SET worker = NULL WHERE {_HELD}")
FETCHED = Statement(
    "content_fetched",
    f"""UPDATE contents SET size = :size, media_type = :media_type, kind = :kind, updated_at = :now WHERE {_HELD}""",
)
SPLIT = Statement(
    "content_split",
    f"UPDATE contents SET status = 'embedding', chunk_total = :total, done = 0, updated_at = :now WHERE {_HELD}",
)
DONE = Statement("content_done", f"UPDATE contents SET done = :done, updated_at = :now WHERE {_HELD}")
# Only a content that was published before leaves old chunks to remove, so is_stale is set only then.
PUBLISH = Statement(
    "content_publish",
    f"""UPDATE contents SET status = 'completed', status_message = '', published_version = job_version,
            changed_version = :version, chunks = chunk_total, done = chunk_total, worker = NULL, updated_at = :now,
            is_stale = CASE WHEN published_version > 0 THEN 1 ELSE is_stale END
        WHERE {_HELD}""",
)
FAIL = Statement(
    "content_fail",
    f"""UPDATE contents SET status = 'failed', status_message = :message, worker = NULL, updated_at = :now
        WHERE {_HELD}""",
)

SORTABLE = {
    "created_at": "created_at",
    "updated_at": "updated_at",
    "name": "name",
    "size": "size",
    "status": "status",
    "type": "kind",
}
"""What contents can be listed by, with the column of each."""

_COLUMNS = (*Content.__dataclass_fields__, "is_stale")
ADD = Statement(
    "content_add",
    f"INSERT INTO contents ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)})",
)
_VALUES = ", ".join(f"{name} = :{name}" for name in Content.__dataclass_fields__ if name != "id")
# is_stale stays set until the old chunks are removed.
SET = Statement("content_set", f"UPDATE contents SET {_VALUES}, is_stale = is_stale | :is_stale WHERE id = :id")

_PROPERTIES = ", ".join(f"{name} = :{name}" for name in TextProperties.__dataclass_fields__)
SET_PROPERTIES = Statement("content_set_properties", f"UPDATE contents SET {_PROPERTIES} WHERE id = :id")
SET_DETAILS = Statement(
    "content_set_details",
    """UPDATE contents SET name = :name, description = :description, metadata = :metadata, reader = :reader,
           updated_at = :updated_at
       WHERE id = :id""",
)


class Lost(Exception):
    """The content was deleted or replaced, or another process works on it. Whatever was done must be rolled back."""


# --- knowledge bases ----------------------------------------------------------------------------------


async def ensure_base(tx: Tx, base_id: str, embedder: str | None, spec: str | None, now: float) -> StoredBase:
    """The knowledge base, locked; it is added if it is new.

    :param embedder: the name of the embedder that a new one has.
    """
    row = await tx.one(LOCK_BASE, {"id": base_id})
    if row is None:
        await tx.one(BASE_TURN, {})
        if (row := await tx.one(LOCK_BASE, {"id": base_id})) is None:
            await tx.run(ADD_BASE, {"id": base_id, "embedder": embedder, "embedder_spec": spec, "now": now})
            row = await tx.one(LOCK_BASE, {"id": base_id})
    return _base(row)


async def base(tx: Tx, base_id: str) -> StoredBase | None:
    """The knowledge base; None: it has never had a content."""
    row = await tx.one(GET_BASE, {"id": base_id})
    return None if row is None else _base(row)


async def lock_base(tx: Tx, base_id: str) -> StoredBase:
    """The knowledge base, locked. It has had a content."""
    return _base(await tx.one(LOCK_BASE, {"id": base_id}))


async def bases(tx: Tx) -> list[StoredBase]:
    """All knowledge bases."""
    return [_base(row) for row in await tx.all(BASES, {})]


async def move_base(tx: Tx, base_id: str) -> StoredBase:
    """Move the version of a knowledge base, because a search may see something else now."""
    return _base(await tx.one(MOVE_BASE, {"id": base_id}))


async def allocate(tx: Tx, base_id: str, count: int) -> int:
    """Reserve ids for chunks; return the first one."""
    row = await tx.one(ALLOCATE, {"id": base_id, "count": count})
    assert row is not None
    return _base(row).first_chunk + int(row["next_chunk"]) - count


async def claim_base(tx: Tx, base_id: str, worker: str) -> bool:
    """Let this process alone embed the knowledge base again; False: another one does."""
    return await tx.run(CLAIM_BASE, {"id": base_id, "worker": worker}) > 0


async def release_base(tx: Tx, base_id: str, worker: str) -> None:
    """Let other processes embed the knowledge base again."""
    await tx.run(RELEASE_BASE, {"id": base_id, "worker": worker})


async def switch(tx: Tx, base_id: str, embedder: str, spec: str | None) -> None:
    """Search a knowledge base with another embedder from now on."""
    await move_base(tx, base_id)
    await tx.run(SWITCH, {"id": base_id, "embedder": embedder, "embedder_spec": spec})


# --- contents -----------------------------------------------------------------------------------------


async def add(tx: Tx, content: Content) -> None:
    """Store a new content. The caller has locked its knowledge base."""
    await tx.run(ADD, _params(content))


async def set_content(tx: Tx, content: Content, *, is_stale: bool = False) -> None:
    """Store a changed content. The caller has locked its knowledge base and the content.

    :param is_stale: whether it has chunks of versions that are not needed any more.
    """
    await tx.run(SET, {**_params(content), "is_stale": int(is_stale)})


async def set_details(tx: Tx, content: Content) -> None:
    """Store what is said about a content, without touching its job. The caller has locked its knowledge base."""
    await tx.run(SET_DETAILS, _params(content))


async def set_properties(tx: Tx, content_id: str, properties: TextProperties) -> None:
    """Store what a content says about its text. The caller has locked its knowledge base."""
    await tx.run(SET_PROPERTIES, {"id": content_id, **_properties(properties)})


async def get(tx: Tx, knowledge_id: str, content_id: str, viewer: Viewer) -> Content | None:
    """The content; None: there is none that this caller may see."""
    row = await tx.one(GET, {"id": content_id, "knowledge_id": knowledge_id, **_viewer(viewer)})
    return None if row is None else _content(row)


async def lock(tx: Tx, knowledge_id: str, content_id: str, viewer: Viewer) -> Content | None:
    """The same, locked until the transaction ends."""
    row = await tx.one(LOCK, {"id": content_id, "knowledge_id": knowledge_id, **_viewer(viewer)})
    return None if row is None else _content(row)


async def named(tx: Tx, knowledge_id: str, owner: str | None, name: str) -> Content | None:
    """The content of an owner with this name, locked."""
    row = await tx.one(NAMED, {"knowledge_id": knowledge_id, "owner": owner or "", "name": name})
    return None if row is None else _content(row)


async def lock_any(tx: Tx, content_id: str) -> Content | None:
    """The content, even if it is deleted, locked."""
    row = await tx.one(LOCK_ANY, {"id": content_id})
    return None if row is None else _content(row)


async def metadata(tx: Tx, knowledge_id: str, viewer: Viewer) -> list[tuple[str, str]]:
    """The ids of all contents that this caller may see, each with its metadata as JSON text."""
    rows = await tx.all(METADATA, {"knowledge_id": knowledge_id, **_viewer(viewer)})
    return [(row["id"], row["metadata"]) for row in rows]


async def visible(tx: Tx, knowledge_id: str, viewer: Viewer) -> list[str]:
    """The ids of all contents that this caller may see."""
    rows = await tx.all(VISIBLE, {"knowledge_id": knowledge_id, **_viewer(viewer)})
    return [row["id"] for row in rows]


async def chunks(tx: Tx, knowledge_id: str) -> int:
    """How many chunks of a knowledge base can be found."""
    row = await tx.one(CHUNKS, {"knowledge_id": knowledge_id})
    return 0 if row is None else int(row["n"])


async def chunks_of(tx: Tx, contents: Collection[str]) -> int:
    """How many chunks of these contents can be found."""
    row = await tx.one(CHUNKS_OF, {"contents": jsontext.dumps(sorted(contents))})
    return 0 if row is None else int(row["n"])


async def of_source(tx: Tx, knowledge_id: str, source: SourceKind) -> dict[str, StoredSource]:
    """Everybody's contents from a source, by name."""
    rows = await tx.all(OF_SOURCE, {"knowledge_id": knowledge_id, "source": source.value})
    return {
        row["name"]: StoredSource(
            content_id=row["id"],
            hash=row["source_hash"],
            has_failed=row["status"] == Status.FAILED.value,
            is_given_up=row["status"] == Status.FAILED.value and row["crashes"] >= MAX_CRASHES,
        )
        for row in rows
    }


async def search(
    tx: Tx, knowledge_id: str, query: ContentFilter, viewer: Viewer, ids: Collection[str] | None = None
) -> tuple[list[Content], int]:
    """One page of contents, and the number of all that match.

    :param ids: the contents whose metadata satisfy the query's filter; None: it has none.
    """
    params: dict[str, Any] = {"knowledge_id": knowledge_id, **_viewer(viewer)}
    conditions = ["knowledge_id = :knowledge_id", _EXISTS, _MAY_SEE]
    if query.statuses:
        # An expression in place of the column, so that SQLite reads in the order of the list.
        conditions.append("IN_LIST(status || '', :statuses)")
        params["statuses"] = jsontext.dumps([status.value for status in query.statuses])
    if query.name is not None:
        conditions += equalities(["name"], ("name",))
        params["name"] = query.name
    if ids is not None:
        conditions.append("IN_LIST(id, :ids)")
        params["ids"] = jsontext.dumps(list(ids))
    where = f"FROM contents WHERE {' AND '.join(conditions)}"
    order = "{0} {1}, id {1}".format(SORTABLE[query.sort_by], "DESC" if query.is_descending else "ASC")
    page = Statement(f"contents_page {order} {where}", f"SELECT * {where} ORDER BY {order} LIMIT :limit OFFSET :offset")
    rows = await tx.all(page, {**params, "limit": query.limit, "offset": (query.page - 1) * query.limit})
    count = await tx.one(Statement(f"contents_count {where}", f"SELECT count(*) AS n {where}"), params)
    return [_content(row) for row in rows], 0 if count is None else int(count["n"])


async def delete(tx: Tx, content: Content, now: float) -> None:
    """Delete a content. Its job, if there is one, can write nothing more. The caller has locked the knowledge base."""
    moved = await move_base(tx, content.knowledge_id)
    await tx.run(DELETE, {"id": content.id, "version": moved.version, "now": now})


async def delete_all(tx: Tx, knowledge_id: str, viewer: Viewer, *, is_shared: bool, now: float) -> None:
    """Delete all contents that belong to the caller, or to everybody.

    :param is_shared: whether those of everybody are meant.
    """
    moved = await move_base(tx, knowledge_id)
    params = {"knowledge_id": knowledge_id, "version": moved.version, "now": now}
    if is_shared:
        await tx.run(DELETE_SHARED, params)
    await tx.run(DELETE_ALL, {**params, **_viewer(viewer)})


async def forget(tx: Tx, content_id: str) -> None:
    """Remove the row of a deleted content, and the requests that are kept with it."""
    await tx.run(FORGET_REQUESTS, {"id": content_id})
    await tx.run(FORGET, {"id": content_id})


async def stale(tx: Tx) -> str | None:
    """A content that has chunks which are not needed any more."""
    row = await tx.one(STALE, {})
    return None if row is None else str(row["id"])


async def set_stale(tx: Tx, content_id: str, *, is_stale: bool) -> None:
    """Note whether a content has chunks which are not needed any more."""
    await tx.run(SET_STALE, {"id": content_id, "is_stale": int(is_stale)})


# --- jobs ---------------------------------------------------------------------------------------------


async def next_base(tx: Tx, served: Collection[str], worker: str, *, after_owner: str | None = None) -> str | None:
    """The knowledge base of the job that :func:`claim` would take up now; None: there is none."""
    params = {"served": jsontext.dumps(sorted(served)), "worker": worker}
    row = await tx.one(CLAIMABLE_AFTER, {**params, "after_owner": after_owner or ""})
    row = row or await tx.one(CLAIMABLE, params)
    return None if row is None else str(row["knowledge_id"])


async def claim(
    tx: Tx, served: Collection[str], worker: str, now: float, *, after_owner: str | None = None
) -> Content | None:
    """Take up the oldest job of the next owner. A process that did not end its job counts as a crash of it.

    Owners take turns in the order of their ids, so that many documents of one do not hold up those of others.

    :param served: the knowledge bases that this process declares.
    :param after_owner: the owner of the last job; None: documents that all users share.
    """
    params = {"served": jsontext.dumps(sorted(served)), "worker": worker}
    row = await tx.one(LOCK_CLAIMABLE_AFTER, {**params, "after_owner": after_owner or ""})
    row = row or await tx.one(LOCK_CLAIMABLE, params)
    if row is None:
        return None
    claimed = await tx.one(CLAIM, {"id": row["id"], "worker": worker, "now": now})
    return None if claimed is None else _content(claimed)


async def resume(tx: Tx, job: Content, now: float) -> Content | None:
    """Take up again a job that this process has kept, as it is stored now; None: it is not this process's any more.

    It is a new attempt, because the process does not know what its last transaction has stored. It is not a crash.
    """
    row = await tx.one(RESUME, _job(job, now))
    return None if row is None else _content(row)


async def hold(tx: Tx, job: Content, now: float) -> None:
    """Begin a transaction of a job.

    :raises Lost: it is not this process's any more.
    """
    await _held(tx, HOLD, job, now)


async def release(tx: Tx, job: Content, now: float) -> None:
    """Leave a job to another process, or do nothing if it is lost."""
    await tx.run(RELEASE, _job(job, now))


async def fetched(tx: Tx, job: Content, *, size: int, media_type: str | None, kind: str, now: float) -> None:
    """Note what a URL led to.

    :raises Lost: the job is not this process's any more.
    """
    await _held(tx, FETCHED, job, now, size=size, media_type=media_type, kind=kind)


async def note_split(tx: Tx, job: Content, total: int, now: float) -> None:
    """Note that all chunks are stored.

    :raises Lost: the job is not this process's any more.
    """
    await _held(tx, SPLIT, job, now, total=total)


async def note_done(tx: Tx, job: Content, done: int, now: float) -> None:
    """Note how many chunks are embedded.

    :raises Lost: the job is not this process's any more.
    """
    await _held(tx, DONE, job, now, done=done)


async def publish(tx: Tx, job: Content, version: int, now: float) -> None:
    """Let searches find the chunks of the job, in place of those that they found before.

    :param version: the version of the knowledge base with them.
    :raises Lost: the job is not this process's any more.
    """
    await _held(tx, PUBLISH, job, now, version=version)


async def fail(tx: Tx, job: Content, message: str, now: float) -> None:
    """End a job without a result.

    :raises Lost: the job is not this process's any more.
    """
    await _held(tx, FAIL, job, now, message=message)


async def _held(tx: Tx, statement: Statement, job: Content, now: float, **params: Any) -> None:
    if not await tx.run(statement, {**_job(job, now), **params}):
        raise Lost


def _job(job: Content, now: float) -> dict[str, Any]:
    return {"id": job.id, "worker": job.worker, "attempts": job.attempts, "now": now}


def _viewer(viewer: Viewer) -> dict[str, Any]:
    return {"owner": viewer.owner, "sees_all": int(viewer.sees_all)}


def _base(row: Row | None) -> StoredBase:
    assert row is not None, "the knowledge base was added when the server started, or with its first content"
    return StoredBase(**{name: row[name] for name in StoredBase.__dataclass_fields__})


def _properties(record: TextProperties) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in TextProperties.__dataclass_fields__}
    return {**values, "metadata": jsontext.dumps(record.metadata), "source": record.source.value}


def _params(content: Content) -> dict[str, Any]:
    values = {name: getattr(content, name) for name in Content.__dataclass_fields__}
    return {**values, **_properties(content), "status": content.status.value, "is_stale": 0}


def _content(row: Row) -> Content:
    values = {name: row[name] for name in Content.__dataclass_fields__}
    return Content(
        **{
            **values,
            "metadata": json.loads(values["metadata"]),
            "source": SourceKind(values["source"]),
            "status": Status(values["status"]),
        }
    )
