"""Version 2 of the SDK."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, TypeVar

import httpx2
from mcp import Client, MCPError
from mcp.client.stdio import get_default_environment
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp.types import CONNECTION_CLOSED, CallToolResult, Implementation, TextContent
from mcp_types import jsonrpc_message_adapter
from pydantic import ValidationError

import musterd
from musterd.core.jsontypes import JsonObject
from musterd.mcp.sdk import OnProgress, SdkError, Transport, UnreadableAnswer, problem_in

T = TypeVar("T")


class _Session:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def list_tools(self, cursor: str | None) -> JsonObject:
        page = await _answer(self._client.list_tools(cursor=cursor))
        listing: JsonObject = page.model_dump(by_alias=True, mode="json", exclude_none=True)
        return listing

    async def call_tool(
        self, name: str, arguments: JsonObject, meta: JsonObject, on_progress: OnProgress
    ) -> tuple[str, bool]:
        result = await _answer(
            self._client.call_tool(name, arguments, progress_callback=on_progress, meta=meta)  # type: ignore[arg-type]
        )
        text = "".join(block.text for block in result.content if isinstance(block, TextContent))
        return text, bool(result.is_error)


class _Sdk:
    CONNECTION_CLOSED = CONNECTION_CLOSED
    httpx = httpx2

    @contextlib.asynccontextmanager
    async def connected(self, transport: Transport) -> AsyncIterator[_Session]:
        info = Implementation(name="musterd", version=musterd.__version__)
        async with contextlib.AsyncExitStack() as stack:
            client = await _answer(stack.enter_async_context(Client(transport, client_info=info)))
            # It would fetch the list of tools after a successful call, to validate the result.
            client.session.validate_tool_result = _accept  # type: ignore[method-assign]
            yield _Session(client)

    def http_transport(self, url: str, client: Any) -> Transport:
        return streamable_http_client(url, http_client=client, max_sse_event_size=None)

    def message(self, message: JsonObject) -> SessionMessage:
        return SessionMessage(jsonrpc_message_adapter.validate_python(message, by_name=False))

    def text_of(self, message: SessionMessage) -> str:
        return message.message.model_dump_json(by_alias=True, exclude_unset=True)

    def default_environment(self) -> Mapping[str, str]:
        return get_default_environment()


async def _accept(name: str, result: CallToolResult) -> None:
    """Accept any result."""


async def _answer(request: Awaitable[T]) -> T:
    try:
        return await request
    except MCPError as error:
        raise SdkError(error.code, error.message, error.data) from error
    except (ValidationError, RuntimeError) as error:
        raise UnreadableAnswer(problem_in(error)) from error


SDK = _Sdk()
