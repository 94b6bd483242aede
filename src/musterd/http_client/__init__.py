"""Outgoing HTTP connections: webhooks, token keys (JWKS), model providers, MCP servers, contents of knowledge bases.

All of them are aiohttp connections with a limit on what a server may send around a response body (``connector``). SDKs
written for httpx use them through ``httpx_transport``.
"""

from musterd.http_client.checked_resolver import CheckedResolver, NotAllowed
from musterd.http_client.connector import BoundedConnector, FramingTooLong
from musterd.http_client.proxies import proxy_for

__all__ = ["BoundedConnector", "CheckedResolver", "FramingTooLong", "NotAllowed", "proxy_for"]
