"""``musterd token``: service accounts, made and revoked without a server."""

import asyncio
import datetime
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from musterd.cli.logs import configure
from musterd.cli.settings import settings_from
from musterd.core import clock
from musterd.core.errors import StartError
from musterd.core.scopes import Scopes, is_scope
from musterd.core.service_accounts import AccountFilter, ServiceAccount
from musterd.service.service_accounts import ServiceAccountService, WantedAccount
from musterd.store import inspection
from musterd.store.open_database import open_database, shown_url
from musterd.wire.service_accounts import DEFAULT_SCOPES, is_account_name

T = TypeVar("T")
PAGE = 100


def create(name: str, *, scopes: Sequence[str] | None, days: int | None, db: str | None) -> int:
    """Make an account and print its token. Whoever has the database has everything, so it may be of any scope.

    :raises StartError: the name or a scope is none.
    :raises Conflict: another account has the name.
    """
    if not is_account_name(name):
        raise StartError(f"{name}: is no name of an account — use up to 63 letters, digits, dots, dashes, underscores")
    granted = DEFAULT_SCOPES if scopes is None else scopes
    for scope in granted:
        if not is_scope(scope):
            raise StartError(f"--scope {scope}: is no scope — say resource:action, or resource:id:action")
    wanted = WantedAccount(name=name, scopes=Scopes.of(granted), days=days)
    issued = _with(db, lambda accounts: accounts.create(wanted, None), makes=True)
    print(issued.token)  # noqa: T201 - what a command says
    return 0


def show(*, db: str | None) -> int:
    """Print a line for each account."""
    for account in _with(db, _all):
        print(_line(account, clock.now()))  # noqa: T201 - what a command says
    return 0


def revoke(name: str, *, db: str | None) -> int:
    """Revoke an account.

    :raises NotFound: there is none.
    """
    _with(db, lambda accounts: accounts.revoke_named(name))
    return 0


async def _all(accounts: ServiceAccountService) -> list[ServiceAccount]:
    found: list[ServiceAccount] = []
    while True:
        page, total = await accounts.search(AccountFilter(limit=PAGE, page=len(found) // PAGE + 1))
        found += page
        if len(found) >= total or not page:
            return found


def _with(db: str | None, act: Callable[[ServiceAccountService], Awaitable[T]], *, makes: bool = False) -> T:
    """What ``act`` gives.

    :param makes: whether a database is made where there is none; else that is taken for a slip of the pen.
    :raises StartError: the database cannot be used, in words.
    """
    settings = settings_from(db)
    configure(settings)
    if not makes and inspection.revision(settings.db) is None:
        raise StartError(f"{shown_url(settings.db)}: there are no records — name the database with --db")
    database = open_database(settings.db, connections=settings.db_connections, prepares=settings.db_prepares)
    database.upgrade()

    async def work() -> T:
        await database.open()
        try:
            return await act(ServiceAccountService(database))
        finally:
            await database.close()

    return asyncio.run(work())


def _line(account: ServiceAccount, now: float) -> str:
    scopes = " ".join(sorted(account.scopes.granted))
    return f"{account.token_prefix}…  {account.name}  {_state(account, now)}  {scopes}"


def _state(account: ServiceAccount, now: float) -> str:
    if account.revoked_at is not None:
        return f"revoked {_day(account.revoked_at)}"
    if account.expires_at is None:
        return "never expires"
    return f"{'valid until' if account.is_valid(now) else 'expired'} {_day(account.expires_at)}"


def _day(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).date().isoformat()
