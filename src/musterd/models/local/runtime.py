"""Runs llama.cpp in threads of this process: loaded once, with several generations at a time.

The server in the bindings also opens a port on loopback. It is not used, so a random key locks it.
"""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from musterd.core import clock
from musterd.core.errors import DeclarationError, ModelFailed
from musterd.core.settings import Settings
from musterd.models.failures import safe
from musterd.models.local.weights import weights

SLOTS = 4
"""Concurrent generations. They share the context, so each gets a quarter of it."""
CONTEXT_TOKENS = 16_384
SEED = 1
_CACHE_MIB = 256  # for prompts that lost their slot; llama.cpp's default is 8 GiB

_DEFAULTS: Mapping[str, Any] = {
    "temperature": 0,
    "seed": SEED,
    "cache_prompt": True,
    "stream": True,
    "stream_options": {"include_usage": True},
}

_log = structlog.get_logger()

Chunk = Mapping[str, Any]
Body = Mapping[str, Any]


class LocalServer(Protocol):
    """The part of ``xllamacpp.Server`` that is used here."""

    def handle_chat_completions(self, body: dict[str, Any], callback: Callable[[Any], bool]) -> object:
        """Answer a chat completion. ``callback`` gets each chunk and returns True to end the generation."""


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
        return loading is not None and loading.done() and loading.exception() is None

    def start(self) -> None:
        """Start loading, unless it has started already. A failed load is retried."""
        with self._lock:
            loading = self._server
            if loading is None or (loading.done() and loading.exception()):
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
                raise ModelFailed("The local model failed") from failed
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
            raise ModelFailed("The local model cannot be loaded") from error

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


def load_server(settings: Settings) -> LocalServer:
    """Load the model from ``settings``. This blocks for seconds.

    :raises DeclarationError: its weights are missing or wrong.
    """
    # Threads that spin while they wait for each other starve if other work needs the processors. Measured with twice as
    # much work as processors: a quarter of the speed.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights(settings))
    parameters.n_ctx, parameters.n_parallel, parameters.verbosity = CONTEXT_TOKENS, SLOTS, -1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = _processors()
    parameters.cache_ram_mib = _CACHE_MIB
    parameters.hostnames, parameters.api_keys, parameters.ui = ["127.0.0.1"], [clock.new_secret()], False
    server: LocalServer = xllamacpp.Server(parameters)
    return server


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
