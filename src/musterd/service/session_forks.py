"""Forking a session, piece by piece: what makes the copies holds up neither the event loop nor those who write."""

import asyncio
import contextlib

from musterd.core.callers import Caller
from musterd.core.errors import StoreUnavailable
from musterd.store import session_forks
from musterd.store.database import Database
from musterd.store.session_forks import Fork, ForkedSession


async def fork_session(database: Database, source_id: str, wanted: ForkedSession, caller: Caller) -> None:
    """Make a session of the caller's with copies of what has ended in ``source_id``; it is seen once it is whole.

    :raises NotFound: there is none of this component that the caller may see.
    :raises BadRequest: no run of it has ended.
    :raises Conflict: runs of it went meanwhile, or it took too long.
    """
    fork = await database.scan(lambda tx: session_forks.look(tx, source_id, wanted, caller))
    try:
        await database.write(lambda tx: session_forks.begin(tx, fork))
        for roots in fork.pieces():
            await _copy(database, fork, roots)
        await database.write(lambda tx: session_forks.finish(tx, fork))
    except BaseException:
        with contextlib.suppress(StoreUnavailable):  # then it is given up in time
            await database.write(lambda tx: session_forks.give_up(tx, fork))
        raise


async def _copy(database: Database, fork: Fork, roots: list[str]) -> None:
    found = await database.scan(lambda tx: session_forks.originals(tx, roots))
    added = await asyncio.to_thread(session_forks.copies, fork, found)
    await database.write(lambda tx: session_forks.add_runs(tx, fork, roots))
    for batch in session_forks.batches(added):
        await database.write(lambda tx, batch=batch: session_forks.add(tx, fork, batch))  # type: ignore[misc]
