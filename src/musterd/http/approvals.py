"""The operations on approvals."""

from enum import StrEnum

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from musterd.core.approvals import ApprovalFilter, Resolution
from musterd.core.callers import Caller
from musterd.core.errors import InvalidInput
from musterd.http.operation import operation
from musterd.http.parameters import (
    Body,
    Identifier,
    JsonObjectField,
    PageQuery,
    Query,
    Text,
)
from musterd.http.server import Server
from musterd.wire.approvals import (
    ApprovalCountResponse,
    ApprovalResponse,
    ApprovalStatusResponse,
    approval_object,
    approval_status,
)
from musterd.wire.pages import MAX_PAGES, PAGE_LIMIT
from musterd.wire.shapes import PaginatedResponse, page_of

_TAG = "Approvals"
_READ = "approvals:read"
_NOT_FOUND = {404: "Approval not found"}


class ApprovalStatus(StrEnum):
    """What became of an approval, as :data:`musterd.core.approvals.STATUSES` lists it."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class ApprovalType(StrEnum):
    """How a call's approval is recorded."""

    REQUIRED = "required"
    AUDIT = "audit"


class ApprovalOrder(StrEnum):
    """The order of a list of approvals."""

    CREATED_AT = "created_at"
    EXPIRES_AT = "expires_at"


class Decision(StrEnum):
    """What a person decides."""

    APPROVED = "approved"
    REJECTED = "rejected"


class ApprovalsQuery(PageQuery):
    """The query of ``GET /approvals``."""

    status: ApprovalStatus | None = Field(None, description="Only those with this status")
    source_type: Text | None = Field(None, description="Only in runs of a `team`, of an `agent` or of a `workflow`")
    approval_type: ApprovalType | None = Field(None, description="Only of this type")
    pause_type: Text | None = Field(
        None, description="`confirmation`, `user_input`, `external_execution` or `unknown_outcome`"
    )
    agent_id: Text | None = Field(None, description="Only calls of this agent, as a member too")
    team_id: Text | None = Field(None, description="Only in runs of this team")
    workflow_id: Text | None = Field(None, description="Only in runs of this workflow")
    user_id: Text | None = Field(None, description="Only in runs of this user")
    schedule_id: Text | None = Field(None, description="Only in runs that this schedule started")
    run_id: Text | None = Field(None, description="Only in this run")
    limit: int = Field(100, ge=1, le=PAGE_LIMIT, description="Approvals on a page")
    page: int = Field(1, ge=1, le=MAX_PAGES, description="The page, from 1")
    sort_by: ApprovalOrder = Field(
        ApprovalOrder.CREATED_AT,
        description="`created_at`: newest first; `expires_at`, only with `status=pending`: what expires first, and "
        "what never does last",
    )

    @field_validator("sort_by")
    @classmethod
    def _require_pending(cls, order: ApprovalOrder, info: ValidationInfo) -> ApprovalOrder:
        # No index has this order, and only those that wait are few enough to sort.
        if order is ApprovalOrder.EXPIRES_AT and info.data.get("status") is not ApprovalStatus.PENDING:
            raise PydanticCustomError("value_error", "Only pending approvals expire: give `status=pending` too")
        return order

    def filter(self) -> ApprovalFilter:
        """What to list."""
        return ApprovalFilter(
            status=self.status,
            approval_type=self.approval_type,
            pause_type=self.pause_type,
            source_type=self.source_type,
            agent_id=self.agent_id,
            team_id=self.team_id,
            workflow_id=self.workflow_id,
            user_id=self.user_id,
            schedule_id=self.schedule_id,
            run_id=self.run_id,
            sort_by=self.sort_by,
            limit=self.limit,
            page=self.page,
        )


class CountQuery(Query):
    """The query of ``GET /approvals/count``."""

    user_id: Text | None = Field(None, description="Only in runs of this user")


_DATA_TYPES = (("values", dict, "a JSON object"), ("result", str, "a text"), ("note", str, "a text"))


