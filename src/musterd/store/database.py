"""What the store needs of a database: transactions over named statements.

One code for every database: a store function is a coroutine over a :class:`Tx`. A network database awaits it on the
event loop; SQLite's writer thread drives it to its end without suspending (:func:`drive`), so that no twin is written.
"""

import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from musterd.core.metrics import Metrics

T = TypeVar("T")
Params = Mapping[str, Any]


class Row(Protocol):
    """One row; columns by name."""

    def __getitem__(self, name: str, /) -> Any: ...

    def keys(self) -> Any:
        """The columns' names."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A named SQL text.

    Parameters are ``:name``. Words that differ by dialect are replaced:

    - ``IN_LIST(column, :name)``: the column is one of a list, which travels as JSON text;
    - ``LOCK_ROW``: hold the row until the transaction ends, and see it as it is once it is held;
    - ``LOCK_FREE_ROWS``: the same for rows that nobody holds; those that another transaction holds are left out;
    - ``JSON_WHOLE(column, 'name')``: the whole number of that name in a column of JSON objects, or null;
    - ``TURN('name')``, ``TURN('name', :of)``: wait for the other transactions that said the same to end.

    :param name: what it is called in logs and in the tests of its plan.
    :param text: the SQL.
    :param is_passing: whether it is made for one request, as a client put it together: its text is not kept.
    """

    name: str
    text: str = field(repr=False)
    is_passing: bool = False


_IN_LIST = re.compile(r"IN_LIST\((.+?), :(\w+)\)")
_TURN = re.compile(r"TURN\('(\w+)'(?:, (:\w+))?\)")
_JSON_WHOLE = re.compile(r"JSON_WHOLE\((\S+?), '(\w+)'\)")
_PARAMETER = re.compile(r"(?<!:):([a-z]\w*)")


def for_sqlite(text: str) -> str:
    """The statement in SQLite's dialect: a transaction that writes is alone, so nothing needs a lock of its own."""
    text = _IN_LIST.sub(r"\1 IN (SELECT value FROM json_each(:\2))", text)
    text = _JSON_WHOLE.sub(r"CAST(json_extract(\1, '$.\2') AS INTEGER)", text)
    return _TURN.sub("1", text).replace("LOCK_ROW", "").replace("LOCK_FREE_ROWS", "")


def for_postgres(text: str) -> str:
    """The statement in Postgres' dialect, with parameters as its driver writes them."""
    text = _IN_LIST.sub(
        r"\1 = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:\2 AS jsonb))))", text.replace("%", "%%")
    )
    text = _JSON_WHOLE.sub(r"CAST(CAST(\1 AS jsonb) ->> '\2' AS bigint)", text)
    text = _TURN.sub(_turn_for_postgres, text)
    text = text.replace("LOCK_ROW", "FOR UPDATE").replace("LOCK_FREE_ROWS", "FOR UPDATE SKIP LOCKED")
    return _PARAMETER.sub(r"%(\1)s", text)


def _turn_for_postgres(found: re.Match[str]) -> str:
    name, of = found.groups()
    words = f"hashtext('musterd {name}')"
    return f"pg_advisory_xact_lock({words})" if of is None else f"pg_advisory_xact_lock({words}, hashtext({of}))"


class Texts(Generic[T]):
    """Statements in one dialect, each put into it once.

    :param translate: puts a text into the dialect, as its driver takes it.
    """

    def __init__(self, translate: Callable[[str], T]) -> None:
        self._translate = translate
        self._texts: dict[str, T] = {}

    def __call__(self, statement: Statement) -> T:
        """The statement's text."""
        text = self._texts.get(statement.name)
        if text is None:
            text = self._translate(statement.text)
            if not statement.is_passing:
                self._texts[statement.name] = text
        return text


class Tx(Protocol):
    """A transaction. All its writes stand, or none."""

    async def run(self, statement: Statement, params: Params) -> int:
        """Execute; return the number of rows it touched."""
        ...

    async def many(self, statement: Statement, params: Sequence[Params]) -> None:
        """Execute once for each of ``params``."""

    async def one(self, statement: Statement, params: Params) -> Row | None:
        """The first row, or None."""
        ...

    async def all(self, statement: Statement, params: Params) -> Sequence[Row]:
        """All rows."""
        ...


Work = Callable[[Tx], Coroutine[Any, Any, T]]


class ThreadConnection(Protocol):
    """A connection of its own, for a thread beside the event loop."""

    def do(self, work: Work[T]) -> T:
        """Do ``work``, each statement in a transaction of its own.

        :raises StoreUnavailable: the database cannot be used now.
        """
        ...

    def close(self) -> None:
        """Let go of it."""


class Locks(Protocol):
    """Tells which workers of this host are dead, at once, where the system can tell."""

    def hold(self, worker: str) -> None:
        """Hold the lock of a worker of this process."""

    def is_free(self, worker: str) -> bool:
        """Whether no living process holds the worker's lock: it is dead."""
        ...

    def release(self, worker: str) -> None:
        """Let go of a worker's lock, or clear away that of a dead one."""


class Database(Protocol):
    """A database of runs. Every method raises StoreUnavailable when it cannot do its work now.

    ``figures`` is where its commits are counted.
    """

    metrics: Metrics

    def upgrade(self) -> None:
        """Bring the schema up to date, on the calling thread: before anything else is started.

        :raises StartError: the database cannot be used, in words.
        """

    async def open(self) -> None:
        """Bring the schema up to date and make the database usable."""

    async def close(self) -> None:
        """Finish what was handed in, then let go of the database."""

    def write(self, work: Work[T]) -> Awaitable[T]:
        """Do ``work`` in a transaction; committed and durable when the awaitable is done."""
        ...

    def read(self, work: Work[T]) -> Awaitable[T]:
        """Do ``work``, single rows by key. Cheap; a server may give each statement a snapshot of its own."""
        ...

    def scan(self, work: Work[T]) -> Awaitable[T]:
        """Do ``work``, reads of many rows, on a snapshot, without holding up the event loop."""
        ...

    def locks(self) -> Locks:
        """The locks of this host's workers."""
        ...

    def apart(self) -> ThreadConnection:
        """A connection for a thread beside the event loop, made when it is first used."""
        ...

    def has_changed(self) -> bool:
        """Whether anything was written, by this process or another, since this was asked last. Cheap."""
        ...


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a store function to its end on this thread.

    :raises RuntimeError: it awaited something that is not its transaction.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a store function must await nothing but its transaction")
