"""Generations in threads: streaming, cancelling, slots, failures."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from musterd.core.errors import DeclarationError, ModelFailed
from musterd.models.local.llama import SLOTS
from musterd.models.local.runtime import Runtime

pytestmark = pytest.mark.anyio


class FakeServer:
    """Stands for llama.cpp: gives words, or goes on until it is ended."""

    is_alive = True

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.ended = threading.Event()
        self.begun = threading.Event()

    def handle_chat_completions(self, body: dict[str, Any], callback: Callable[[Any], bool]) -> None:
        self.bodies.append(body)
        match body["say"]:
            case "error":
                callback({"error": {"message": "too long: see http://x.y/z"}})
            case "raise":
                raise RuntimeError("broken")
            case "forever":
                while not callback({"n": 0}):
                    self.begun.set()
                self.ended.set()
            case words:
                for word in words.split():
                    assert not callback({"word": word})


async def words(runtime: Runtime, say: str, key: str = "k") -> list[Any]:
    async with aclosing(runtime.stream(key, {"say": say})) as chunks:
        return [chunk.get("word") async for chunk in chunks]


async def test_chunks_come_in_order() -> None:
    server = FakeServer()
    runtime = Runtime(lambda: server)
    assert await words(runtime, "a b c") == ["a", "b", "c"]
    assert server.bodies[0]["temperature"] == 0
    assert server.bodies[0]["stream"] is True


async def test_it_is_loaded_and_warmed_once() -> None:
    server = FakeServer()
    loads: list[int] = []

    def load() -> FakeServer:
        loads.append(1)
        return server

    runtime = Runtime(load, [("k", {"say": "warm"})])
    runtime.start()
    runtime.start()
    await asyncio.gather(*(words(runtime, "a") for _ in range(8)))
    assert runtime.is_loaded
    assert loads == [1]
    assert [body["say"] for body in server.bodies] == ["warm", *["a"] * 8]


async def test_prompts_of_one_beginning_find_their_slot_again() -> None:
    server = FakeServer()
    runtime = Runtime(lambda: server)
    for key in ("x", "y", "x", "z", "y", "w", "v", "x"):
        await words(runtime, "a", key)
    slots = [body["id_slot"] for body in server.bodies]
    assert slots[0] == slots[2]
    assert slots[1] == slots[4]
    assert len({slots[0], slots[1], slots[3], slots[5]}) == SLOTS
    assert slots[6] == slots[2]  # the longest out of use makes room


async def test_closing_ends_the_generation() -> None:
    server = FakeServer()
    chunks = Runtime(lambda: server).stream("k", {"say": "forever"})
    await anext(chunks)
    await chunks.aclose()
    assert await asyncio.to_thread(server.ended.wait, 60)


async def test_cancelling_ends_the_generation() -> None:
    server = FakeServer()
    runtime = Runtime(lambda: server)
    call = asyncio.create_task(words(runtime, "forever"))
    assert await asyncio.to_thread(server.begun.wait, 60)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await asyncio.to_thread(server.ended.wait, 60)


async def test_what_does_not_fit_is_said_in_words() -> None:
    runtime = Runtime(FakeServer)
    with pytest.raises(ModelFailed, match=r"^The local model failed: too long: see \[address\]$"):
        await words(runtime, "error")
    with pytest.raises(ModelFailed, match=r"^The local model failed\. The server's log has the details\.$"):
        await words(runtime, "raise")
    assert await words(runtime, "a") == ["a"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DeclarationError('Model "local": no weights.'), 'Model "local": no weights.'),
        (
            RuntimeError("secret path"),
            "The local model cannot be loaded. Check the free memory, and MUSTERD_LOCAL_MODEL if it is set.",
        ),
    ],
)
async def test_what_cannot_be_loaded_is_said_and_tried_again(error: Exception, message: str) -> None:
    left = [error]

    def load() -> FakeServer:
        if left:
            raise left.pop()
        return FakeServer()

    runtime = Runtime(load)
    with pytest.raises(ModelFailed) as caught:
        await words(runtime, "a")
    assert caught.value.message == message
    assert not runtime.is_loaded
    assert await words(runtime, "a") == ["a"]


def test_a_loop_that_is_gone_ends_the_generation() -> None:
    server = FakeServer()
    runtime = Runtime(lambda: server)

    async def leave() -> None:
        chunks = runtime.stream("k", {"say": "forever"})
        await anext(chunks)

    asyncio.run(leave())
    assert server.ended.wait(60)
