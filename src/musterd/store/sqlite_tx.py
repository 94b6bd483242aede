"""A transaction on one SQLite connection."""

import sqlite3
from collections.abc import Sequence

from musterd.store.database import Params, Row, Statement, Texts, for_sqlite


class SqliteTx:
    """A transaction on one SQLite connection; its methods never suspend."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._execute = connection.execute
        self._executemany = connection.executemany
        self._text = Texts(for_sqlite)

    async def run(self, statement: Statement, params: Params) -> int:
        """Execute; return the number of affected rows."""
        return self._execute(self._text(statement), params).rowcount

    async def many(self, statement: Statement, params: Sequence[Params]) -> None:
        """Execute once for each of ``params``."""
        self._executemany(self._text(statement), params)

    async def one(self, statement: Statement, params: Params) -> Row | None:
        """The first row, or None."""
        # All rows, even though one is needed: a COMMIT fails while a statement with RETURNING has not been read to its
        # end.
        rows = self._execute(self._text(statement), params).fetchall()
        return rows[0] if rows else None

    async def all(self, statement: Statement, params: Params) -> Sequence[Row]:
        """All rows."""
        return self._execute(self._text(statement), params).fetchall()
