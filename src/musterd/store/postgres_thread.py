"""A Postgres connection for a thread other than the event loop's, such as that of the heartbeat."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg import Connection, Cursor
from psycopg.abc import RV, PQGen
from psycopg.conninfo import timeout_from_conninfo
from psycopg.rows import DictRow

from musterd.core import long_json
from musterd.core.errors import StoreUnavailable
from musterd.core.jsontypes import Json
from musterd.store.database import Params, Row, Statement, Work, drive, for_postgres

T = TypeVar("T")
LOOK_SECONDS = 0.1
"""How often a statement that waits for its answer looks whether it has waited long enough."""

SHORTEST_CONNECT_SECONDS = 2
"""The shortest time limit that psycopg gives an attempt to connect. With 0 it would wait for minutes."""


class _LimitedConnection(Connection[DictRow]):
    """A connection on which a statement fails if the server does not answer in time.

    TCP notices a host that is gone, but not a server, or a pooler in between, that receives a statement and never
    answers.
    """

    answer_seconds: float | None = None

    def wait(self, gen: PQGen[RV], interval: float = LOOK_SECONDS, timeout: float | None = None) -> RV:
        return super().wait(gen, interval, self.answer_seconds if timeout is None else timeout)


class PostgresThreadConnection:
    """A connection that belongs to one thread.

    :param parameters: the connection parameters.
    :param complain: makes the error for callers, and logs it with advice.
    :param answer_seconds: how long an attempt to connect, or a statement, waits for the server's answer before it
        fails. An attempt to connect gets whole seconds, for each address of the server. None: an attempt to connect
        waits as long as the parameters say, and a statement as long as the connection lasts.
    """

    def __init__(
        self,
        parameters: dict[str, Any],
        complain: Callable[[psycopg.Error], StoreUnavailable],
        answer_seconds: float | None = None,
    ) -> None:
        self._parameters = parameters
        self._complain = complain
        self._answer_seconds = answer_seconds
        self._connection: _LimitedConnection | None = None

    def do(self, work: Work[T]) -> T:
        """Do ``work``, each statement in a transaction of its own.

        :raises StoreUnavailable: the database is unavailable.
        """
        try:
            if self._connection is None:
                self._connection = _LimitedConnection.connect(**self._limited_parameters())
                self._connection.answer_seconds = self._answer_seconds
            return drive(work(_BlockingTx(self._connection.cursor())))
        except psycopg.Error as error:
            # The connection may be lost or unusable; the next call opens another one.
            self.close()
            raise self._complain(error) from error

    def _limited_parameters(self) -> dict[str, Any]:
        if self._answer_seconds is None:
            return self._parameters
        answer_seconds = max(int(self._answer_seconds), SHORTEST_CONNECT_SECONDS)
        connect_seconds = min(timeout_from_conninfo(self._parameters), answer_seconds)
        return self._parameters | {"connect_timeout": connect_seconds}

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _BlockingTx:
    """Statements on a blocking connection; its methods never suspend."""

    def __init__(self, cursor: Cursor[DictRow]) -> None:
        self._cursor = cursor

    async def run(self, statement: Statement, params: Params) -> int:
        return self._execute(statement, params).rowcount

    async def many(self, statement: Statement, params: Sequence[Params]) -> None:
        for row_params in params:
            self._execute(statement, row_params)

    async def one(self, statement: Statement, params: Params) -> Row | None:
        return self._execute(statement, params).fetchone()

    async def all(self, statement: Statement, params: Params) -> Sequence[Row]:
        return self._execute(statement, params).fetchall()

    async def parsed(self, text: str, depth: int) -> Json:
        return long_json.loads(text, depth)

    async def written(self, value: Json, characters: int) -> str:
        return long_json.dumps(value, characters)

    def _execute(self, statement: Statement, params: Params) -> Cursor[DictRow]:
        return self._cursor.execute(for_postgres(statement.text).encode(), params)
