"""The shard of a session: the number by which its rows can be distributed over several database servers.

Each table below a session has the column ``shard``, and each of its unique keys ends with it. A statement on the rows
of one session names the shard, so that a distributed database sends it to the one server that has them. The decision
is 021, ``docs/decisions/021-a-shard-in-every-key-below-a-session.md``.
"""

import zlib
from collections.abc import Coroutine, Sequence
from typing import Any

from musterd.core.jsontypes import Json
from musterd.store.database import Params, Row, Statement, Tx

_POSITIVE = 0x7FFF
"""The bits that a positive ``smallint`` has."""


def shard_of(session_id: str) -> int:
    """The shard of a session. It is stored, so it must never be computed in another way."""
    return zlib.crc32(session_id.encode()) & _POSITIVE


class SessionTx:
    """A transaction, for statements on the rows of one session: they get the parameter ``:shard``.

    A statement that names ``:shard`` fails in any other transaction, so the session cannot be forgotten.
    """

    __slots__ = ("_tx", "session_id", "shard")

    def __init__(self, tx: Tx, session_id: str) -> None:
        self._tx = tx
        self.session_id = session_id
        self.shard = shard_of(session_id)

    def run(self, statement: Statement, params: Params) -> Coroutine[Any, Any, int]:
        """Execute; return the number of affected rows."""
        return self._tx.run(statement, self._with_shard(params))

    def many(self, statement: Statement, params: Sequence[Params]) -> Coroutine[Any, Any, None]:
        """Execute once for each of ``params``."""
        return self._tx.many(statement, [self._with_shard(each) for each in params])

    def one(self, statement: Statement, params: Params) -> Coroutine[Any, Any, Row | None]:
        """The first row, or None."""
        return self._tx.one(statement, self._with_shard(params))

    def all(self, statement: Statement, params: Params) -> Coroutine[Any, Any, Sequence[Row]]:
        """All rows."""
        return self._tx.all(statement, self._with_shard(params))

    def parsed(self, text: str, depth: int) -> Coroutine[Any, Any, Json]:
        """The value of a JSON text that was read."""
        return self._tx.parsed(text, depth)

    def written(self, value: Json, characters: int) -> Coroutine[Any, Any, str]:
        """The JSON text of a value."""
        return self._tx.written(value, characters)

    def _with_shard(self, params: Params) -> Params:
        # `params` come last: a SessionTx of another session on this one has put that shard into them.
        return {"shard": self.shard, **params}
