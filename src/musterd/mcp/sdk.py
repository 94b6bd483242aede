"""The interface to the MCP SDK, for both of its major versions.

Everything that differs between the versions is in ``sdk1`` (1.24 and later) and ``sdk2`` (2.3 and later). agno 2.5.6
works only with version 1.
"""

import contextlib
import functools
import importlib
import importlib.metadata
from collections.abc import Awaitable, Callable, Mapping
from types import ModuleType
from typing import Any, Protocol

from pydantic import ValidationError

from musterd.core.jsontypes import Json, JsonObject

OnProgress = Callable[[float, float | None, str | None], Awaitable[None]]
Transport = contextlib.AbstractAsyncContextManager[Any]
"""Opens a connection and gives two streams: one to read messages from, and one to write them to."""


class SdkError(Exception):
    """A request failed: the server reported an error, or the connection was lost.

    :param code: the JSON-RPC error code.
    :param data: the ``data`` of the JSON-RPC error.
    """

    def __init__(self, code: int, message: str, data: Json) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class UnreadableAnswer(Exception):
    """The server answered, but the SDK cannot read the answer."""


def problem_in(error: Exception) -> str:
    """What is wrong with an answer, in one line without values."""
    if not isinstance(error, ValidationError):
        return str(error)
    detail = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(str(key) for key in detail['loc'])}: {detail['msg']}"


class Session(Protocol):
    """An open connection."""

    async def list_tools(self, cursor: str | None) -> JsonObject:
        """A page of the list of tools, in the protocol's form.

        :raises SdkError: the request failed.
        :raises UnreadableAnswer: the answer does not have the required form.
        """
        ...

    async def call_tool(
        self, name: str, arguments: JsonObject, meta: JsonObject, on_progress: OnProgress
    ) -> tuple[str, bool]:
        """The text of the result's only block, and whether the server marked the result as an error.

        :raises SdkError: the request failed.
        :raises UnreadableAnswer: the answer does not have the required form.
        """
        ...


class Sdk(Protocol):
    """A version of the SDK."""

    CONNECTION_CLOSED: int
    """The code of the error that pending requests get when the connection ends."""

    httpx: ModuleType
    """The HTTP library that the SDK's client is written for."""

    def connected(self, transport: Transport) -> contextlib.AbstractAsyncContextManager[Session]:
        """A session over a connection, after the handshake."""
        ...

    def http_transport(self, url: str, client: Any) -> Transport:
        """A connection over streamable HTTP that uses ``client``, of the library :attr:`httpx`."""
        ...

    def message(self, message: JsonObject) -> Any:
        """A received message in the form of the SDK's streams. Raises ValueError if it is not a valid message."""
        ...

    def text_of(self, message: Any) -> str:
        """A message that the SDK sends, as one line of JSON."""
        ...

    def default_environment(self) -> Mapping[str, str]:
        """The environment variables that a program inherits."""
        ...


@functools.cache
def installed() -> Sdk:
    """The installed version of the SDK. The first call imports it, which takes half a second."""
    major = importlib.metadata.version("mcp").partition(".")[0]
    sdk: Sdk = importlib.import_module(f"musterd.mcp.sdk{major}").SDK
    return sdk
