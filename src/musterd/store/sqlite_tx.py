"""A transaction on one SQLite connection."""

import sqlite3
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from musterd.core import long_json
from musterd.core.jsontypes import Json
from musterd.store.database import PARAMETER, Params, Row, Statement, TranslatedStatements, for_sqlite


class _Numbered(NamedTuple):
    """A statement with numbered parameters.

    :param values: returns the values of the parameters, in order, from a mapping by name.
    """

    text: str
    values: Callable[[Params], Sequence[Any]]


def _numbered(text: str) -> _Numbered:
    """A statement in SQLite's dialect, with numbered parameters.

    For each named parameter the driver releases and reacquires the GIL, for which the event loop competes.
    """
    text = for_sqlite(text)
    names = list(dict.fromkeys(PARAMETER.findall(text)))
    numbers = {name: f"?{number}" for number, name in enumerate(names, start=1)}
    values = itemgetter(*names) if len(names) > 1 else lambda params: [params[name] for name in names]
    return _Numbered(PARAMETER.sub(lambda match: numbers[match[1]], text), values)


class SqliteTx:
    """A transaction on one SQLite connection; its methods never suspend."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._execute = connection.execute
        self._executemany = connection.executemany
        self._numbered = TranslatedStatements(_numbered)

    async def run(self, statement: Statement, params: Params) -> int:
        """Execute; return the number of affected rows."""
        text, values = self._numbered(statement)
        return self._execute(text, values(params)).rowcount

    async def many(self, statement: Statement, params: Sequence[Params]) -> None:
        """Execute once for each of ``params``."""
        text, values = self._numbered(statement)
        self._executemany(text, map(values, params))

    async def one(self, statement: Statement, params: Params) -> Row | None:
        """The first row, or None."""
        # All rows, even though one is needed: a COMMIT fails while a statement with RETURNING has not been read to its
        # end.
        text, values = self._numbered(statement)
        rows = self._execute(text, values(params)).fetchall()
        return rows[0] if rows else None

    async def all(self, statement: Statement, params: Params) -> Sequence[Row]:
        """All rows."""
        text, values = self._numbered(statement)
        return self._execute(text, values(params)).fetchall()

    async def parsed(self, text: str, depth: int) -> Json:
        """The value of a JSON text that was read."""
        return long_json.loads(text, depth)  # long texts are read in a thread other than the event loop's

    async def written(self, value: Json, characters: int) -> str:
        """The JSON text of a value; a long one in pieces."""
        return long_json.dumps(value, characters)
