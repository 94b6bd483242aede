"""The operations on deliveries to webhooks."""

from pydantic import Field
from starlette.responses import Response

from musterd.core.callers import Caller
from musterd.core.deliveries import DeliveryFilter, DeliveryState
from musterd.http.operation import Answer, operation
from musterd.http.parameters import Identifier, Query
from musterd.http.responses import json_answer
from musterd.http.server import Server
from musterd.wire.pages import PAGE_LIMIT
from musterd.wire.webhooks import (
    WebhookDelivery,
    WebhookDeliveryDetail,
    WebhookDeliveryPage,
    delivery_detail,
    delivery_object,
    delivery_page,
)

_TAG = "Webhooks"
_READ = "webhooks:read"
_NOT_FOUND = {404: "Delivery not found"}


class DeliveriesQuery(Query):
    """The query of ``GET /webhooks/deliveries``."""

    run_id: Identifier | None = Field(None, description="Only of this run")
    state: DeliveryState | None = Field(None, description="Only those in this state")
    before: Identifier | None = Field(None, description="Only those older than this delivery: `meta.next_before`")
    limit: int = Field(50, ge=1, le=PAGE_LIMIT, description="Deliveries on a page")


@operation(
    "GET",
    "/webhooks/deliveries",
    "list_webhook_deliveries",
    scope=_READ,
    tag=_TAG,
    summary="List Webhook Deliveries",
)
async def list_deliveries(server: Server, caller: Caller, query: DeliveriesQuery) -> WebhookDeliveryPage:
    """List deliveries, newest first: what is still to be sent, and what became of the others."""
    limit = query.limit + 1  # the one more says whether there is a next page
    conditions = DeliveryFilter(run_id=query.run_id, state=query.state, before=query.before, limit=limit)
    return delivery_page(await server.deliveries.search(conditions, caller), query.limit)


@operation(
    "GET",
    "/webhooks/deliveries/{delivery_id}",
    "get_webhook_delivery",
    scope=_READ,
    tag=_TAG,
    summary="Get Webhook Delivery",
    errors=_NOT_FOUND,
)
async def get_delivery(server: Server, caller: Caller, delivery_id: str) -> WebhookDeliveryDetail:
    """Get one delivery with its message. Its id is the header `webhook-id` of the message."""
    return delivery_detail(await server.deliveries.view(delivery_id, caller))


@operation(
    "POST",
    "/webhooks/deliveries/{delivery_id}/redeliver",
    "redeliver_webhook",
    scope="webhooks:write",
    tag=_TAG,
    summary="Redeliver Webhook",
    errors=_NOT_FOUND,
    other_answers={202: Answer(WebhookDelivery)},
)
async def redeliver(server: Server, caller: Caller, delivery_id: str) -> Response:
    """Send a delivery again at once, under the same id and with a new count of attempts."""
    server.require_ready()
    return json_answer(delivery_object(await server.deliveries.redeliver(delivery_id, caller)), 202)


OPERATIONS = [list_deliveries, get_delivery, redeliver]
