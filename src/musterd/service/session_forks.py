"""Forking a session, piece by piece: what makes the copies holds up neither the event loop nor those who write."""

import asyncio
import contextlib

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import StoreUnavailable
from musterd.store import idempotency, session_forks
from musterd.store.database import Database, Tx
from musterd.store.idempotency import Request
from musterd.store.session_forks import Fork, ForkedSession


async def fork_session(
    database: Database, source_id: str, wanted: ForkedSession, caller: Caller, asked: Request | None
) -> tuple[str, bool]:
    """Make a session of the caller's with copies of what has ended in ``source_id``; it is seen once it is whole.

    :param asked: the request, where it may come again.
    :return: the new session's id, and whether the same request was here before.
    :raises NotFound: there is none of this component that the caller may see.
    :raises BadRequest: no run of it has ended.
    :raises Conflict: runs of it went meanwhile, it took too long, or another request has this one's key.
    """
    if asked is not None and (kept := await database.read(lambda tx: idempotency.same(tx, asked))):
        return str(kept["answer"]), True
    fork = await database.scan(lambda tx: session_forks.look(tx, source_id, wanted, caller))
    try:
        await database.write(lambda tx: session_forks.begin(tx, fork))
        for roots in fork.pieces():
            await _copy(database, fork, roots)
        session_id = await database.write(lambda tx: _finish(tx, fork, asked))
    except BaseException:
        with contextlib.suppress(StoreUnavailable):  # then it is given up in time
            await database.write(lambda tx: session_forks.give_up(tx, fork))
        raise
    return session_id, session_id != wanted.session_id


async def _finish(tx: Tx, fork: Fork, asked: Request | None) -> str:
    """Let the fork be seen, unless the same request made another meanwhile; the id of the one that stands."""
    if asked is not None:
        if kept := await idempotency.same(tx, asked):
            await session_forks.give_up(tx, fork)
            return str(kept["answer"])
        await idempotency.keep(tx, asked, fork.first_run_id, clock.now(), answer=fork.session.session_id)
    await session_forks.finish(tx, fork)
    return fork.session.session_id


async def _copy(database: Database, fork: Fork, roots: list[str]) -> None:
    found = await database.scan(lambda tx: session_forks.originals(tx, roots))
    added = await asyncio.to_thread(session_forks.copies, fork, found)
    await database.write(lambda tx: session_forks.add_runs(tx, fork, roots))
    for batch in session_forks.batches(added):
        await database.write(lambda tx, batch=batch: session_forks.add(tx, fork, batch))  # type: ignore[misc]
