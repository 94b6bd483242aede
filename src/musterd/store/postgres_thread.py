"""A Postgres connection for a thread beside the event loop."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg import Connection, Cursor
from psycopg.rows import DictRow

from musterd.core.errors import StoreUnavailable
from musterd.store.database import Params, Row, Statement, Work, drive, for_postgres

T = TypeVar("T")


class PostgresThreadConnection:
    """Belongs to the thread that uses it.

    :param parameters: what a connection is made with.
    :param complain: makes the error that a caller gets, and logs what to do.
    """

    def __init__(self, parameters: dict[str, Any], complain: Callable[[psycopg.Error], StoreUnavailable]) -> None:
        self._parameters = parameters
        self._complain = complain
        self._connection: Connection[DictRow] | None = None

    def do(self, work: Work[T]) -> T:
        """Do ``work``, each statement in a transaction of its own.

        :raises StoreUnavailable: the database cannot be used now.
        """
        try:
            if self._connection is None:
                self._connection = Connection.connect(**self._parameters)
            return drive(work(_BlockingTx(self._connection.cursor())))
        except psycopg.Error as error:
            self.close()
            raise self._complain(error) from error

    def close(self) -> None:
        """Let go of the server."""
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
        for each in params:
            self._execute(statement, each)

    async def one(self, statement: Statement, params: Params) -> Row | None:
        return self._execute(statement, params).fetchone()

    async def all(self, statement: Statement, params: Params) -> Sequence[Row]:
        return self._execute(statement, params).fetchall()

    def _execute(self, statement: Statement, params: Params) -> Cursor[DictRow]:
        return self._cursor.execute(for_postgres(statement.text).encode(), params)
