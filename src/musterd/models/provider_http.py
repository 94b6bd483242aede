"""Connections for the SDKs of providers that limit what a provider may send.

pydantic-ai creates an httpx client for most providers and gives it to their SDK. That client would decompress a small
answer to any size, and read endless headers. So its transport is replaced by one over musterd's bounded connections.
"""

import importlib
import inspect
from typing import Any

import aiohttp
import httpx2
from pydantic_ai.providers import Provider

from musterd.core.settings import Settings
from musterd.http_client.httpx_transport import httpx_transport
from musterd.models.answer_limits import ReceivedMeter
from musterd.models.openai_http_pool import Pool

EVENT_STREAM = "text/event-stream"


def limited_transport(library: Any, pool: Pool, settings: Settings) -> Any:
    """A transport for httpx clients whose answers are limited. Closing it closes ``pool``.

    :param library: ``httpx`` or ``httpx2``.
    """

    def measure(response: aiohttp.ClientResponse) -> Any:
        return ReceivedMeter(settings, is_stream=response.content_type == EVENT_STREAM).add

    return httpx_transport(library, pool.session, measure=measure, close=pool.close)


def limit_client(client: Any, url: str, settings: Settings) -> None:
    """Let an httpx client send over limited connections.

    :param url: the provider's address. It selects the proxy from the environment.
    :raises DeclarationError: the environment names a proxy of an unsupported kind.
    """
    library = httpx2 if isinstance(client, httpx2.AsyncClient) else importlib.import_module("httpx")
    pool = Pool(url, settings.model_calls, httpx2.create_ssl_context(verify=settings.tls_verify))
    # Not a new client, because SDKs and pydantic-ai set credentials and hooks on this one.
    client._transport = limited_transport(library, pool, settings)
    client._mounts = {}  # httpx's own transports to proxies


def limit_provider(provider: Provider[Any], settings: Settings) -> Provider[Any]:
    """Let a provider send over limited connections, and without its SDK's own retries.

    A provider without an httpx client of pydantic-ai (Bedrock, Hugging Face, xAI) keeps its SDK's connections.
    :mod:`musterd.models.call` retries and reports each retry.

    :raises DeclarationError: the environment names a proxy of an unsupported kind.
    """
    if hasattr(provider.client, "max_retries"):
        provider.client.max_retries = 0
    client, create_client = provider._own_http_client, provider._http_client_factory
    if client is None or create_client is None:
        return provider

    def create_limited_client() -> Any:
        created = create_client()
        limit_client(created, provider.base_url, settings)
        return created

    limit_client(client, provider.base_url, settings)
    provider._http_client_factory = create_limited_client  # for another event loop
    return provider


async def close_provider(provider: Provider[Any]) -> None:
    """Close a provider's connections."""
    if provider._own_http_client is not None:
        await provider._own_http_client.aclose()
        return
    close = getattr(provider.client, "close", None)
    if close is not None and inspect.isawaitable(closing := close()):
        await closing
