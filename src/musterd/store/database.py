"""The interface of a database: transactions that execute named statements.

A store function is a coroutine over a :class:`Tx`, the same for every database. A network database awaits it on the
event loop. SQLite's writer thread runs it to its end without suspending (:func:`drive`), so no synchronous copy is
needed.
"""

import re
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from musterd.core.jsontypes import Json
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

    Parameters are ``:name``. Words that depend on the dialect are replaced:

    - ``IN_LIST(column, :name)``: the column is one of a list, which is passed as JSON text;
    - ``IN_NUMBERS(column, :name)``: the same for a list of integers;
    - ``LOCK_ROW``: lock the row until the transaction ends, and return it as it is once it is locked;
    - ``SKIP_LOCKED_ROWS``: the same, but rows that another transaction has locked are left out, without waiting;
    - ``TEXT_BYTES(column)``: the length of a text in UTF-8, 0 for null. The text itself is not read;
    - ``JSON_WHOLE(column, 'name')``: the integer of that name in a column of JSON objects, or null;
    - ``JSON_NUMBER(column, 'name')``: the same, but any number;
    - ``WORDS(column)``: the words of a text, to be stored in an index of words;
    - ``HAS_ANCHORS(table, :anchors, :others)``: a row of an index of words has some of the words of ``:anchors``, such
      as ``"one" OR "two"``; ``:others`` are the other words of its ``WORDS_RANK``, or empty;
    - ``ROWID_BETWEEN(table, :first, :last)``: the id of such a row is in a range. Postgres must not look it up in
      its index of ids: it has many more of them than the words leave;
    - ``WORDS_RANK(table, :query)``: how little such a row matches; to be sorted by;
    - ``WORD_COUNTS(table, :words)``: a table of the words in a list, passed as JSON text, each with how many rows of
      the index have it. SQLite counts the rows from ``:first`` to ``:last``, and at most ``:limit`` of them. Postgres
      would have to read each row. It estimates how many of ``:rows`` rows have the word, from its planner's statistics;
    - ``strpos(text, part)``: where ``part`` begins in ``text``, from 1; 0: it does not;
    - ``DATABASE_SIZE``, ``DATABASE_VERSION``: the bytes that the database holds, and the version of its program;
    - ``TURN('name')``, ``TURN('name', :of)``: an advisory lock until the transaction ends. It must be a statement of
      its own: only later statements see what the previous holder committed.

    On SQLite the three locks are nothing, because a transaction that writes is alone.

    :param name: its name in logs and in the tests of query plans.
    :param text: the SQL.
    :param is_one_off: whether it was composed for a single request, so that its translation is not cached.
    """

    name: str
    text: str = field(repr=False)
    is_one_off: bool = False


_IN_LIST = re.compile(r"IN_LIST\((.+?), :(\w+)\)")
_IN_NUMBERS = re.compile(r"IN_NUMBERS\((.+?), :(\w+)\)")
_WORDS = re.compile(r"\bWORDS\((\S+?)\)")
_HAS_ANCHORS = re.compile(r"HAS_ANCHORS\((\w+), :(\w+), :(\w+)\)")
_WORDS_RANK = re.compile(r"WORDS_RANK\((\w+), :(\w+)\)")
_ROWID_BETWEEN = re.compile(r"ROWID_BETWEEN\((\w+), :(\w+), :(\w+)\)")
_WORD_COUNTS = re.compile(r"WORD_COUNTS\((\w+), :(\w+)\)")
_TURN = re.compile(r"TURN\('(\w+)'(?:, (:\w+))?\)")
_JSON_NUMBER = re.compile(r"JSON_NUMBER\((\S+?), '(\w+)'\)")
_JSON_WHOLE = re.compile(r"JSON_WHOLE\((\S+?), '(\w+)'\)")
_TEXT_BYTES = re.compile(r"TEXT_BYTES\((\S+?)\)")
# Versions before 3.43 have no octet_length, and read the text.
_SQLITE_TEXT_BYTES = (
    r"coalesce(octet_length(\1), 0)"
    if sqlite3.sqlite_version_info >= (3, 43)
    else r"coalesce(length(CAST(\1 AS BLOB)), 0)"
)
_SQLITE_SIZE = "(SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size())"
_POSTGRES_SIZE, _POSTGRES_VERSION = "pg_database_size(current_database())", "current_setting('server_version')"
_WEB_QUERY = r"(SELECT websearch_to_tsquery('english', :\2))"  # read once for a statement, not for each row
# FTS5 ranks by the sum over all parts of the query, so each word stands in it twice: all of them count the same.
_SQLITE_ANCHORS = (
    r"\1.chunk_words MATCH CASE :\3 WHEN '' THEN :\2 "
    r"ELSE '(' || :\2 || ') AND (' || :\2 || ' OR ' || :\3 || ' OR ' || :\3 || ')' END"
)
_SQLITE_COUNTS = (
    r"(SELECT value AS word, (SELECT count(*) FROM (SELECT 1 FROM \1 WHERE \1 MATCH char(34) || value || char(34) "
    r"AND rowid BETWEEN :first AND :last LIMIT :limit)) AS count FROM json_each(:\2))"
)
# The statistics name the most frequent lexemes. Behind the frequencies of these stands the lowest of them; others are
# below it. A word of several lexemes, such as `snake_case`, is at most as frequent as each of them.
_POSTGRES_COUNTS = (
    r"(WITH statistics AS MATERIALIZED ("
    r"SELECT CAST(CAST(most_common_elems AS text) AS text[]) AS lexemes, most_common_elem_freqs AS shares "
    r"FROM pg_stats WHERE schemaname = current_schema() AND tablename = '\1' AND attname = 'text') "
    r"SELECT listed.word, CAST(:rows * coalesce((SELECT min(coalesce("
    r"s.shares[array_position(s.lexemes, parts.lexeme)], s.shares[cardinality(s.lexemes) + 1] / 2)) "
    r"FROM statistics s CROSS JOIN unnest(tsvector_to_array(to_tsvector('english', listed.word))) AS parts(lexeme)"
    r"), 0) AS bigint) AS count "
    r"FROM jsonb_array_elements_text(CAST(:\2 AS jsonb)) AS listed(word))"
)
PARAMETER = re.compile(r"(?<!:):([a-z]\w*)")
"""A parameter of a statement."""


def for_sqlite(text: str) -> str:
    """The statement in SQLite's dialect. A transaction that writes is alone, so locks are left out."""
    text = _IN_LIST.sub(r"\1 IN (SELECT value FROM json_each(:\2))", text)
    text = _IN_NUMBERS.sub(r"\1 IN (SELECT value FROM json_each(:\2))", text)
    # FTS5 itself sorts by its column `rank`, and only those rows are looked up of which the caller wants to know.
    text = _ROWID_BETWEEN.sub(r"\1.rowid BETWEEN :\2 AND :\3", text)
    text = _WORD_COUNTS.sub(_SQLITE_COUNTS, _HAS_ANCHORS.sub(_SQLITE_ANCHORS, text))
    text = _WORDS_RANK.sub(r"\1.rank", _WORDS.sub(r"\1", text))
    text = _TEXT_BYTES.sub(_SQLITE_TEXT_BYTES, text)
    text = _JSON_WHOLE.sub(r"CAST(json_extract(\1, '$.\2') AS INTEGER)", text)
    text = _JSON_NUMBER.sub(r"CAST(json_extract(\1, '$.\2') AS DOUBLE)", text)
    text = text.replace("DATABASE_SIZE", _SQLITE_SIZE).replace("DATABASE_VERSION", "sqlite_version()")
    text = _TURN.sub("1", text).replace("strpos(", "instr(")
    return text.replace("LOCK_ROW", "").replace("SKIP_LOCKED_ROWS", "")


