"""Repeated requests: recognized by the run id that a client chose, or by an idempotency key.

The key of ``runs`` holds the shard, so it does not keep two runs of one id in different sessions apart. The key of a
request does: it has no shard. So imports store one for each run as well.

A request is stored in the transaction that executes it, and is kept as long as the run that answers it. If two equal
requests run at once, their inserts meet at the primary key: the second waits for the first to commit, fails, and its
transaction is retried, which then finds the stored request.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

from musterd.core import clock
from musterd.core.errors import Conflict
from musterd.store.database import Row, Statement, Tx
from musterd.store.shards import SessionTx

GET = Statement(
    "request_get",
    "SELECT fingerprint, run_id, answer FROM requests WHERE caller = :caller AND kind = :kind AND key = :key",
)
ADD = Statement(
    "request_add",
    """INSERT INTO requests (caller, kind, key, fingerprint, run_id, answer, created_at)
       VALUES (:caller, :kind, :key, :fingerprint, :run_id, :answer, :now)""",
)
RUN_BY_ALIAS = Statement(  # an alias is the id that the client chose
    "request_run_by_alias", "SELECT run_id FROM requests WHERE caller = :caller AND kind = 'run_id' AND key = :alias"
)
RUN_BY_ALIAS_IN_SESSION = Statement(
    "request_run_by_alias_in_session",
    """SELECT q.run_id FROM runs r JOIN requests q ON q.run_id = r.run_id
       WHERE r.session_id = :session_id AND r.shard = :shard AND q.kind = 'run_id' AND q.key = :alias
       ORDER BY q.created_at DESC LIMIT 1""",
)
NO_REQUEST = "imported"
"""The fingerprint of an id that was taken without a request: no request is equal to it."""
KEY_TAKEN = "This Idempotency-Key was used for another request; choose another one."


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that may be repeated.

    :param caller: the caller, who is the scope of the key; empty if the key is a run id, which all callers share.
    :param kind: ``run_id``, or the operation of an idempotency key: create, continue, cancel, fork.
    :param fingerprint: a text that is equal for equal requests.
    """

    caller: str
    kind: str
    key: str
    fingerprint: str

    @property
    def primary_key(self) -> dict[str, str]:
        """The parameters that select its row."""
        return {"caller": self.caller, "kind": self.kind, "key": self.key}


async def find(tx: Tx, request: Request) -> Row | None:
    """The stored request with this key, even if it differs from ``request``; None: the key is free."""
    return await tx.one(GET, request.primary_key)


async def same(tx: Tx, request: Request) -> Row | None:
    """The same request, stored earlier; None: the key is free.

    :raises Conflict: the key was used for another request.
    """
    row = await find(tx, request)
    if row is not None and row["fingerprint"] != request.fingerprint:
        raise Conflict(KEY_TAKEN)
    return row


@dataclass(frozen=True, slots=True)
class Performed(Generic[T]):
    """A request that was executed now.

    :param run_id: the run that the request is kept with; None: it changed nothing and may be executed again.
    :param answer: further data that the same request must get again.
    """

    result: T
    run_id: str | None
    answer: str | None = None


async def once(
    tx: Tx,
    request: Request | None,
    perform: Callable[[], Awaitable[Performed[T]]],
    repeat: Callable[[str | None], Awaitable[T]],
) -> T:
    """Execute a request unless the same one was executed before.

    :param request: the request under its idempotency key; None: it has no key and is always executed.
    :param perform: executes it in this transaction.
    :param repeat: the result for the same request, given the answer that was kept with it.
    :raises Conflict: the key was used for another request.
    """
    if request is None:
        return (await perform()).result
    if (earlier := await same(tx, request)) is not None:
        return await repeat(earlier["answer"])
    performed = await perform()
    if performed.run_id is not None:
        await keep(tx, request, performed.run_id, clock.now(), performed.answer)
    return performed.result


async def run_by_alias(tx: Tx, caller: str, alias: str) -> str | None:
    """The id of the run for which this caller chose ``alias`` as its id."""
    row = await tx.one(RUN_BY_ALIAS, {"caller": caller, "alias": alias})
    return None if row is None else str(row["run_id"])


async def run_by_alias_in_session(tx: Tx, session_id: str, alias: str) -> str | None:
    """The id of the run of a session for which any caller chose ``alias`` as its id."""
    row = await SessionTx(tx, session_id).one(RUN_BY_ALIAS_IN_SESSION, {"session_id": session_id, "alias": alias})
    return None if row is None else str(row["run_id"])


async def take_run_ids(tx: Tx, run_ids: Collection[str], now: float) -> None:
    """Take the ids of runs that no client has started, in the transaction that stores the runs.

    If another transaction takes one of them at the same time, this one is retried, and then finds that run.
    """
    taken = {"caller": "", "kind": "run_id", "fingerprint": NO_REQUEST, "answer": None, "now": now}
    # Sorted: two transactions that take the same ids in different orders would block each other.
    await tx.many(ADD, [{**taken, "key": run_id, "run_id": run_id} for run_id in sorted(run_ids)])


async def keep(tx: Tx, request: Request, run_id: str, now: float, answer: str | None = None) -> None:
    """Store a request with the run that answers it, in the transaction that executes the request.

    :param answer: further data that the same request must get again.
    """
    params = {**request.primary_key, "fingerprint": request.fingerprint, "run_id": run_id, "answer": answer, "now": now}
    await tx.run(ADD, params)
