"""The operations on service accounts."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from starlette.responses import Response
from typing_extensions import TypedDict

from musterd.core.callers import Caller
from musterd.core.errors import InvalidInput
from musterd.core.scopes import ADMIN, Scopes, is_scope
from musterd.features.accounts.records import (
    DEFAULT_SCOPES,
    NAME_LENGTH,
    AccountFilter,
    NewAccount,
    ServiceAccount,
    is_account_name,
)
from musterd.features.accounts.service import AccountService
from musterd.http.feature import Feature
from musterd.http.operation import Answer, operation
from musterd.http.parameters import Body, PageQuery, Parameters, SortOrder, Text
from musterd.http.responses import json_answer
from musterd.wire.pages import MAX_PAGES
from musterd.wire.shapes import PaginatedResponse, page_of
from musterd.wire.times import whole_seconds

SORTABLE = ("created_at", "name", "expires_at", "last_used_at")
MAX_PAGE_SIZE = 100
MAX_SCOPES = 100
DEFAULT_DAYS, MAX_DAYS = 90, 3650

_TAG = "Service Accounts"


def _require_account_name(name: str) -> str:
    if not is_account_name(name):
        words = "Input should be 1 to 63 letters, digits, dots, dashes or underscores"
        raise PydanticCustomError("string_pattern_mismatch", words)
    return name


def _require_scope(scope: str) -> str:
    if not is_scope(scope):
        words = "Input should be resource:action, or resource:id:action"
        raise PydanticCustomError("string_pattern_mismatch", words)
    return scope


# --- requests -----------------------------------------------------------------------------------------


class AccountsQuery(PageQuery):
    """The query of ``GET /service-accounts``."""

    include_revoked: bool = Field(True, description="Whether to include revoked accounts")
    limit: int = Field(20, ge=1, le=MAX_PAGE_SIZE, description="Accounts per page")
    page: int = Field(1, ge=1, le=MAX_PAGES, description="The page, from 1")
    sort_by: Text = Field(SORTABLE[0], description=f"One of {', '.join(f'`{name}`' for name in SORTABLE)}")
    sort_order: SortOrder = SortOrder.DESC

    @property
    def filter(self) -> AccountFilter:
        """What to list. An unknown ``sort_by`` is the first one, as in AgentOS."""
        return AccountFilter(
            has_revoked=self.include_revoked,
            sort_by=self.sort_by if self.sort_by in SORTABLE else SORTABLE[0],
            is_descending=self.sort_order is SortOrder.DESC,
            limit=self.limit,
            page=self.page,
        )


class ScopeItem(Parameters):
    """A scope of a new account."""

    scope: Annotated[str, AfterValidator(_require_scope)] = Field(
        description="`resource:action`, or `resource:id:action`.", examples=["teams:run"]
    )
    effect: Literal["allow"] = Field("allow", description="Always `allow`; everything else is denied.")


class ServiceAccountCreate(Body):
    """The account to create."""

    name: Annotated[str, AfterValidator(_require_account_name)] = Field(
        description="Letters, digits, dots, dashes and underscores.", json_schema_extra={"maxLength": NAME_LENGTH}
    )
    scopes: list[ScopeItem] | None = Field(
        None, min_length=1, max_length=MAX_SCOPES, description=f"By default {', '.join(DEFAULT_SCOPES)}."
    )
    expires_in_days: int | None = Field(DEFAULT_DAYS, ge=1, le=MAX_DAYS)
    never_expires: bool = False
    allow_privileged_scopes: bool = Field(False, description=f"Whether the scopes may include `{ADMIN}`.")

    def account(self) -> NewAccount:
        """The account to create.

        :raises InvalidInput: a scope allows everything, and ``allow_privileged_scopes`` is not set.
        """
        scopes = DEFAULT_SCOPES if self.scopes is None else [item.scope for item in self.scopes]
        if ADMIN in scopes and not self.allow_privileged_scopes:
            words = f"{ADMIN} allows everything and requires allow_privileged_scopes"
            raise InvalidInput.at(("body", "scopes", scopes.index(ADMIN), "scope"), "value_error", words)
        days = None if self.never_expires else self.expires_in_days
        return NewAccount(name=self.name, scopes=Scopes.of(scopes), days=days)


# --- answers ------------------------------------------------------------------------------------------


class ScopeSchema(TypedDict):
    """A scope of an account."""

    raw: Annotated[str, Field(description="The scope as requested.")]
    namespace: Annotated[str, Field(description="The resource.")]
    sub_namespace: Annotated[str | None, Field(description="Always null.")]
    id: Annotated[str | None, Field(description="The id of the resource to which the scope is limited.")]
    permission: Annotated[str, Field(description="The action.")]
    value: Literal["allow"]


UnixTime = Annotated[int | None, Field(description="Unix seconds.")]


class ServiceAccountResponse(TypedDict):
    """One service account."""

    id: str
    name: str
    principal: Annotated[
        str,
        Field(description="The user id of the account, which owns what the account creates.", examples=["service:ci"]),
    ]
    user_id: Annotated[str | None, Field(description="The same as `principal`.")]
    token_prefix: Annotated[str, Field(description="The first characters of its token, for identification.")]
    scopes: list[ScopeSchema]
    created_at: Annotated[int, Field(description="Unix seconds.")]
    created_by: Annotated[
        str | None,
        Field(
            description="The user that created it; null if it was created with the security key or on the command line."
        ),
    ]
    expires_at: UnixTime
    last_used_at: Annotated[int | None, Field(description="Unix seconds, accurate to a few minutes.")]
    revoked_at: UnixTime


class ServiceAccountCreateResponse(ServiceAccountResponse):
    """A new service account with its token."""

    token: Annotated[str, Field(description="Its bearer token.")]


def account_object(account: ServiceAccount) -> ServiceAccountResponse:
    """One service account as AgentOS shows it."""
    return {
        "id": account.id,
        "name": account.name,
        "principal": account.principal,
        "user_id": account.principal,
        "token_prefix": account.token_prefix,
        "scopes": [_scope_object(scope) for scope in sorted(account.scopes.granted)],
        "created_at": int(account.created_at),
        "created_by": account.created_by,
        "expires_at": whole_seconds(account.expires_at),
        "last_used_at": whole_seconds(account.last_used_at),
        "revoked_at": whole_seconds(account.revoked_at),
    }


def _scope_object(scope: str) -> ScopeSchema:
    resource, *middle, action = scope.split(":")
    return {
        "raw": scope,
        "namespace": resource,
        "sub_namespace": None,
        "id": ":".join(middle) or None,
        "permission": action,
        "value": "allow",
    }


# --- operations ---------------------------------------------------------------------------------------
# They require the scope of an administrator, because a caller that creates accounts can grant itself every other scope.


@operation(
    "GET",
    "/service-accounts",
    "list_service_accounts_service_accounts_get",
    scope=ADMIN,
    tag=_TAG,
    summary="List Service Accounts",
)
async def list_accounts(accounts: AccountService, query: AccountsQuery) -> PaginatedResponse[ServiceAccountResponse]:
    """List service accounts in pages, without their tokens: a token is shown once, when the account is created."""
    page, total = await accounts.search(query.filter)
    return page_of([account_object(account) for account in page], total, page=query.page, limit=query.limit)


@operation(
    "POST",
    "/service-accounts",
    "create_service_account_service_accounts_post",
    scope=ADMIN,
    tag=_TAG,
    summary="Create Service Account",
    errors={409: "Another account has this name"},
    other_answers={201: Answer(ServiceAccountCreateResponse)},
)
async def create_account(accounts: AccountService, caller: Caller, body: ServiceAccountCreate) -> Response:
    """Create an account for a program. `token` is in this answer and nowhere else: keep it."""
    created = await accounts.create(body.account(), caller.user_id)
    answer: ServiceAccountCreateResponse = {**account_object(created.account), "token": created.token}
    return json_answer(answer, 201)


@operation(
    "DELETE",
    "/service-accounts/{service_account_id}",
    "revoke_service_account_service_accounts__service_account_id__delete",
    scope=ADMIN,
    tag=_TAG,
    summary="Revoke Service Account",
    errors={404: "Service account not found"},
)
async def revoke_account(accounts: AccountService, caller: Caller, service_account_id: str) -> None:
    """Revoke an account: its token is rejected, and its open streams end. What it created stays, and its runs go on.

    Other processes on the same database follow within 5 seconds.
    """
    await accounts.revoke(service_account_id, caller.user_id)


FEATURE = Feature(
    service=lambda server: AccountService(server.database),
    operations=[list_accounts, create_account, revoke_account],
    close=AccountService.close,
    tokens=lambda accounts: accounts.tokens,
)
