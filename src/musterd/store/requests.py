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


async def keep(tx: Tx, request: Request, run_id: str, now: float, answer: str | None = None) -> None:
    """Keep a request with the run that answers it.

    :param answer: what else the same request must be told again.
    """
    params = {**request._name, "fingerprint": request.fingerprint, "run_id": run_id, "answer": answer, "now": now}
    await tx.run(ADD, params)