def for_postgres(text: str) -> str:
    """The statement in Postgres' dialect, with parameters in the style of psycopg."""
    # psycopg reads % as the beginning of a parameter, so the % of LIKE are doubled before parameters are inserted.
    text = _IN_LIST.sub(
        r"\1 = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:\2 AS jsonb))))", text.replace("%", "%%")
    )
    numbers = r"SELECT CAST(jsonb_array_elements_text(CAST(:\2 AS jsonb)) AS bigint)"
    text = _IN_NUMBERS.sub(rf"\1 = ANY (ARRAY({numbers}))", text)
    text = _ROWID_BETWEEN.sub(r"\1.rowid + 0 BETWEEN :\2 AND :\3", text)
    text = _WORD_COUNTS.sub(_POSTGRES_COUNTS, _HAS_ANCHORS.sub(rf"\1.text @@ {_WEB_QUERY}", text))
    text = _WORDS.sub(r"to_tsvector('english', \1)", text)
    text = _WORDS_RANK.sub(rf"-ts_rank(\1.text, {_WEB_QUERY}, 1)", text)
    text = _TEXT_BYTES.sub(r"coalesce(octet_length(\1), 0)", text)
    text = _JSON_WHOLE.sub(r"CAST(CAST(\1 AS jsonb) ->> '\2' AS bigint)", text)
    text = _JSON_NUMBER.sub(r"CAST(CAST(\1 AS jsonb) ->> '\2' AS double precision)", text)
    text = text.replace("DATABASE_SIZE", _POSTGRES_SIZE).replace("DATABASE_VERSION", _POSTGRES_VERSION)
    text = _TURN.sub(_turn_for_postgres, text)
    text = text.replace("LOCK_ROW", "FOR UPDATE").replace("SKIP_LOCKED_ROWS", "FOR UPDATE SKIP LOCKED")
    return PARAMETER.sub(r"%(\1)s", text)


