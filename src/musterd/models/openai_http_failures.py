"""What went wrong in a call, as the SDK's own exceptions: pydantic-ai and its users know those."""

import aiohttp
import httpx2
from openai import APIConnectionError, APITimeoutError
from yarl import URL

_UNDONE_HEADERS = frozenset({"content-encoding", "content-length", "transfer-encoding"})


def as_request(url: URL) -> httpx2.Request:
    """The request as exceptions carry it: where it went, without its headers, which hold the key."""
    return httpx2.Request("POST", str(url))


def as_response(answer: aiohttp.ClientResponse, body: bytes) -> httpx2.Response:
    """The answer as the SDK's exceptions carry it.

    :param body: as it is after decompression; the headers that told of its wire form are left out.
    """
    headers = [
        (name, value) for name, value in answer.raw_headers if name.decode("latin-1").lower() not in _UNDONE_HEADERS
    ]
    return httpx2.Response(answer.status, headers=headers, content=body, request=as_request(answer.url))


def connection_error(error: aiohttp.ClientError | OSError, url: URL) -> APIConnectionError:
    """The SDK's exception for a call that failed below HTTP, caused by ``error``."""
    request = as_request(url)
    told = APITimeoutError(request) if isinstance(error, TimeoutError) else APIConnectionError(request=request)
    told.__cause__ = error
    return told
