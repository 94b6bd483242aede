"""Transactions on Postgres that share a commit, as all of SQLite do.

Their works are done at the same time: each up to its next statement, then the statements of all are sent together, so
that many cost few round trips. If one of them fails, or a statement does, the group is rolled back and done again one
by one, each in a savepoint, so that the failure of one does not affect the others.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import psycopg

from musterd.core import clock, jsontext, long_json
from musterd.core.jsontypes import Json
from musterd.core.metrics import Metrics
from musterd.store.database import Params, Row, Statement, Tx, Work
from musterd.store.postgres_tx import PostgresTx

T = TypeVar("T")
GROUP_LIMIT = 50
"""How many transactions share a commit. Beyond 64 savepoints, snapshots of all other transactions get expensive."""
GROUP_SECONDS = 0.25
"""After how long a group that is done one by one is committed with what is done. The others are the next group."""
GROUPS = 3
"""How many groups are written at the same time. The pool has more connections, for other transactions."""
WAVE = 500
"""After how many transactions their callers go on, even if more wait. What callers do next takes time from those."""
_ADVISORY_LOCK = "TURN('"


class _OneByOne(Exception):
    """The works of a group cannot be done at the same time."""


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    work: Work[T]
    future: "asyncio.Future[T]"
    result: T | None = None
    error: BaseException | None = None

    def report(self) -> None:
        """Let the caller go on."""
        if self.future.done():  # the caller was cancelled; its transaction is committed all the same
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]  # the work has returned


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a job in a transaction that may still be rolled back."""

    result: Any = None
    error: BaseException | None = None


class WriteGroups:
    """Collects transactions, and commits those that wait at the same time together.

    :param write: does work in a transaction of its own.
    :param metrics: where the sizes of groups are counted.
    """

    def __init__(self, write: Callable[[Work[Any]], Awaitable[Any]], metrics: Callable[[], Metrics]) -> None:
        self._write = write
        self._metrics = metrics
        self._waiting: deque[_Job[Any]] = deque()
        self._done: list[_Job[Any]] = []
        self._writers: set[asyncio.Task[None]] = set()
        self._writing = 0

    def add(self, work: Work[T]) -> "asyncio.Future[T]":
        """Let ``work`` be done in a group, in the order of these calls."""
        job = _Job(work, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._writing < GROUPS:
            self._writing += 1
            # It begins after the tasks that are ready now, which may have transactions for the same group.
            writer = asyncio.ensure_future(self._write_groups())
            self._writers.add(writer)
            writer.add_done_callback(self._writers.discard)
        return job.future

    async def finished(self) -> None:
        """Wait for everything that was added."""
        while self._writers:
            await asyncio.wait(set(self._writers))

    async def _write_groups(self) -> None:
        while self._waiting:
            jobs = [self._waiting.popleft() for _ in range(min(GROUP_LIMIT, len(self._waiting)))]
            self._metrics().commit_group.observe(len(jobs))
            done = await self._outcomes(jobs)
            for job, outcome in zip(jobs, done, strict=False):
                job.result, job.error = outcome.result, outcome.error
            self._waiting.extendleft(reversed(jobs[len(done) :]))
            self._done += jobs[: len(done)]
            if len(self._done) >= WAVE:
                self._report()
        self._writing -= 1
        if not self._writing:
            self._report()

    def _report(self) -> None:
        done, self._done = self._done, []
        for job in done:
            job.report()

    async def _outcomes(self, jobs: Sequence[_Job[Any]]) -> Sequence[_Outcome]:
        """What became of the first jobs, at least of one."""
        try:
            try:
                done: Sequence[_Outcome] = await self._write(partial(_do_together, jobs=jobs))
            except _OneByOne:
                done = await self._write(partial(_do_in_savepoints, jobs=jobs))
        except psycopg.Error:
            # A statement of one of them failed. Nothing of the group is committed, so each may be done again.
            return [await self._alone(job) for job in jobs]
        except Exception as error:  # noqa: BLE001 - passed to the callers
            return [_Outcome(error=error) for _ in jobs]
        return done

    async def _alone(self, job: _Job[Any]) -> _Outcome:
        try:
            return _Outcome(await self._write(job.work))
        except Exception as error:  # noqa: BLE001 - passed to the caller
            return _Outcome(error=error)


async def _do_in_savepoints(tx: Tx, jobs: Sequence[_Job[Any]]) -> Sequence[_Outcome]:
    assert isinstance(tx, PostgresTx)
    deadline, done = clock.monotonic() + GROUP_SECONDS, list[_Outcome]()
    await tx.begin_savepoint()
    for job in jobs:
        if done and clock.monotonic() >= deadline:
            break
        try:
            done.append(_Outcome(await job.work(tx)))
        except psycopg.Error:
            raise  # the transaction has failed, or the connection is lost
        except Exception as error:  # noqa: BLE001 - passed to the caller
            await tx.undo_savepoint()
            done.append(_Outcome(error=error))
        else:
            await tx.next_savepoint()
    return done


# --- all at the same time -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Call:
    """A statement that a work waits for."""

    statement: Statement
    params: Params

    def __await__(self) -> "Generator[_Call, tuple[int, Sequence[Row]], tuple[int, Sequence[Row]]]":
        return (yield self)


class _WaitingTx:
    """The transaction of a group, as a single work sees it."""

    async def run(self, statement: Statement, params: Params) -> int:
        """Execute; return the number of affected rows."""
        return (await _Call(statement, params))[0]

    async def many(self, statement: Statement, params: Sequence[Params]) -> None:
        """Execute once for each of ``params``."""
        for one in params:
            await _Call(statement, one)

    async def one(self, statement: Statement, params: Params) -> Row | None:
        """The first row, or None."""
        rows = (await _Call(statement, params))[1]
        return rows[0] if rows else None

    async def all(self, statement: Statement, params: Params) -> Sequence[Row]:
        """All rows."""
        return (await _Call(statement, params))[1]

    async def parsed(self, text: str, depth: int) -> Json:
        """The value of a JSON text that was read."""
        return long_json.loads(text, depth)

    async def written(self, value: Json, characters: int) -> str:
        """The JSON text of a value. A work with a long one wants to be alone, because it waits for another thread."""
        if characters > long_json.LONG_BYTES:
            raise _OneByOne
        return jsontext.dumps(value)


async def _do_together(tx: Tx, jobs: Sequence[_Job[Any]]) -> Sequence[_Outcome]:
    """Do all works, statement by statement.

    :raises _OneByOne: one of them failed, or wants to be alone.
    """
    assert isinstance(tx, PostgresTx)
    outcomes = [_Outcome()] * len(jobs)
    working: dict[int, Coroutine[Any, Any, Any]] = {}
    try:
        for number, job in enumerate(jobs):
            working[number] = job.work(_WaitingTx())
        answers: dict[int, tuple[int, Sequence[Row]]] = {}
        while working:
            calls: dict[str, list[tuple[int, _Call]]] = {}
            for number, work in list(working.items()):
                try:
                    call: _Call = work.send(answers.get(number))
                except StopIteration as returned:
                    outcomes[number] = _Outcome(returned.value)
                    del working[number]
                    continue
                if _ADVISORY_LOCK in call.statement.text:  # it keeps out other transactions, not works of this one
                    raise _OneByOne
                calls.setdefault(call.statement.name, []).append((number, call))
            answers = {}
            for same in calls.values():
                results = await tx.each(same[0][1].statement, [call.params for _, call in same])
                answers.update(zip((number for number, _ in same), results, strict=True))
    except Exception as error:
        raise _OneByOne from error
    finally:
        for work in working.values():
            work.close()
    return outcomes
