"""The operations on service accounts, and their shapes."""

from musterd.core.scopes import ADMIN
from musterd.http.openapi.answers import answer, errors
from musterd.http.openapi.described import (
    Described,
    Schema,
    flag,
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
from musterd.wire.service_accounts import DEFAULT_DAYS, DEFAULT_SCOPES, MOST_DAYS, PAGES, SORTABLE

_TAGS = ("Service Accounts",)

SERVICE_ACCOUNTS: dict[str, Described] = {
    "list_service_accounts_service_accounts_get": Described(
        tags=_TAGS,
        summary="List Service Accounts",
        description="A page of service accounts. No token is in it: that of an account is shown once.",
        parameters=[
            in_query("include_revoked", flag("Whether revoked ones are listed too", default=True)),
            *paged(PAGES, "Accounts on a page"),
            in_query("sort_by", text(f"One of {', '.join(SORTABLE)}", default="created_at")),
            in_query("sort_order", text("`asc` or `desc`", default="desc")),
        ],
        answers={
            "200": answer("The page", ref("PaginatedResponse_ServiceAccountResponse_")),
            **errors("401", "422", "503"),
        },
    ),
    "create_service_account_service_accounts_post": Described(
        tags=_TAGS,
        summary="Create Service Account",
        description="Make an account for a program. `token` is in this answer and nowhere else: keep it.",
        body={"required": True, "content": {"application/json": {"schema": ref("ServiceAccountCreate")}}},
        answers={
            "201": answer("The account, with its token", ref("ServiceAccountCreateResponse")),
            **errors("401", "403", "413", "422", "503", _409="Another account has this name"),
        },
    ),
    "revoke_service_account_service_accounts__service_account_id__delete": Described(
        tags=_TAGS,
        summary="Revoke Service Account",
        description="Revoke an account: its token lets nobody in any more, and its open streams end. What it made "
        "stays, and its runs go on. Other processes on the same database follow within 5 seconds.",
        parameters=[in_path("service_account_id", "The account's id")],
        answers={
            "204": answer("It is revoked"),
            **errors("401", "403", "413", "422", "503", _404="Service account not found"),
        },
    ),
}

_TIME = nullable(whole("Unix seconds."))
_ACCOUNT: dict[str, Schema] = {
    "id": text(),
    "name": text(),
    "principal": text("The user that it is: the owner of what it makes.", examples=["service:ci"]),
    "user_id": nullable(text("The same.")),
    "token_prefix": text("The beginning of its token, to recognise it by."),
    "scopes": many(ref("ScopeSchema")),
    "created_at": whole("Unix seconds."),
    "created_by": nullable(text("The user that made it; null: whoever has the key, or the command line.")),
    "expires_at": _TIME,
    "last_used_at": nullable(whole("Unix seconds, to within some minutes.")),
    "revoked_at": _TIME,
}

SERVICE_ACCOUNT_SCHEMAS: dict[str, Schema] = {
    "ServiceAccountResponse": record("ServiceAccountResponse", _ACCOUNT),
    "ServiceAccountCreateResponse": record(
        "ServiceAccountCreateResponse", {**_ACCOUNT, "token": text("What it shows as a bearer token.")}
    ),
    "ServiceAccountCreate": record(
        "ServiceAccountCreate",
        {
            "name": text("Letters, digits, dots, dashes and underscores.", maxLength=63),
            "scopes": nullable(many(ref("ScopeItem"), f"Without any: {', '.join(DEFAULT_SCOPES)}.")),
            "expires_in_days": nullable(whole("", minimum=1, maximum=MOST_DAYS, default=DEFAULT_DAYS)),
            "never_expires": flag(default=False),
            "allow_privileged_scopes": flag(f"Whether `{ADMIN}` may be among the scopes.", default=False),
        },
        optional=["scopes", "expires_in_days", "never_expires", "allow_privileged_scopes"],
    ),
    "ScopeItem": record(
        "ScopeItem",
        {
            "scope": text("`resource:action`, or `resource:id:action`.", examples=["teams:run"]),
            "effect": text("What is not allowed is denied.", enum=["allow"], default="allow"),
        },
        optional=["effect"],
    ),
    "ScopeSchema": record(
        "ScopeSchema",
        {
            "raw": text("As it was given."),
            "namespace": text("The resource."),
            "sub_namespace": nullable(text("Always null.")),
            "id": nullable(text("The one resource that it is limited to.")),
            "permission": text("The action."),
            "value": text(enum=["allow"]),
        },
    ),
    "PaginatedResponse_ServiceAccountResponse_": record(
        "PaginatedResponse_ServiceAccountResponse_",
        {"data": many(ref("ServiceAccountResponse")), "meta": ref("PaginationInfo")},
    ),
}
