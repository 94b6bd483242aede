"""Service accounts as AgentOS shows them, and what a client sends to make one."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from musterd.core.scopes import ADMIN, Scopes, is_scope
from musterd.core.service_accounts import AccountFilter, ServiceAccount
from musterd.wire.fields import Fields
from musterd.wire.pages import Pages
from musterd.wire.problems import MISSING
from musterd.wire.shapes import PaginatedResponse, page_of
from musterd.wire.times import whole_seconds

SORTABLE = ("created_at", "name", "expires_at", "last_used_at")
PAGES = Pages(most=100)
MOST_SCOPES = 100
DEFAULT_DAYS, MOST_DAYS = 90, 3650
DEFAULT_SCOPES = ("agents:read", "agents:run", "teams:read", "teams:run", "sessions:read")
"""What an account may do for which nothing else is said: run what is served, and look at its own."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRequest:
    """A service account that a client asks for.

    :param days: how many days its token is valid; None: for ever.
    """

    name: str
    scopes: Scopes
    days: int | None


def account_object(account: ServiceAccount) -> dict[str, Any]:
    """An account with the peer's keys, nulls included."""
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


def account_page(
    accounts: Iterable[ServiceAccount], total: int, query: AccountFilter
) -> PaginatedResponse[dict[str, Any]]:
    """A page of accounts with the peer's ``meta``."""
    return page_of([account_object(account) for account in accounts], total, page=query.page, limit=query.limit)


def parse_accounts_query(values: Mapping[str, str]) -> AccountFilter:
    """The query of ``GET /service-accounts``.

    :raises InvalidInput: with everything that is wrong.
    """
    fields = Fields(values, "query")
    with_revoked, sort_by = fields.flag("include_revoked"), fields.text("sort_by")
    found = AccountFilter(
        with_revoked=with_revoked is not False,
        sort_by=sort_by if sort_by in SORTABLE else "created_at",
        descending=fields.choice("sort_order", ("asc", "desc")) != "asc",
        limit=PAGES.limit(fields),
        page=PAGES.page(fields),
    )
    fields.problems.raise_if_any()
    return found


def parse_account(body: Any) -> AccountRequest:
    """The account that a body asks for.

    :raises InvalidInput: with everything that is wrong.
    """
    fields = Fields.of_object(body)
    name, days = fields.text("name"), fields.whole("expires_in_days", 1, MOST_DAYS)
    if fields.given("name") is None:
        fields.problems.add("name", *MISSING)
    elif name is not None and not is_account_name(name):
        words = "Input should be 1 to 63 letters, digits, dots, dashes or underscores"
        fields.problems.add("name", "string_pattern_mismatch", words, name)
    scopes = _scopes(fields, is_privileged=bool(fields.flag("allow_privileged_scopes")))
    lasts = fields.flag("never_expires")
    fields.problems.raise_if_any()
    return AccountRequest(name=name or "", scopes=scopes, days=None if lasts else days or DEFAULT_DAYS)


def is_account_name(text: str) -> bool:
    """Whether an account may have this name."""
    return _NAME.fullmatch(text) is not None


def _scopes(fields: Fields, *, is_privileged: bool) -> Scopes:
    items = fields.json_list("scopes")
    if items is None:
        return Scopes.of(DEFAULT_SCOPES)
    if not 0 < len(items) <= MOST_SCOPES:
        words = f"List should have 1 to {MOST_SCOPES} items"
        fields.problems.add("scopes", "too_short" if not items else "too_long", words)
        return Scopes()
    found = []
    for place, item in enumerate(items):
        scope = item.get("scope") if isinstance(item, dict) else None
        if not isinstance(scope, str) or not is_scope(scope):
            words = 'Input should be {"scope": "resource:action"}, or "resource:id:action"'
            fields.problems.add(("scopes", place, "scope"), "string_pattern_mismatch", words, scope)
        elif item.get("effect", "allow") != "allow":
            words = "Input should be 'allow': what is not allowed is denied"
            fields.problems.add(("scopes", place, "effect"), "enum", words)
        elif scope == ADMIN and not is_privileged:
            words = f"{ADMIN} may do everything: say allow_privileged_scopes as well"
            fields.problems.add(("scopes", place, "scope"), "value_error", words)
        else:
            found.append(scope)
    return Scopes.of(found)


def _scope_object(scope: str) -> dict[str, Any]:
    resource, *middle, action = scope.split(":")
    return {
        "raw": scope,
        "namespace": resource,
        "sub_namespace": None,
        "id": ":".join(middle) or None,
        "permission": action,
        "value": "allow",
    }
