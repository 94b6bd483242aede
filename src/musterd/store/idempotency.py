"""Requests that may come again: by the run id that a client chose, or by an idempotency key.

A request is kept in the transaction that does what it asks, and as long as the run that answers it. Two at once meet
at the key: the second waits for the first to be stored, and finds it.
"""

from dataclasses import dataclass

from musterd.core.errors import Conflict
from musterd.store.database import Row, Statement, Tx

GET = Statement(
    "request_get",
    "SELECT fingerprint, run_id, answer FROM requests WHERE caller = :caller AND kind = :kind AND key = :key",
)
ADD = Statement(
    "request_add",
    """INSERT INTO requests (caller, kind, key, fingerprint, run_id, answer, created_at)
       VALUES (:caller, :kind, :key, :fingerprint, :run_id, :answer, :now)""",
)
RUN_NAMED = Statement(  # the name of a run is the id that its user chose
    "request_run_named", "SELECT run_id FROM requests WHERE caller = :caller AND kind = 'run_id' AND key = :name"
)
RUN_NAMED_IN_SESSION = Statement(
    "request_run_named_in_session",
    """SELECT q.run_id FROM runs r JOIN requests q ON q.run_id = r.run_id
       WHERE r.session_id = :session_id AND q.kind = 'run_id' AND q.key = :name ORDER BY q.created_at DESC LIMIT 1""",
)
KEY_TAKEN = "This Idempotency-Key was used for another request; choose another one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that can be told from others.

    :param caller: who asks, as keys are scoped.
    :param kind: ``run_id``, or the operation of an idempotency key: create, continue, cancel, fork.
    :param fingerprint: the same text for the same request.
    """

    caller: str
    kind: str
    key: str
    fingerprint: str

    @property
    def _name(self) -> dict[str, str]:
        return {"caller": self.caller, "kind": self.kind, "key": self.key}


async def find(tx: Tx, request: Request) -> Row | None:
    """The kept request under this key, whatever it asked; None: the key is free."""
    return await tx.one(GET, request._name)


async def same(tx: Tx, request: Request) -> Row | None:
    """The same request, kept earlier; None: the key is free.

    :raises Conflict: the key was used for another request.
    """
    row = await find(tx, request)
    if row is not None and row["fingerprint"] != request.fingerprint:
        raise Conflict(KEY_TAKEN)
    return row


async def run_named(tx: Tx, caller: str, name: str) -> str | None:
    """The id of the run for which this caller chose ``name`` as its id."""
    row = await tx.one(RUN_NAMED, {"caller": caller, "name": name})
    return None if row is None else str(row["run_id"])


async def run_named_in_session(tx: Tx, session_id: str, name: str) -> str | None:
    """The id of the run of a session for which anybody chose ``name`` as its id."""
    row = await tx.one(RUN_NAMED_IN_SESSION, {"session_id": session_id, "name": name})
    return None if row is None else str(row["run_id"])


async def keep(tx: Tx, request: Request, run_id: str, now: float, answer: str | None = None) -> None:
    """Keep a request with the run that answers it.

    :param answer: what else the same request must be told again.
    """
    params = {**request._name, "fingerprint": request.fingerprint, "run_id": run_id, "answer": answer, "now": now}
    await tx.run(ADD, params)
