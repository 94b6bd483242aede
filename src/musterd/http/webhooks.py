"""The operations on deliveries to webhooks."""

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from musterd.http.paths import path_identifier
from musterd.http.request_caller import caller_of
from musterd.http.responses import json_answer
from musterd.http.server import Server
from musterd.wire import webhooks as wire_webhooks


class WebhookOperations:
    """List, look, send again."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def list(self, request: Request) -> Response:
        """A page of deliveries, newest first."""
        wanted = wire_webhooks.parse_deliveries_query(request.query_params)
        one_more = replace(wanted, limit=wanted.limit + 1)  # it says whether there is a next page
        found = await self._server.deliveries.search(one_more, caller_of(request))
        return json_answer(wire_webhooks.delivery_page(found, wanted))

    async def get(self, request: Request) -> Response:
        """One delivery with its message."""
        found = await self._server.deliveries.view(path_identifier(request, "delivery_id"), caller_of(request))
        return json_answer(wire_webhooks.delivery_detail(found))

    async def redeliver(self, request: Request) -> Response:
        """Have one sent once more."""
        delivery_id = path_identifier(request, "delivery_id")
        self._server.require_ready()
        found = await self._server.deliveries.redeliver(delivery_id, caller_of(request))
        return json_answer(wire_webhooks.delivery_object(found), 202)
