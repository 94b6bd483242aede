"""Version 1 of the SDK. It is untyped here, because mypy runs with version 2 installed."""

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

import musterd
from musterd.core.jsontypes import JsonObject
from musterd.mcp.sdk import OnProgress, SdkError, Transport, UnreadableAnswer, problem_in

mcp: Any = importlib.import_module("mcp")
types: Any = importlib.import_module("mcp.types")
shared: Any = importlib.import_module("mcp.shared.message")
stdio: Any = importlib.import_module("mcp.client.stdio")
streamable_http: Any = importlib.import_module("mcp.client.streamable_http")

T = TypeVar("T")


class _Session:
    def __init__(self, session: Any, ended: asyncio.Event) -> None:
        self._session = session
        self._ended = ended

    async def list_tools(self, cursor: str | None) -> JsonObject:
        params = types.PaginatedRequestParams(cursor=cursor)
        page = await self._answer_in_session(self._session.list_tools(params=params))
        listing: JsonObject = page.model_dump(by_alias=True, mode="json", exclude_none=True)
        return listing

    async def call_tool(
        self, name: str, arguments: JsonObject, meta: JsonObject, on_progress: OnProgress
    ) -> tuple[str, bool]:
        params = types.CallToolRequestParams(name=name, arguments=arguments, _meta=types.RequestParams.Meta(**meta))
        # Not call_tool: that fetches the list of tools afterwards, to validate the result.
        result = await self._answer_in_session(
            self._session.send_request(
                types.ClientRequest(types.CallToolRequest(params=params)),
                types.CallToolResult,
                progress_callback=on_progress,
            )
        )
        return "".join(block.text for block in result.content if block.type == "text"), bool(result.isError)

    async def _answer_in_session(self, request: Awaitable[T]) -> T:
        """The answer to a request. Fails if the session ends first, which the SDK does not always report."""
        answer = asyncio.ensure_future(_answer(request))
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait([answer, ended], return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise SdkError(types.CONNECTION_CLOSED, "Connection closed", None)
            return answer.result()
        finally:
            ended.cancel()
            answer.cancel()


class _Sdk:
    CONNECTION_CLOSED = types.CONNECTION_CLOSED
    httpx = importlib.import_module("httpx")

    @contextlib.asynccontextmanager
    async def connected(self, transport: Transport) -> AsyncIterator[_Session]:
        info = types.Implementation(name="musterd", version=musterd.__version__)
        ended = asyncio.Event()
        async with transport as streams, mcp.ClientSession(*streams[:2], client_info=info) as session:
            try:
                await _answer(session.initialize())
                yield _Session(session, ended)
            finally:
                ended.set()

    def http_transport(self, url: str, client: Any) -> Transport:
        transport: Transport = streamable_http.streamable_http_client(url, http_client=client)
        return transport

    def message(self, message: JsonObject) -> Any:
        return shared.SessionMessage(types.JSONRPCMessage.model_validate(message))

    def text_of(self, message: Any) -> str:
        return str(message.message.model_dump_json(by_alias=True, exclude_none=True))

    def default_environment(self) -> Mapping[str, str]:
        variables: Mapping[str, str] = stdio.get_default_environment()
        return variables


async def _answer(request: Awaitable[T]) -> T:
    try:
        return await request
    except mcp.McpError as error:
        raise SdkError(error.error.code, error.error.message, error.error.data) from error
    except (ValidationError, RuntimeError) as error:
        raise UnreadableAnswer(problem_in(error)) from error


SDK = _Sdk()
