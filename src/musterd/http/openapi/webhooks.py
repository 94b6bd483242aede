"""The operations on deliveries to webhooks, and their shapes."""

from musterd.core.deliveries import DeliveryState, Happening
from musterd.http.openapi.answers import answer, errors
from musterd.http.openapi.described import (
    Described,
    Schema,
    free,
    in_path,
    in_query,
    many,
    nullable,
    record,
    ref,
    text,
    whole,
)
from musterd.http.openapi.query_parts import limit
from musterd.wire.webhooks import PAGES

_TAGS = ("Webhooks",)
_ID = in_path("delivery_id", "The delivery's id: the header `webhook-id` of its message")
_NOT_FOUND = {"_404": "Delivery not found"}
_STATES = [state.value for state in DeliveryState]

WEBHOOKS: dict[str, Described] = {
    "list_webhook_deliveries": Described(
        tags=_TAGS,
        summary="List Webhook Deliveries",
        description="A page of what webhooks are told, newest first: what is still to be sent, and what became of it.",
        parameters=[
            in_query("run_id", text("Only of this run", maxLength=255)),
            in_query("state", text("Only those that stand so", enum=_STATES)),
            in_query("before", text("Only those older than this delivery: `meta.next_before`", maxLength=255)),
            in_query("limit", limit(PAGES, "Deliveries on a page")),
        ],
        answers={"200": answer("The page", ref("WebhookDeliveryPage")), **errors("401", "422", "503")},
    ),
    "get_webhook_delivery": Described(
        tags=_TAGS,
        summary="Get Webhook Delivery",
        description="One delivery, with its message.",
        parameters=[_ID],
        answers={
            "200": answer("The delivery", ref("WebhookDeliveryDetail")),
            **errors("401", "422", "503", **_NOT_FOUND),
        },
    ),
    "redeliver_webhook": Described(
        tags=_TAGS,
        summary="Redeliver Webhook",
        description="Have a delivery sent at once, whatever became of it: with the same id, its tries counted anew.",
        parameters=[_ID],
        answers={
            "202": answer("It is sent", ref("WebhookDelivery")),
            **errors("401", "403", "413", "422", "503", **_NOT_FOUND),
        },
    ),
}

_TEXT = nullable(text())
_DELIVERY: dict[str, Schema] = {
    "id": text("The message's id, the same at each try."),
    "type": text("What it tells.", enum=[happening.value for happening in Happening]),
    "url": text("Where it is sent; path and query are left out."),
    "run_id": text(),
    "session_id": text(),
    "state": text(enum=_STATES),
    "attempts": whole("Tries so far."),
    "created_at": text("When it happened, ISO 8601."),
    "next_attempt_at": _TEXT,
    "ended_at": _TEXT,
    "last_status": nullable(whole("The status of the receiver's last answer.")),
    "last_error": nullable(text("Why the last try failed.")),
}
WEBHOOK_SCHEMAS: dict[str, Schema] = {
    "WebhookDelivery": record("WebhookDelivery", _DELIVERY),
    "WebhookDeliveryDetail": record(
        "WebhookDeliveryDetail", {**_DELIVERY, "payload": free("The message: `type`, `timestamp`, `data`.")}
    ),
    "WebhookDeliveryPage": record(
        "WebhookDeliveryPage",
        {
            "data": many(ref("WebhookDelivery")),
            "meta": record(
                "WebhookDeliveryMeta",
                {
                    "limit": whole(),
                    "next_before": nullable(text("The `before` of the next page; null: there is none.")),
                },
            ),
        },
    ),
}
