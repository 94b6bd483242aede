"""llama.cpp through its bindings.

Their server also opens a port on loopback. It is not used, so a random key locks it.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from musterd.core import clock
from musterd.models.local.weights import weights

if TYPE_CHECKING:
    from musterd.core.settings import Settings

SLOTS = 4
"""Concurrent generations. They share the context, so each gets a quarter of it."""
CONTEXT_TOKENS = 16_384
_CACHE_MIB = 256  # for prompts that lost their slot; llama.cpp's default is 8 GiB


class Completions(Protocol):
    """The part of ``xllamacpp.Server`` that is used here."""

    def handle_chat_completions(self, body: dict[str, Any], callback: Callable[[Any], bool]) -> object:
        """Answer a chat completion. ``callback`` gets each chunk and returns True to end the generation."""


class LocalServer(Completions, Protocol):
    """A server that may end."""

    @property
    def is_alive(self) -> bool:
        """Whether it can still answer."""


def load_server(settings: "Settings") -> Completions:
    """Load the model from ``settings``. This holds Python's global lock for seconds.

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
    server: Completions = xllamacpp.Server(parameters)
    return server


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
