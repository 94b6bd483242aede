"""Forks a session in small transactions, so that a long session blocks neither the event loop nor other writers."""

import contextlib

from musterd.core.callers import Caller
from musterd.core.errors import StoreUnavailable
from musterd.core.threads import in_thread
from musterd.store import idempotency, session_forks
from musterd.store.database import Database, Tx
from musterd.store.idempotency import Performed, Request, once
from musterd.store.session_forks import Fork, ForkTarget
from musterd.store.shards import SessionTx


async def fork_session(
    database: Database, source_id: str, target: ForkTarget, caller: Caller, request: Request | None
) -> tuple[str, bool]:
    """Create a session for the caller with copies of the finished runs of ``source_id``.

    :param request: the request under its idempotency key, if it has one.
    :return: the new session's id, and whether the same request was received before.
    :raises NotFound: there is no such session of this component that the caller may see.
    :raises BadRequest: no run of it has finished.
    :raises Conflict: runs of it were deleted meanwhile, it took too long, or another request has this one's key.
    """
    # Only saves the copy for a request that is repeated later. Of two at the same time, _finish lets one complete.
    if request is not None and (earlier := await database.read(lambda tx: idempotency.same(tx, request))):
        return str(earlier["answer"]), True
    fork = await database.scan(lambda tx: session_forks.plan(tx, source_id, target, caller))
    try:
        # Until the last transaction the new session is marked as deleted in the future: no caller sees it, and if this
        # process dies here, the removal of deleted sessions also removes the incomplete fork.
        await database.write(lambda tx: session_forks.begin(tx, fork))
        for roots in fork.pieces():
            await _copy(database, fork, roots)
        session_id = await database.write(lambda tx: _finish(tx, fork, request))
    except BaseException:
        # Also after a cancel: a client that disconnects leaves an incomplete fork as well.
        with contextlib.suppress(StoreUnavailable):  # then the removal of deleted sessions cleans up later
            await database.write(lambda tx: session_forks.give_up(tx, fork))
        raise
    return session_id, session_id != target.session_id


async def _finish(tx: Tx, fork: Fork, request: Request | None) -> str:
    """Make the fork visible and return its id.

    If the same request has completed another fork meanwhile, drop this one and return the id of the other.
    """

    async def finish() -> Performed[str]:
        await session_forks.finish(tx, fork)
        session_id = fork.session.session_id
        return Performed(session_id, fork.first_run_id, answer=session_id)

    async def repeat(answer: str | None) -> str:
        await session_forks.give_up(tx, fork)
        return str(answer)

    return await once(tx, request, finish, repeat)


async def _copy(database: Database, fork: Fork, roots: list[str]) -> None:
    originals = await database.scan(lambda tx: session_forks.originals(SessionTx(tx, fork.source_id), roots))
    copies = await in_thread(session_forks.copies, fork, originals)
    await database.write(lambda tx: session_forks.add_runs(tx, fork, roots))
    for batch in session_forks.batches(copies):
        await database.write(lambda tx, batch=batch: session_forks.add(tx, fork, batch))  # type: ignore[misc]
