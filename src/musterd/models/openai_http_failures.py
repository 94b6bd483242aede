"""Translates failures of a call into the SDK's own exceptions, which pydantic-ai and its users expect."""

import aiohttp
import httpx2
from openai import APIConnectionError, APITimeoutError
from yarl import URL

_TRANSFER_HEADERS = frozenset({"content-encoding", "content-length", "transfer-encoding"})


def as_request(url: URL) -> httpx2.Request:
    """The request for an exception: its address without its headers, which contain the API key."""
    return httpx2.Request("POST", str(url))


def as_response(answer: aiohttp.ClientResponse, body: bytes) -> httpx2.Response:
    """The answer for the SDK's exceptions.

    :param body: the decompressed body. The headers that describe its encoding are removed.
    """
    headers = [
        (name, value) for name, value in answer.raw_headers if name.decode("latin-1").lower() not in _TRANSFER_HEADERS
    ]
    return httpx2.Response(answer.status, headers=headers, content=body, request=as_request(answer.url))


def connection_error(error: aiohttp.ClientError | OSError, url: URL) -> APIConnectionError:
    """The SDK's exception for a connection that failed with ``error``."""
    request = as_request(url)
    sdk_error = APITimeoutError(request) if isinstance(error, TimeoutError) else APIConnectionError(request=request)
    sdk_error.__cause__ = error
    return sdk_error
