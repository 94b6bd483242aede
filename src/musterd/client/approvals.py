"""Approvals: the inbox of the decisions that runs wait for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from .errors import Conflict
from .flows import D, Flow, Resource, StreamFlow, call, stream_call
from .json_values import is_same_json
from .paging import Page, PagedList
from .requests import Requests, path_of
from .wire_record import WireRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .decisions import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval(WireRecord):
    """A decision that a run waits for, or has waited for.

    :param status: ``pending``, ``approved``, ``rejected``, ``expired`` or ``cancelled``.
    :param pause_type: ``confirmation``, ``user_input``, ``external_execution`` or ``unknown_outcome``.
    :param member_name: the member that made the call, if it was not the run itself.
    :param expires_at: when the default decision applies, or the run fails; unix time.
    """

    id: str
    run_id: str
    session_id: str
    status: str
    pause_type: str | None
    tool_name: str | None
    tool_args: dict[str, Any] | None
    member_name: str | None
    task: str | None
    expires_at: int | None
    resolved_by: str | None
    created_at: int | None


class ApprovalFilters(TypedDict, total=False):
    """Which approvals are listed.

    :param status: by default ``pending``, those that wait; None: all.
    :param pause_type: as that of an :class:`Approval`.
    """

    status: str | None
    run_id: str | None
    team_id: str | None
    agent_id: str | None
    workflow_id: str | None
    user_id: str | None
    pause_type: str | None


_LIST = PagedList("/approvals", Approval, "id")


class Approvals(Resource[D]):
    """The decisions that runs wait for, or have waited for."""

    @call
    def list(self, *, limit: int = 100, page: int = 1, **filters: Unpack[ApprovalFilters]) -> Flow[Page[Approval]]:
        """List approvals, newest first; without a filter those that wait.

        :param filters: :class:`ApprovalFilters`.
        """
        approvals = yield from _LIST.page(self._requests, _query(filters), limit, page)
        return approvals

    @stream_call
    def all(self, **filters: Unpack[ApprovalFilters]) -> StreamFlow[Approval]:
        """All approvals, newest first, each once, also if they are decided meanwhile.

        :param filters: :class:`ApprovalFilters`.
        """
        yield from _LIST.all(self._requests, _query(filters))

    @call
    def get(self, approval_id: str) -> Flow[Approval]:
        """Get one approval."""
        raw = yield from self._requests.json("GET", path_of("approvals", approval_id))
        return Approval.of(raw)

    @call
    def approve(
        self,
        approval_id: str,
        *,
        values: Mapping[str, Any] | None = None,
        result: str | None = None,
        resolved_by: str | None = None,
    ) -> Flow[Approval]:
        """Let the call be made.

        :param values: arguments that are filled in or changed.
        :param result: of a call that was made elsewhere.
        :param resolved_by: who decides; with a token, its user does.
        """
        approval = yield from _resolve(
            self._requests, approval_id, "approved", resolved_by, {"values": values, "result": result}
        )
        return approval

    @call
    def reject(self, approval_id: str, *, note: str | None = None, resolved_by: str | None = None) -> Flow[Approval]:
        """Do not let the call be made.

        :param note: the reason, which the model reads.
        """
        approval = yield from _resolve(self._requests, approval_id, "rejected", resolved_by, {"note": note})
        return approval


def _query(filters: ApprovalFilters) -> dict[str, Any]:
    return {"status": "pending", **filters}


def resolve_as_decided(requests: Requests, decision: Decision) -> Flow[Approval]:
    """Store a decision about a requirement as that of its approval, which has the same id."""
    item = decision.item
    if item.get("confirmation") is False:
        approval = yield from _resolve(requests, item["id"], "rejected", None, {"note": item.get("confirmation_note")})
        return approval
    values = {entry["name"]: entry["value"] for entry in item.get("user_input_schema") or ()}
    values |= {entry["question"]: entry["selected_options"] for entry in item.get("user_feedback_schema") or ()}
    data = {"values": values or None, "result": item.get("external_execution_result")}
    approval = yield from _resolve(requests, item["id"], "approved", None, data)
    return approval


def _resolve(
    requests: Requests, approval_id: str, status: str, by: str | None, data: Mapping[str, Any]
) -> Flow[Approval]:
    data = {name: value for name, value in data.items() if value is not None}
    body = {"status": status, "resolved_by": by, "resolution_data": data or None}
    try:
        raw = yield from requests.json("POST", path_of("approvals", approval_id, "resolve"), json=body)
    except Conflict:
        # Either somebody else has decided, or this decision was stored and its answer was lost.
        raw = yield from requests.json("GET", path_of("approvals", approval_id))
        if (raw["status"], raw["resolved_by"]) != (status, by or raw["resolved_by"]):
            raise
        if not is_same_json(raw["resolution_data"], body["resolution_data"]):
            raise
    return Approval.of(raw)
