"""The embedded model of a process: loaded once, with several generations at a time."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import structlog

from musterd.core import clock
from musterd.core.errors import DeclarationError, ModelFailed
from musterd.models.failures import safe
from musterd.models.local.llama import SLOTS, LocalServer

SEED = 1

_DEFAULTS: Mapping[str, Any] = {
    "temperature": 0,
    "seed": SEED,
    "cache_prompt": True,
    "stream": True,
    "stream_options": {"include_usage": True},
    "return_progress": True,
}

_log = structlog.get_logger()

Chunk = Mapping[str, Any]
Body = Mapping[str, Any]


@dataclass(slots=True)
class _Slots:
    """Assigns the parts of the context to generations.

    A prompt is read at 25 to 60 tokens a second, so a prompt should get the slot of an earlier one with its prefix.
    """

    used_for: dict[int, str] = field(default_factory=lambda: dict.fromkeys(range(SLOTS), ""))

    def take(self, key: str) -> int:
        """Take a free slot: the one that last served ``key``, or else the least recently used one."""
        slot = next((slot for slot, last in self.used_for.items() if last == key), next(iter(self.used_for)))
        del self.used_for[slot]
        return slot

    def give_back(self, slot: int, key: str) -> None:
        """Free ``slot`` and remember that it served ``key``."""
        self.used_for[slot] = key


class Runtime:
    """The embedded model of one process.

    :param load: creates the server. It takes seconds and runs in a thread.
    :param warm_up: requests that are answered once after loading, so that their prefixes are read in advance.
    """

    def __init__(self, load: Callable[[], LocalServer], warm_up: Sequence[tuple[str, Body]] = ()) -> None:
        self._load = load
        self._warm_up = warm_up
        self._threads = ThreadPoolExecutor(SLOTS, thread_name_prefix="musterd-local")
        self._slots = _Slots()
        self._lock = threading.Lock()
        self._server: Future[LocalServer] | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether the server is loaded and its prompts are read."""
        loading = self._server
        return loading is not None and loading.done() and _is_usable(loading)

    def start(self) -> None:
        """Start loading, unless it has started already. If it failed, or the server has ended, it starts again."""
        with self._lock:
            loading = self._server
            if loading is None or (loading.done() and not _is_usable(loading)):
                self._server = self._threads.submit(self._start)

    async def stream(self, key: str, body: Body) -> AsyncGenerator[Chunk]:
        """Generate in chunks. Closing the generator ends the generation within one token.

        :param key: identifies the prompt's prefix, so that prompts with the same prefix share a slot.
        :param body: a request in the format of OpenAI's chat completions.
        :raises ModelFailed: the model cannot be loaded, or the request does not fit.
        """
        server = await self.loaded()
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[Chunk | None] = asyncio.Queue()
        ended = threading.Event()

        def put(chunk: Chunk | None) -> None:
            try:
                if not ended.is_set():
                    loop.call_soon_threadsafe(chunks.put_nowait, chunk)
            except RuntimeError:  # the event loop is closed, so end the generation
                ended.set()

        work = self._threads.submit(self._generate, server, key, body, put, ended)
        work.add_done_callback(lambda _: put(None))
        try:
            while (chunk := await chunks.get()) is not None:
                if error := chunk.get("error"):
                    raise ModelFailed(f"The local model failed: {safe(str(error.get('message')))}")
                yield chunk
            if failed := work.exception():
                raise ModelFailed("The local model failed. The server's log has the details.") from failed
        finally:
            ended.set()

    async def loaded(self) -> LocalServer:
        """Wait until the server is loaded; start loading if necessary.

        :raises ModelFailed: the model cannot be loaded.
        """
        self.start()
        loading = self._server
        assert loading is not None
        try:
            # Shielded: a cancelled call must not cancel the load, for which other calls wait.
            return await asyncio.shield(asyncio.wrap_future(loading))
        except DeclarationError as error:
            raise ModelFailed(error.message) from error
        except (OSError, RuntimeError, ValueError, MemoryError, ImportError) as error:
            raise ModelFailed(
                "The local model cannot be loaded. Check the free memory, and MUSTERD_LOCAL_MODEL if it is set."
            ) from error

    def _start(self) -> LocalServer:
        started = clock.monotonic()
        server = self._load()
        loaded = clock.monotonic()
        for key, body in self._warm_up:
            self._generate(server, key, body, lambda _: None, threading.Event())
        _log.info(
            "local model loaded",
            seconds=round(loaded - started, 1),
            warm_up_seconds=round(clock.monotonic() - loaded, 1),
        )
        return server

    def _generate(
        self, server: LocalServer, key: str, body: Body, put: Callable[[Chunk], None], ended: threading.Event
    ) -> None:
        """Answer one request in this thread. There are as many threads as slots, so a slot is always free."""
        if ended.is_set():
            return

        def on_chunk(chunk: Any) -> bool:
            put(chunk)
            return ended.is_set()

        with self._lock:
            slot = self._slots.take(key)
        try:
            server.handle_chat_completions({**_DEFAULTS, **body, "id_slot": slot}, on_chunk)
        finally:
            with self._lock:
                self._slots.give_back(slot, key)


def _is_usable(loaded: Future[LocalServer]) -> bool:
    return loaded.exception() is None and loaded.result().is_alive
