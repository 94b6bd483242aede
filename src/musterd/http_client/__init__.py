"""Connections that musterd opens as an HTTP client: of webhooks, keys of tokens, model providers and MCP servers.

All of them are aiohttp's, with a ceiling on what a peer may send around a body (``connector``). SDKs that speak httpx
get theirs through ``httpx_transport``.
"""

from musterd.http_client.connector import BoundedConnector, FramingTooLong
from musterd.http_client.proxies import proxy_for

__all__ = ["BoundedConnector", "FramingTooLong", "proxy_for"]
