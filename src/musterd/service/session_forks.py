"""Forking a session, piece by piece: what makes the copies holds up neither the event loop nor those who write."""

import asyncio
import contextlib

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import StoreUnavailable
from musterd.store import requests, session_forks
from musterd.store.database import Database, Tx
from musterd.store.requests import Request
from musterd.store.session_forks import Fork, ForkedSession


async def fork_session(
    database: Database, source_id: str, wanted: ForkedSession, caller: Caller, asked: Request | None = None
) -> tuple[str, bool]:
    """Make a session of the caller's with copies of what has ended in ``source_id``; it is seen once it is whole.

    :param asked: the request under its key.
    :return: the new session's id, and whether the same request was here before.
    :raises NotFound: there is none of this component that the caller may see.
    :raises BadRequest: no run of it has ended.
    :raises Conflict: runs of it went meanwhile, it took too long, or the key was used for another request.
    """

    async def begin(tx: Tx) -> Fork | str:
        return await _earlier(tx, asked) or await session_forks.look(tx, source_id, wanted, caller)

    fork = await database.scan(begin)
    if isinstance(fork, str):
        return fork, True
    try:
        await database.write(lambda tx: session_forks.begin(tx, fork))
        for roots in fork.pieces():
            await _copy(database, fork, roots)
        made = await database.write(lambda tx: _finish(tx, fork, asked))
    except BaseException:
        await _give_up(database, fork)
        raise
    if made != wanted.session_id:  # the same request was faster
        await _give_up(database, fork)
    return made, made != wanted.session_id


async def _earlier(tx: Tx, asked: Request | None) -> str | None:
    """The session that the same request has made."""
    kept = None if asked is None else await requests.same(tx, asked)
    return None if kept is None else str(kept["answer"])


async def _finish(tx: Tx, fork: Fork, asked: Request | None) -> str:
    """Let the new session be seen, unless the same request has made one meanwhile; the id of the one that is there."""
    if (earlier := await _earlier(tx, asked)) is not None:
        return earlier
    await session_forks.finish(tx, fork)
    session_id = fork.session.session_id
    if asked is not None:
        await requests.keep(tx, asked, fork.first_run_id, clock.now(), answer=session_id)
    return session_id


async def _give_up(database: Database, fork: Fork) -> None:
    with contextlib.suppress(StoreUnavailable):  # then it goes in time
        await database.write(lambda tx: session_forks.give_up(tx, fork))


async def _copy(database: Database, fork: Fork, roots: list[str]) -> None:
    found = await database.scan(lambda tx: session_forks.originals(tx, roots))
    added = await asyncio.to_thread(session_forks.copies, fork, found)
    await database.write(lambda tx: session_forks.add_runs(tx, fork, roots))
    for batch in session_forks.batches(added):
        await database.write(lambda tx, batch=batch: session_forks.add(tx, fork, batch))  # type: ignore[misc]
