"""The operations on approvals, and their shapes."""

from musterd.core.approvals import STATUSES
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
from musterd.http.openapi.query_parts import paged
from musterd.wire.approvals import PAGES
from musterd.wire.states import STATUS

_TAGS = ("Approvals",)
_ID = in_path("approval_id", "The approval's id: that of the requirement")
_NOT_FOUND = {"_404": "Approval not found"}
_RESULT = {"200": answer("The approval", ref("ApprovalResponse"))}

APPROVALS: dict[str, Described] = {
    "list_approvals_approvals_get": Described(
        tags=_TAGS,
        summary="List Approvals",
        description="A page of approvals, newest first: what runs wait for, and what was decided. Audit approvals "
        "are listed once they are decided.",
        parameters=[
            in_query("status", text("What became of it", enum=list(STATUSES))),
            in_query("source_type", text("Only of runs of a `team`, or of an `agent`")),
            in_query("approval_type", text("Only of this type", enum=["required", "audit"])),
            in_query("pause_type", text("`confirmation`, `user_input`, `external_execution` or `unknown_outcome`")),
            in_query("agent_id", text("Only calls of this agent, as a member too")),
            in_query("team_id", text("Only in runs of this team")),
            in_query("workflow_id", text("There are no workflows: nothing is of one")),
            in_query("user_id", text("Only in runs of this user")),
            in_query("schedule_id", text("There are no schedules: nothing is of one")),
            in_query("run_id", text("Only in this run")),
            *paged(PAGES, "Approvals on a page"),
        ],
        answers={
            "200": answer("The page", ref("PaginatedResponse_ApprovalResponse_")),
            **errors("401", "422", "503"),
        },
    ),
    "get_approval_count_approvals_count_get": Described(
        tags=_TAGS,
        summary="Get Approval Count",
        description="How many approvals are pending.",
        parameters=[in_query("user_id", text("Only in runs of this user"))],
        answers={"200": answer("The count", ref("ApprovalCountResponse")), **errors("401", "422", "503")},
    ),
    "get_approval_approvals__approval_id__get": Described(
        tags=_TAGS,
        summary="Get Approval",
        description="One approval.",
        parameters=[_ID],
        answers={**_RESULT, **errors("401", "422", "503", **_NOT_FOUND)},
    ),
    "delete_approval_approvals__approval_id__delete": Described(
        tags=_TAGS,
        summary="Delete Approval",
        description="Remove the record of an approval whose run has ended.",
        parameters=[_ID],
        answers={
            "204": answer("It is removed"),
            **errors("401", "403", "413", "422", "503", _409="Its run still needs it", **_NOT_FOUND),
        },
    ),
    "get_approval_status_approvals__approval_id__status_get": Described(
        tags=_TAGS,
        summary="Get Approval Status",
        description="Where an approval stands, and who decided when.",
        parameters=[_ID],
        answers={
            "200": answer("Where it stands", ref("ApprovalStatusResponse")),
            **errors("401", "422", "503", **_NOT_FOUND),
        },
    ),
    "resolve_approval_approvals__approval_id__resolve_post": Described(
        tags=_TAGS,
        summary="Resolve Approval",
        description="Decide. A paused run goes on with the first decision; what came before stands.",
        parameters=[_ID],
        body={"required": True, "content": {"application/json": {"schema": ref("ApprovalResolve")}}},
        answers={
            **_RESULT,
            **errors(
                "401", "403", "413", "422", "503", _409="It is decided already; `detail` has the outcome", **_NOT_FOUND
            ),
        },
    ),
}

_TEXT, _WHOLE = nullable(text()), nullable(whole())
APPROVAL_SCHEMAS: dict[str, Schema] = {
    "ApprovalResponse": record(
        "ApprovalResponse",
        {
            "id": text(),
            "run_id": text("The run that a client asked for."),
            "session_id": text(),
            "status": text(enum=list(STATUSES)),
            "source_type": text("`team` or `agent`: what that run is of."),
            "approval_type": _TEXT,
            "pause_type": _TEXT,
            "tool_name": _TEXT,
            "tool_args": nullable(free()),
            "expires_at": _WHOLE,
            "agent_id": _TEXT,
            "team_id": _TEXT,
            "workflow_id": _TEXT,
            "user_id": _TEXT,
            "schedule_id": _TEXT,
            "schedule_run_id": _TEXT,
            "source_name": _TEXT,
            "requirements": nullable(many(free())),
            "context": nullable(free()),
            "resolution_data": nullable(free()),
            "resolved_by": _TEXT,
            "resolved_at": _WHOLE,
            "created_at": _WHOLE,
            "updated_at": _WHOLE,
            "run_status": nullable(text("Where that run stands.", enum=sorted(set(STATUS.values())))),
        },
    ),
    "PaginatedResponse_ApprovalResponse_": record(
        "PaginatedResponse[ApprovalResponse]", {"data": many(ref("ApprovalResponse")), "meta": ref("PaginationInfo")}
    ),
    "ApprovalCountResponse": record("ApprovalCountResponse", {"count": whole()}),
    "ApprovalStatusResponse": record(
        "ApprovalStatusResponse",
        {
            "approval_id": text(),
            "status": text(enum=list(STATUSES)),
            "run_id": text(),
            "resolved_at": _WHOLE,
            "resolved_by": _TEXT,
        },
    ),
    "ApprovalResolve": record(
        "ApprovalResolve",
        {
            "status": text(enum=["approved", "rejected"]),
            "resolved_by": nullable(text("Who decides; a proved user comes before it.", maxLength=255)),
            "resolution_data": nullable(
                free(
                    "`values` for a call that needs input or is approved with other arguments, `result` of one done "
                    "elsewhere, `note` for the model."
                )
            ),
        },
        optional=["resolved_by", "resolution_data"],
    ),
}
