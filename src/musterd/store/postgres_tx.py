"""A transaction on Postgres: named statements on one connection, one after the other."""

import json
from collections.abc import Sequence

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from musterd.core import jsontext, long_json
from musterd.core.jsontypes import Json
from musterd.core.threads import in_thread
from musterd.store.database import Params, Row, Statement, TranslatedStatements, for_postgres

_text = TranslatedStatements(lambda text: for_postgres(text).encode())


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

    async def parsed(self, text: str, depth: int) -> Json:
        """The value of a JSON text that was read. A long one is parsed without blocking the event loop."""
        if len(text) <= long_json.LONG_BYTES:
            return json.loads(text)
        return await in_thread(long_json.loads, text, depth)

    async def written(self, value: Json, characters: int) -> str:
        """The JSON text of a value. A long one is written without blocking the event loop."""
        if characters <= long_json.LONG_BYTES:
            return jsontext.dumps(value)
        return await in_thread(long_json.dumps, value, characters)

    async def each(self, statement: Statement, params: Sequence[Params]) -> list[tuple[int, Sequence[Row]]]:
        """Execute once for each of ``params``, sent together; return the numbers of affected rows, and the rows."""
        cursor = self._cursor
        await cursor.executemany(_text(statement), params, returning=True)
        return [
            (one.rowcount, () if one.description is None else await one.fetchall()) async for one in cursor.results()
        ]

    async def begin_savepoint(self) -> None:
        """Begin a part of the transaction that can be undone alone."""
        await self._execute(b"SAVEPOINT part")

    async def next_savepoint(self) -> None:
        """End this part and begin the next one."""
        await self._execute(b"RELEASE SAVEPOINT part; SAVEPOINT part")  # one round trip

    async def undo_savepoint(self) -> None:
        """Undo this part and begin the next one."""
        await self._execute(b"ROLLBACK TO SAVEPOINT part")
