"""The process of the embedded model, with a fake in place of llama.cpp."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from musterd.core.errors import DeclarationError
from musterd.core.settings import Settings
from musterd.models.local.server_process import ServerProcess
from tests.support import fake_llama

COMMAND = (sys.executable, str(Path(fake_llama.__file__)))


def started(local_model: str = "") -> ServerProcess:
    return ServerProcess(Settings(local_model=local_model), 2, COMMAND)


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    process = started()
    yield process
    if process.is_alive:
        os.kill(process.pid, signal.SIGKILL)


def words(server: ServerProcess, say: str) -> list[Any]:
    chunks: list[Any] = []

    def on_chunk(chunk: Any) -> bool:
        chunks.append(chunk["word"])
        return False

    server.handle_chat_completions({"say": say}, on_chunk)
    return chunks


def test_it_answers_one_request_after_the_other(server: ServerProcess) -> None:
    assert words(server, "a b") == ["a", "b"]
    assert words(server, "c") == ["c"]


def test_it_generates_as_often_at_once_as_it_has_slots(server: ServerProcess) -> None:
    meeting = threading.Barrier(2)

    def meet() -> None:
        server.handle_chat_completions({"say": "forever"}, lambda chunk: meeting.wait(60) >= 0)

    other = threading.Thread(target=meet)
    other.start()
    meet()
    other.join()


def test_a_stop_that_comes_too_late_does_not_end_the_next_generation(server: ServerProcess) -> None:
    for _ in range(20):
        server.handle_chat_completions({"say": "only"}, lambda chunk: True)
        assert words(server, "a b c") == ["a", "b", "c"]


def test_a_failure_is_reported_and_the_process_goes_on(server: ServerProcess) -> None:
    with pytest.raises(RuntimeError, match="RuntimeError: broken"):
        words(server, "raise")
    assert words(server, "a") == ["a"]


def test_the_end_of_the_process_ends_a_generation(server: ServerProcess) -> None:
    with pytest.raises(RuntimeError, match="the process of the local model has ended"):
        words(server, "die")
    assert server.wait() == 9
    assert not server.is_alive
    with pytest.raises(RuntimeError, match="has ended"):
        words(server, "a")


@pytest.mark.parametrize(
    ("local_model", "error", "message"),
    [
        ("missing", DeclarationError, 'Model "local": no weights.'),
        ("broken", RuntimeError, "RuntimeError: bad file"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_reported(local_model: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        started(local_model)
    assert str(caught.value) == message


def test_signals_to_the_group_of_processes_do_not_end_it(server: ServerProcess) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(server.pid, number)
    assert words(server, "a") == ["a"]


def test_it_ends_when_its_server_is_gone(server: ServerProcess) -> None:
    server.close()
    assert server.wait() == 0
