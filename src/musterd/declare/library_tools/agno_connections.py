"""Connections of Agno's toolkits that have to be opened before their functions are called."""

from __future__ import annotations

import atexit
import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from musterd.core.error_logging import log_failure
from musterd.core.threads import in_thread
from musterd.declare.tools import Tool


def with_connection(kit: Any, tools: list[Tool]) -> list[Tool]:
    """The tools of a toolkit. Before the first call of one of them, the toolkit connects, if it has to."""
    if not getattr(kit, "requires_connect", False):
        return tools
    connection = _Connection(kit)
    return [replace(tool, function=connection.around(tool)) for tool in tools]


class _Connection:
    """The connection of a toolkit, which stays open until the process stops: runs share it, as they do in Agno."""

    def __init__(self, kit: Any) -> None:
        self._kit = kit
        self._lock = threading.Lock()
        self._is_open = False

    def around(self, tool: Tool) -> Callable[..., Any]:
        """The function of a tool, for which the connection is opened."""
        function = tool.function

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            if not self._is_open:
                await in_thread(self._open)
            return await function(*args, **kwargs)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._open()
            return function(*args, **kwargs)

        return call_async if tool.is_async else call

    def _open(self) -> None:
        with self._lock:
            if self._is_open:
                return
            try:
                self._kit.connect()
            except Exception as error:  # noqa: BLE001 - the function says what is missing; the next call tries again
                log_failure("a toolkit could not connect", error, toolkit=type(self._kit).__name__)
                return
            self._is_open = True
            atexit.register(self._close)

    def _close(self) -> None:
        with contextlib.suppress(Exception):  # the process stops anyway
            self._kit.close()
