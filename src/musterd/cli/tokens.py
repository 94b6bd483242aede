"""``musterd token``: create, list and revoke service accounts without a running server."""

import datetime
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from musterd.cli.offline_database import with_database
from musterd.cli.output import Column, print_json, print_table, print_text, with_iso_times
from musterd.cli.settings import settings_from
from musterd.core import clock
from musterd.core.errors import NotFound, StartError
from musterd.core.scopes import Scopes, is_scope
from musterd.features.accounts.api import account_object
from musterd.features.accounts.records import (
    DEFAULT_SCOPES,
    AccountFilter,
    NewAccount,
    ServiceAccount,
    is_account_name,
)
from musterd.features.accounts.service import AccountService

T = TypeVar("T")
PAGE = 100
COLUMNS = [Column("TOKEN"), Column("NAME"), Column("STATE"), Column("SCOPES", is_text=True)]


def create(name: str, *, scopes: Sequence[str] | None, days: int | None, db: str | None) -> int:
    """Create an account and print its token. Any scope is allowed, because access to the database is full access.

    :raises StartError: the name or a scope is invalid.
    :raises Conflict: another account has this name.
    """
    if not is_account_name(name):
        raise StartError(f"{name}: invalid account name — use up to 63 letters, digits, dots, dashes, underscores")
    granted = DEFAULT_SCOPES if scopes is None else scopes
    for scope in granted:
        if not is_scope(scope):
            raise StartError(f"--scope {scope}: invalid scope — use resource:action or resource:id:action")
    account = NewAccount(name=name, scopes=Scopes.of(granted), days=days)
    created = _with_accounts(db, lambda accounts: accounts.create(account, None), creates_database=True)
    print_text(created.token)
    return 0


def show(*, db: str | None, as_json: bool) -> int:
    """Print all accounts."""
    accounts, now = _with_accounts(db, _all_accounts), clock.now()
    if as_json:
        print_json(with_iso_times(list(map(account_object, accounts))))
    else:
        print_table(COLUMNS, [_cells(account, now) for account in accounts], empty="There are no service accounts.")
    return 0


def revoke(name: str, *, db: str | None) -> int:
    """Revoke an account.

    :raises NotFound: there is no such account.
    """
    try:
        _with_accounts(db, lambda accounts: accounts.revoke_named(name))
    except NotFound as error:
        raise NotFound(f"{name}: there is no such service account — musterd token ls lists them") from error
    return 0


async def _all_accounts(accounts: AccountService) -> list[ServiceAccount]:
    all_accounts: list[ServiceAccount] = []
    while True:
        page, total = await accounts.search(AccountFilter(limit=PAGE, page=len(all_accounts) // PAGE + 1))
        all_accounts += page
        if len(all_accounts) >= total or not page:
            return all_accounts


def _with_accounts(
    db: str | None, action: Callable[[AccountService], Awaitable[T]], *, creates_database: bool = False
) -> T:
    """The result of ``action``.

    :raises StartError: the database cannot be used, or is not one of musterd.
    """
    settings = settings_from(db)
    return with_database(settings, lambda database: action(AccountService(database)), creates_database=creates_database)


def _cells(account: ServiceAccount, now: float) -> tuple[str, ...]:
    scopes = " ".join(sorted(account.scopes.granted))
    return f"{account.token_prefix}…", account.name, _state(account, now), scopes


def _state(account: ServiceAccount, now: float) -> str:
    if account.revoked_at is not None:
        return f"revoked {_day(account.revoked_at)}"
    if account.expires_at is None:
        return "never expires"
    return f"{'valid until' if account.is_valid(now) else 'expired'} {_day(account.expires_at)}"


def _day(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).date().isoformat()