class ApprovalResolve(Body):
    """A decision about an approval."""

    status: Decision
    resolved_by: Identifier | None = Field(None, description="Who decides; a user that a token proves has precedence.")
    resolution_data: JsonObjectField | None = Field(
        None,
        description="`values` for a call that needs input or is approved with other arguments, `result` of a call that "
        "was done elsewhere, `note` for the model.",
    )

    def resolution(self) -> Resolution:
        """The decision.

        :raises InvalidInput: a part of ``resolution_data`` has the wrong type.
        """
        data = self.resolution_data
        for name, kind, words in _DATA_TYPES:
            value = None if data is None else data.get(name)
            if value is not None and not isinstance(value, kind):
                where = ("body", "resolution_data", name)
                raise InvalidInput.at(where, f"{kind.__name__}_type", f"Input should be {words}")
        return Resolution(is_approved=self.status is Decision.APPROVED, by=self.resolved_by, data=data)


@operation(
    "GET",
    "/approvals",
    "list_approvals_approvals_get",
    scope=_READ,
    tag=_TAG,
    summary="List Approvals",
    is_tagged=True,
)
async def list_approvals(server: Server, caller: Caller, query: ApprovalsQuery) -> PaginatedResponse[ApprovalResponse]:
    """List approvals, by default newest first: tool calls that wait for a person, and past decisions.

    Audit approvals are listed once they are decided.
    """
    page, total = await server.approvals.search(query.filter(), caller)
    return page_of([approval_object(approval) for approval in page], total, page=query.page, limit=query.limit)


@operation(
    "GET",
    "/approvals/count",
    "get_approval_count_approvals_count_get",
    scope=_READ,
    tag=_TAG,
    summary="Get Approval Count",
    is_tagged=True,
)
async def count_approvals(server: Server, caller: Caller, query: CountQuery) -> ApprovalCountResponse:
    """Count pending approvals."""
    return {"count": await server.approvals.count(ApprovalFilter(status="pending", user_id=query.user_id), caller)}


@operation(
    "GET",
    "/approvals/{approval_id}",
    "get_approval_approvals__approval_id__get",
    scope=_READ,
    tag=_TAG,
    summary="Get Approval",
    errors=_NOT_FOUND,
)
async def get_approval(server: Server, caller: Caller, approval_id: str) -> ApprovalResponse:
    """Get one approval."""
    return approval_object(await server.approvals.view(approval_id, caller))


@operation(
    "DELETE",
    "/approvals/{approval_id}",
    "delete_approval_approvals__approval_id__delete",
    scope="approvals:delete",
    tag=_TAG,
    summary="Delete Approval",
    errors={**_NOT_FOUND, 409: "Its run still needs it"},
)
async def delete_approval(server: Server, caller: Caller, approval_id: str) -> None:
    """Delete the record of an approval whose run has finished."""
    await server.approvals.delete(approval_id, caller)


@operation(
    "GET",
    "/approvals/{approval_id}/status",
    "get_approval_status_approvals__approval_id__status_get",
    scope=_READ,
    tag=_TAG,
    summary="Get Approval Status",
    errors=_NOT_FOUND,
)
async def get_status(server: Server, caller: Caller, approval_id: str) -> ApprovalStatusResponse:
    """Get the status of an approval: who decided, and when."""
    return approval_status(await server.approvals.view(approval_id, caller))


@operation(
    "POST",
    "/approvals/{approval_id}/resolve",
    "resolve_approval_approvals__approval_id__resolve_post",
    scope="approvals:write",
    tag=_TAG,
    summary="Resolve Approval",
    errors={**_NOT_FOUND, 409: "It is decided already; `detail` has the outcome"},
)
async def resolve_approval(server: Server, caller: Caller, approval_id: str, body: ApprovalResolve) -> ApprovalResponse:
    """Decide about a tool call. A paused run continues with the first decision; later ones get 409."""
    resolution = body.resolution()
    server.require_ready()
    return approval_object(await server.approvals.resolve(approval_id, resolution, caller))


OPERATIONS = [list_approvals, count_approvals, get_approval, delete_approval, get_status, resolve_approval]
