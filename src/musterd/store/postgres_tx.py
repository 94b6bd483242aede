"""A transaction on Postgres: named statements on one connection, one after the other."""

from collections.abc import Sequence

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from musterd.store.database import Params, Row, Statement, Texts, for_postgres

_text = Texts(lambda text: for_postgres(text).encode())


class PostgresTx:
    """Statements on one connection, one after the other."""

    def __init__(self, cursor: AsyncCursor[DictRow]) -> None:
        self._cursor = cursor
        self._execute = cursor.execute

    async def run(self, statement: Statement, params: Params) -> int:
        """Execute; return the number of affected rows."""
        return (await self._execute(_text(statement), params)).rowcount

    async def many(self, statement: Statement, params: Sequence[Params]) -> None:
        """Execute once for each of ``params``."""
        await self._cursor.executemany(_text(statement), params)

    async def one(self, statement: Statement, params: Params) -> Row | None:
        """The first row, or None."""
        return await (await self._execute(_text(statement), params)).fetchone()

    async def all(self, statement: Statement, params: Params) -> Sequence[Row]:
        """All rows."""
        return await (await self._execute(_text(statement), params)).fetchall()
