"""Hooks, files and learnings of an Agno file keep users apart, and runs that end at the same time."""

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from musterd.agno.hooks import converted_hooks, file_writer
from musterd.agno.learning import Learning
from musterd.agno.report import Report
from musterd.declare.source_location import Place

pytestmark = pytest.mark.usefixtures("importable_agno")


class RunInput(SimpleNamespace):
    """The input of a run as musterd gives it to hooks."""

    images = videos = audios = files = ()

    def input_content_string(self) -> str:
        return str(self.input_content)


def output(message: Any) -> Any:
    """A finished run as musterd gives it to hooks."""
    values = {"run_id": "r", "session_id": "s", "content": "Hi", "content_type": "str", "tools": []}
    return SimpleNamespace(**values, input=RunInput(input_content=message), get_content_as_string=lambda: "Hi")


class AsyncBaseDb:
    """Looks like a database of Agno that has only async methods."""


@pytest.mark.parametrize("database", [object(), AsyncBaseDb()])
def test_evals_of_runs_that_end_at_the_same_time_keep_their_database(database: Any) -> None:
    from agno.agent import Agent
    from agno.eval.base import BaseEval

    both_have_begun = threading.Barrier(2, timeout=100)
    databases = []

    class Judge(BaseEval):  # type: ignore[misc]
        """Takes the database away during a check, as Agno's evals do."""

        db = database

        def pre_check(self, run_input: Any) -> None: ...

        async def async_pre_check(self, run_input: Any) -> None: ...

        def post_check(self, run_output: Any) -> None:
            original, self.db = self.db, None
            both_have_begun.wait()
            self.db = original
            databases.append(self.db)

        async def async_post_check(self, run_output: Any) -> None:
            original, self.db = self.db, None
            await asyncio.to_thread(both_have_begun.wait)
            self.db = original
            databases.append(self.db)

    agent = Agent(id="a", post_hooks=[Judge()])
    (hook,) = converted_hooks("post_hooks", agent, "agent a", Place("shop.py"), Report(), skip_evals=False)
    values: dict[str, Any] = {"run_output": output("Hello"), "session_state": {}}
    is_async = isinstance(database, AsyncBaseDb)

    async def check_both() -> None:
        calls = [hook(**values) if is_async else asyncio.to_thread(hook, **values) for _ in range(2)]
        await asyncio.gather(*calls)

    asyncio.run(check_both())
    assert databases == [database, database]


def write(pattern: str, message: Any, user_id: str | None, folder: Path) -> str:
    """Write the answer of a run to a file, and return the name of the one file that is new."""
    before = {file for file in folder.rglob("*") if file.is_file()}
    file_writer(pattern, SimpleNamespace(name="shop"))(output(message), user_id)
    (file,) = {file for file in folder.rglob("*") if file.is_file()} - before
    return str(file.relative_to(folder))


def test_each_answer_gets_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert write("{user_id}/{message}.txt", "hi", "ann", tmp_path) == "ann/hi.txt"
    assert write("{user_id}/answer.txt", "hi", None, tmp_path) == "_/answer.txt"
    messages = ["天" * 100, "x" * 200, "x" * 201, {"a": "/"}, "a/b", "a_b", "..", ".", "_", "\0", "\ud800", ["x"]]
    names = {write("{message}.txt", message, None, tmp_path) for message in messages}
    assert len(names) == len(messages)
    assert all("/" not in name and len(name.encode()) < 100 for name in names)
    taken = write("{message}.txt", "c/d", None, tmp_path).removesuffix(".txt")
    assert write("{message}.txt", taken, None, tmp_path) != f"{taken}.txt"


class Learnings(AsyncBaseDb):
    """A database of Agno with the context of a session."""

    def __init__(self, user_id: str | None) -> None:
        self.rows = {"session_context_s1": {"user_id": user_id, "content": {"session_id": "s1", "summary": "SECRET"}}}

    async def get_learnings(self, **values: Any) -> list[dict[str, Any]]:
        return [*self.rows.values()]

    async def get_learning(self, **values: Any) -> dict[str, Any] | None:
        return next(iter(self.rows.values()), None)

    async def delete_learning(self, id: str) -> bool:
        return self.rows.pop(id, None) is not None


@pytest.mark.parametrize(
    ("user_id", "reader", "is_shown"),
    [("ann", "ann", True), ("ann", "bob", False), ("ann", None, False), (None, "bob", True)],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_the_context_of_a_session_is_not_passed_to_another_user(
    user_id: str | None, reader: str | None, is_shown: bool, is_async: bool, tmp_path: Path
) -> None:
    from agno.agent import Agent
    from agno.db.base import AsyncBaseDb as RealAsyncBaseDb
    from agno.db.sqlite import SqliteDb
    from agno.learn import LearningMachine

    if is_async:
        cls: Any = type("Database", (Learnings, RealAsyncBaseDb), {})
        cls.__abstractmethods__ = frozenset()  # it has only the methods that are called
        database = cls(user_id)
    else:
        database = SqliteDb(db_file=str(tmp_path / "agno.db"))
    learning = Learning(LearningMachine(session_context=True, db=database), Agent(id="a"))
    if not is_async:
        store = learning._machine.stores["session_context"]
        store.save(session_id="s1", context=store.schema(session_id="s1", summary="SECRET"), user_id=user_id)
    context = SimpleNamespace(user_id=reader, session_id="s1")
    instructions: Any = learning.with_context("Be kind.")(run_context=context)
    text = asyncio.run(instructions) if is_async else instructions
    assert ("SECRET" in text) is is_shown
