"""What musterd needs of the MCP SDK, whichever of its two major versions is installed.

Everything that differs between the versions stands in ``sdk1`` (from 1.24) and ``sdk2`` (from 2.3). agno 2.5.6 works
with version 1 alone.
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
"""Opens a connection and gives its streams: one to read messages from, one to write them to."""


class SdkError(Exception):
    """A request failed: the server said so, or the connection was lost.

    :param code: of JSON-RPC.
    :param data: what stands beside the message in the error.
    """

    def __init__(self, code: int, message: str, data: Json) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class UnreadableAnswer(Exception):
    """The server answered, and the SDK cannot read it."""


def problem_in(error: Exception) -> str:
    """What pydantic, or the SDK itself, says is wrong with an answer, in one line without the values."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


class Session(Protocol):
    """An open connection."""

    async def list_tools(self, cursor: str | None) -> JsonObject:
        """A page of the list of tools, as the protocol writes it.

        :raises SdkError: the request failed.
        :raises UnreadableAnswer: the answer has not the form that it must have.
        """
        ...

    async def call_tool(
        self, name: str, arguments: JsonObject, meta: JsonObject, on_progress: OnProgress
    ) -> tuple[str, bool]:
        """The text of the result's only block, and whether the server calls the result an error.

        :raises SdkError: the request failed.
        :raises UnreadableAnswer: the answer has not the form that it must have.
        """
        ...


class Sdk(Protocol):
    """A version of the SDK."""

    CONNECTION_CLOSED: int
    """The code of the error that requests get when the connection ends."""

    httpx: ModuleType
    """The library that its HTTP client is written for."""

    def connected(self, transport: Transport) -> contextlib.AbstractAsyncContextManager[Session]:
        """A session over a connection, once the server has said who it is."""
        ...

    def http_transport(self, url: str, client: Any) -> Transport:
        """A connection over streamable HTTP, by a client of ``httpx``."""
        ...

    def message(self, message: JsonObject) -> Any:
        """A message that came, as the SDK's streams carry it. Raises ValueError: it is none."""
        ...

    def text_of(self, message: Any) -> str:
        """A message that the SDK sends, as JSON without line breaks."""
        ...

    def default_environment(self) -> Mapping[str, str]:
        """The variables of the environment that a program is given."""
        ...


@functools.cache
def installed() -> Sdk:
    """The SDK that is installed. Its import takes half a second."""
    major = importlib.metadata.version("mcp").partition(".")[0]
    sdk: Sdk = importlib.import_module(f"musterd.mcp.sdk{major}").SDK
    return sdk
