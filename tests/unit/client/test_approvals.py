"""What a client takes for its own decision when the server says that an approval is decided already."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from musterd.client import Approval, Client, Conflict
from musterd.client.approvals import resolve_as_decided
from musterd.client.decisions import Decision
from musterd.client.requests import Requests

VALUES = {"copies": 3, "to": ["ana", "bo"]}


def stored(status: str, data: dict[str, Any] | None) -> httpx2.MockTransport:
    """A server on which the approval has this decision already."""
    approval = {"id": "a1", "run_id": "r1", "session_id": "s1", "status": status, "resolved_by": "ana"}

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            return httpx2.Response(409, json={"detail": f"Approval is already '{status}' by ana"})
        return httpx2.Response(200, json={**approval, "resolution_data": data})

    return httpx2.MockTransport(answer)


def client_of(transport: httpx2.MockTransport) -> Client:
    return Client(http=httpx2.Client(base_url="http://host", transport=transport))


Decide = Callable[[Client], Approval]


def approve(**options: Any) -> Decide:
    return lambda client: client.approvals.approve("a1", **options)


def reject(**options: Any) -> Decide:
    return lambda client: client.approvals.reject("a1", **options)


@pytest.mark.parametrize(
    ("decide", "status", "data"),
    [
        (approve(), "approved", None),
        (approve(values=VALUES), "approved", {"values": {"to": ["ana", "bo"], "copies": 3}}),
        (approve(values={"to": ("ana",)}), "approved", {"values": {"to": ["ana"]}}),
        (approve(result="sent"), "approved", {"result": "sent"}),
        (reject(note="no"), "rejected", {"note": "no"}),
    ],
)
def test_the_same_decision_was_stored_by_an_earlier_try(
    decide: Decide, status: str, data: dict[str, Any] | None
) -> None:
    assert decide(client_of(stored(status, data))).status == status


@pytest.mark.parametrize(
    ("decide", "status", "data"),
    [
        (approve(values=VALUES), "approved", None),
        (approve(values=VALUES), "approved", {"values": {"copies": 2, "to": ["ana", "bo"]}}),
        (approve(values={"is_new": True}), "approved", {"values": {"is_new": 1}}),
        (approve(), "approved", {"values": VALUES}),
        (approve(result="sent"), "approved", {"result": "lost"}),
        (reject(note="no"), "rejected", {"note": "later"}),
        (reject(note="no"), "approved", None),
        (approve(resolved_by="bo"), "approved", None),
    ],
)
def test_another_decision_is_a_conflict(decide: Decide, status: str, data: dict[str, Any] | None) -> None:
    with pytest.raises(Conflict, match="already"):
        decide(client_of(stored(status, data)))


def test_a_decision_about_a_requirement_is_compared_as_well() -> None:
    item = {"id": "a1", "confirmation": True, "user_input_schema": [{"name": "copies", "value": 3}]}

    def decide(client: Client) -> Approval:
        requests = Requests(client._driver.http, retry_seconds=0)
        return client._driver.call(resolve_as_decided(requests, Decision("requirements", item, is_for_inbox=True)))

    assert decide(client_of(stored("approved", {"values": {"copies": 3}}))).status == "approved"
    with pytest.raises(Conflict):
        decide(client_of(stored("approved", None)))
