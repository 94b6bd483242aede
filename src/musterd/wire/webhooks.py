"""What webhooks are sent, and deliveries as they are listed. All of it is ours: AgentOS has no webhooks."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.approvals import Approval
from musterd.core.deliveries import Delivery, DeliveryState, WebhookEvent
from musterd.core.jsontypes import Json
from musterd.core.requirements import Requirement
from musterd.core.states import RunState
from musterd.core.webhook_addresses import redacted_url
from musterd.wire.approvals import approval_object
from musterd.wire.requirements import requirement_objects
from musterd.wire.states import STATUS
from musterd.wire.times import iso_micros


class WebhookDelivery(TypedDict):
    """A delivery, without its message."""

    id: Annotated[str, Field(description="The message's id, the same for each attempt.")]
    type: WebhookEvent
    url: Annotated[str, Field(description="The receiver; path and query are left out.")]
    run_id: str
    session_id: str
    state: DeliveryState
    attempts: int
    created_at: str
    next_attempt_at: str | None
    ended_at: str | None
    last_status: Annotated[int | None, Field(description="The status of the receiver's last answer.")]
    last_error: Annotated[str | None, Field(description="Why the last attempt failed.")]


class WebhookDeliveryDetail(WebhookDelivery):
    """A delivery with its message."""

    payload: dict[str, Any]


class WebhookDeliveryMeta(TypedDict):
    """Where a page of deliveries stands in the list."""

    limit: int
    next_before: Annotated[str | None, Field(description="The `before` of the next page; null: there is none.")]


class WebhookDeliveryPage(TypedDict):
    """A page of deliveries."""

    data: list[WebhookDelivery]
    meta: WebhookDeliveryMeta


_STATE = {
    WebhookEvent.RUN_COMPLETED: RunState.COMPLETED,
    WebhookEvent.RUN_ERROR: RunState.ERROR,
    WebhookEvent.RUN_CANCELLED: RunState.CANCELLED,
    WebhookEvent.RUN_PAUSED: RunState.PAUSED,
    WebhookEvent.APPROVAL_PENDING: RunState.RUNNING,
}
"""Where the run stood as it happened."""


def message(delivery: Delivery, content: Mapping[str, Json] | None = None) -> dict[str, Any]:
    """The message of a delivery: the same at each try.

    :param content: ``content`` and ``content_type`` of the answer, if the settings include it.
    """
    data: dict[str, Any] = {
        "run_id": delivery.run_id,
        "session_id": delivery.session_id,
        f"{delivery.component_kind}_id": delivery.component_id,
        "status": STATUS[_STATE[delivery.happening]],
        "attempts": delivery.run_attempts,
        "path": _path_of_run(delivery),
    }
    if delivery.user_id is not None:
        data["user_id"] = delivery.user_id
    facts = delivery.facts
    if "error" in facts:
        data["error"] = facts["error"]
    if "requirements" in facts:
        data["requirements"] = requirement_objects(facts["requirements"], delivery.run_id)
    if "approval" in facts:
        data["approval"] = approval_object(_opened(delivery))
    data.update(content or {})
    return {"type": delivery.happening.value, "timestamp": iso_micros(delivery.created_at), "data": data}


def delivery_object(delivery: Delivery) -> WebhookDelivery:
    """A delivery as it is listed: path and query of the URL are left out, for they may hold a secret."""
    is_pending = delivery.state is DeliveryState.PENDING
    return {
        "id": delivery.id,
        "type": delivery.happening,
        "url": redacted_url(delivery.url),
        "run_id": delivery.run_id,
        "session_id": delivery.session_id,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "created_at": iso_micros(delivery.created_at),
        "next_attempt_at": iso_micros(delivery.due_at) if is_pending else None,
        "ended_at": None if delivery.ended_at is None else iso_micros(delivery.ended_at),
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
    }


def delivery_page(deliveries: Sequence[Delivery], limit: int) -> WebhookDeliveryPage:
    """A page of deliveries, with the ``before`` of the next one.

    :param deliveries: one more than the page holds, if there is a next page.
    """
    page = deliveries[:limit]
    return {
        "data": [delivery_object(delivery) for delivery in page],
        "meta": {"limit": limit, "next_before": page[-1].id if len(deliveries) > len(page) else None},
    }


def delivery_detail(delivery: Delivery) -> WebhookDeliveryDetail:
    """A delivery with its message, without the answer's content."""
    return {**delivery_object(delivery), "payload": message(delivery)}


def _path_of_run(delivery: Delivery) -> str:
    """Where the run is asked for."""
    component = f"{delivery.component_kind}s/{quote(delivery.component_id, safe='')}"
    session = quote(delivery.session_id, safe="")
    return f"/{component}/runs/{quote(delivery.run_id, safe='')}?session_id={session}"


def _opened(delivery: Delivery) -> Approval:
    """The approval as it was when it was opened."""
    requirement = Requirement.from_json(delivery.facts["approval"])
    return Approval(
        requirement=requirement,
        status="pending",
        root_id=delivery.run_id,
        session_id=delivery.session_id,
        user_id=delivery.user_id,
        run_state=RunState.RUNNING,
        source_type=delivery.component_kind,
        source_id=delivery.component_id,
        source_name=delivery.component_name,
        created_at=requirement.created_at,
        expires_at=requirement.expires_at,
        schedule_id=delivery.schedule_id,
        firing_id=delivery.firing_id,
    )