def _turn_for_postgres(match: re.Match[str]) -> str:
    name, scope = match.groups()
    key = f"hashtext('musterd {name}')"
    return f"pg_advisory_xact_lock({key})" if scope is None else f"pg_advisory_xact_lock({key}, hashtext({scope}))"


class TranslatedStatements(Generic[T]):
    """A cache of statements translated to one dialect.

    :param translate: translates a text to the dialect and the type that its driver takes.
    """

    def __init__(self, translate: Callable[[str], T]) -> None:
        self._translate = translate
        self._texts: dict[str, T] = {}

    def __call__(self, statement: Statement) -> T:
        """The statement's text."""
        # By name, so two different texts must not share a name. Texts that are composed for one request would fill the
        # cache.
        text = self._texts.get(statement.name)
        if text is None:
            text = self._translate(statement.text)
            if not statement.is_one_off:
                self._texts[statement.name] = text
        return text


class Tx(Protocol):
    """A transaction. Either all its writes are committed, or none."""

    async def run(self, statement: Statement, params: Params) -> int:
        """Execute; return the number of affected rows."""
        ...

    async def many(self, statement: Statement, params: Sequence[Params]) -> None:
        """Execute once for each of ``params``."""

    async def one(self, statement: Statement, params: Params) -> Row | None:
        """The first row, or None."""
        ...

    async def all(self, statement: Statement, params: Params) -> Sequence[Row]:
        """All rows."""
        ...

    async def parsed(self, text: str, depth: int) -> Json:
        """The value of a JSON text that was read. A long one is parsed without blocking the event loop.

        Parameters as of :func:`musterd.core.long_json.loads`.
        """
        ...

    async def written(self, value: Json, characters: int) -> str:
        """The JSON text of a value. A long one is written without blocking the event loop.

        :param characters: about how long the text will be.
        """
        ...


Work = Callable[[Tx], Coroutine[Any, Any, T]]


class ThreadConnection(Protocol):
    """A separate connection for a thread other than the event loop's."""

    def do(self, work: Work[T]) -> T:
        """Do ``work``, each statement in a transaction of its own.

        :raises StoreUnavailable: the database is unavailable.
        """
        ...

    def close(self) -> None:
        """Close the connection."""


class Locks(Protocol):
    """Operating system locks of the workers of this host, which show at once that a worker is dead."""

    def hold(self, worker: str) -> None:
        """Take the lock of a worker of this process."""

    def is_free(self, worker: str) -> bool:
        """Whether no process holds the worker's lock, so that the worker is dead."""
        ...

    def release(self, worker: str) -> None:
        """Release a worker's lock, or remove the file of a dead worker."""


class Database(Protocol):
    """A database. Every method raises StoreUnavailable if the database is unavailable.

    ``metrics`` is where its commits are counted. ``poll_seconds`` is how often a process that waits for changes of
    others should ask for :meth:`change_count`.
    """

    metrics: Metrics
    poll_seconds: float

    def upgrade(self) -> None:
        """Bring the schema up to date, on the calling thread, before anything else is started.

        :raises StartError: the database cannot be used; the message says why.
        """

    async def open(self) -> None:
        """Bring the schema up to date and make the database usable."""

    async def close(self) -> None:
        """Finish all writes that were submitted, then close the database."""

    def write(self, work: Work[T]) -> Awaitable[T]:
        """Do ``work`` in a transaction; it is committed and durable when the awaitable is done.

        ``work`` may be called more than once, so it must not change anything outside its transaction.
        """
        ...

    def write_together(self, work: Work[T]) -> Awaitable[T]:
        """The same, for many transactions that are written at the same time: they share a commit.

        The failure of one does not affect the others, but they hold their locks until all of them are done. Statements
        of several may alternate, so none may rely on what another one of them does.
        """
        ...

    def read(self, work: Work[T]) -> Awaitable[T]:
        """Do ``work``, which reads single rows by key. Cheap. On a server each statement has a snapshot of its own."""
        ...

    def fetch(self, work: Work[T]) -> Awaitable[T]:
        """Do ``work``, which reads many rows, without blocking the event loop. Each statement may have a snapshot of
        its own."""
        ...

    def scan(self, work: Work[T]) -> Awaitable[T]:
        """The same on one snapshot, which costs a server two more round trips."""
        ...

    def locks(self) -> Locks:
        """The locks of the workers of this host."""
        ...

    def thread_connection(self, answer_seconds: float | None = None) -> ThreadConnection:
        """A connection for a thread other than the event loop's, opened when it is first used.

        :param answer_seconds: how long an attempt to connect, or a statement, waits for the answer of a server before
            it fails; None: for its usual time.
        """
        ...

    async def change_count(self) -> int:
        """A number that changes when any process writes. Cheap.

        It is read from the database, so it counts every transaction that was committed before this call. It may change
        without one.
        """
        ...


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a store function to its end on this thread.

    The transactions that are used here never suspend, so the coroutine ends with its first step.

    :raises RuntimeError: it awaited something other than its transaction.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a store function must await nothing but its transaction")
