"""What webhooks are sent, and deliveries as they are listed. All of it is ours: AgentOS has no webhooks."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from musterd.core.approvals import Approval
from musterd.core.deliveries import Delivery, DeliveryFilter, DeliveryState, Happening
from musterd.core.jsontypes import Json
from musterd.core.requirements import Requirement
from musterd.core.states import RunState
from musterd.core.webhook_addresses import shown
from musterd.wire.approvals import approval_object
from musterd.wire.fields import Fields
from musterd.wire.pages import Pages
from musterd.wire.requirements import requirement_objects
from musterd.wire.states import STATUS
from musterd.wire.times import iso_micros

PAGES = Pages(default=50)

_STATE = {
    Happening.RUN_COMPLETED: RunState.COMPLETED,
    Happening.RUN_ERROR: RunState.ERROR,
    Happening.RUN_CANCELLED: RunState.CANCELLED,
    Happening.RUN_PAUSED: RunState.PAUSED,
    Happening.APPROVAL_PENDING: RunState.RUNNING,
}
"""Where the run stood as it happened."""


def message(delivery: Delivery, content: Mapping[str, Json] | None = None) -> dict[str, Any]:
    """The message of a delivery: the same at each try.

    :param content: ``content`` and ``content_type`` of the answer, where webhooks are told it.
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


def delivery_object(delivery: Delivery) -> dict[str, Any]:
    """A delivery as it is listed: path and query of the URL are left out, for they may hold a secret."""
    is_pending = delivery.state is DeliveryState.PENDING
    return {
        "id": delivery.id,
        "type": delivery.happening.value,
        "url": shown(delivery.url),
        "run_id": delivery.run_id,
        "session_id": delivery.session_id,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "created_at": iso_micros(delivery.created_at),
        "next_attempt_at": iso_micros(delivery.due_at) if is_pending else None,
        "ended_at": None if delivery.ended_at is None else iso_micros(delivery.ended_at),
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
    }


def delivery_page(found: Sequence[Delivery], wanted: DeliveryFilter) -> dict[str, Any]:
    """A page of deliveries, with the ``before`` of the next one.

    :param found: one more than the page has, where there is a next one.
    """
    listed = found[: wanted.limit]
    meta = {"limit": wanted.limit, "next_before": listed[-1].id if len(found) > len(listed) else None}
    return {"data": [delivery_object(one) for one in listed], "meta": meta}


def delivery_detail(delivery: Delivery) -> dict[str, Any]:
    """A delivery with its message, as it is sent where answers are not."""
    return {**delivery_object(delivery), "payload": message(delivery)}


def parse_deliveries_query(values: Mapping[str, str]) -> DeliveryFilter:
    """The query of ``GET /webhooks/deliveries``.

    :raises InvalidInput: with everything that is wrong.
    """
    fields = Fields(values, "query")
    state = fields.choice("state", tuple(DeliveryState))
    found = DeliveryFilter(
        run_id=fields.identifier("run_id"),
        state=None if state is None else DeliveryState(state),
        before=fields.identifier("before"),
        limit=PAGES.limit(fields),
    )
    fields.problems.raise_if_any()
    return found


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
    )
