"""Service accounts: make, list, revoke, and recognise them by their tokens."""

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import structlog

from musterd.core import clock
from musterd.core.errors import NotFound, StoreUnavailable, Unauthenticated, WrongToken
from musterd.core.scopes import Scopes
from musterd.core.service_accounts import AccountFilter, ServiceAccount
from musterd.service.account_watch import AccountWatch
from musterd.store import service_accounts
from musterd.store.database import Database, Tx

log = structlog.get_logger("musterd.service")

PREFIX = "msa_"
"""What tokens of service accounts begin with."""

SHOWN_CHARACTERS = len(PREFIX) + 8
KEPT_SECONDS = 5.0
"""How long an account counts as it was read: a revoked one is refused by every process within that time."""

MOST_KEPT = 1000
NOTED_SECONDS = 300.0
"""How exactly it is noted when an account was used last: not every request is to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedAccount:
    """A service account that is asked for.

    :param days: how many days its token is valid; None: for ever.
    """

    name: str
    scopes: Scopes
    days: int | None


@dataclass(frozen=True, slots=True)
class Issued:
    """A new account, and its token: what nobody is told again."""

    account: ServiceAccount
    token: str


class ServiceAccountService:
    """The use cases of service accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[str, tuple[ServiceAccount, float]] = OrderedDict()
        self._noted: dict[str, float] = {}
        self._notes: set[asyncio.Task[None]] = set()
        self.watch = AccountWatch(database, self._forget_revoked)
        self._revocations = 0

    async def create(self, wanted: WantedAccount, by: str | None) -> Issued:
        """Make an account.

        :param by: the user that makes it.
        :raises Conflict: another one that was not revoked has its name.
        """
        token, now = f"{PREFIX}{clock.new_secret()}", clock.now()
        account = ServiceAccount(
            id=clock.new_id(),
            name=wanted.name,
            token_prefix=token[:SHOWN_CHARACTERS],
            scopes=wanted.scopes,
            created_at=now,
            created_by=by,
            expires_at=None if wanted.days is None else now + wanted.days * 24 * 3600,
        )
        await self._database.write(lambda tx: service_accounts.add(tx, account, token_hash(token)))
        log.info("service account made", name=account.name, account_id=account.id, by=by)
        return Issued(account, token)

    async def search(self, wanted: AccountFilter) -> tuple[list[ServiceAccount], int]:
        """One page of accounts, and how many there are in all."""
        return await self._database.scan(lambda tx: service_accounts.search(tx, wanted))

    async def revoke(self, account_id: str, by: str | None) -> None:
        """Revoke an account: its token lets nobody in any more, and its open requests end. What it made stays.

        :raises NotFound: there is none.
        """
        now = clock.now()
        if not await self._database.write(lambda tx: service_accounts.revoke(tx, account_id, now)):
            raise NotFound("Service account not found")
        self._forget_revoked(account_id)
        log.info("service account revoked", account_id=account_id, by=by)

    def _forget_revoked(self, account_id: str) -> None:
        """Let the account in no more, and end its open requests."""
        self._revocations += 1
        self._kept.clear()
        self.watch.end_requests_of(account_id)

    async def revoke_named(self, name_or_id: str) -> None:
        """Revoke the account of this name, or of this id.

        :raises NotFound: there is none.
        """
        found = await self._database.read(lambda tx: service_accounts.by_name(tx, name_or_id))
        await self.revoke(name_or_id if found is None else found.id, None)

    async def recognise(self, token: str) -> ServiceAccount:
        """The account whose token this is.

        :raises WrongToken: there is none, or it was revoked.
        :raises Unauthenticated: it has expired.
        :raises StoreUnavailable: it cannot be looked up now.
        """
        now = clock.monotonic()
        account = await self._known(token_hash(token), now)
        if account is None or account.revoked_at is not None:
            raise WrongToken
        if not account.is_valid(clock.now()):
            raise Unauthenticated("Token has expired")
        self._note_use(account.id, now)
        return account

    async def _known(self, hashed: str, now: float) -> ServiceAccount | None:
        """The account as it was read some seconds ago at most. That there is none is not kept: it may be made now."""
        account, read_at = self._kept.get(hashed, (None, 0.0))
        if account is None or now - read_at >= KEPT_SECONDS:
            self._kept.pop(hashed, None)
            revocations = self._revocations
            account = await self._database.read(lambda tx: service_accounts.by_token(tx, hashed))
            if account is not None and revocations == self._revocations:  # it may have been read before a revocation
                self._kept[hashed] = (account, now)
                if len(self._kept) > MOST_KEPT:
                    self._kept.popitem(last=False)
        return account

    def _note_use(self, account_id: str, now: float) -> None:
        if now - self._noted.get(account_id, float("-inf")) < NOTED_SECONDS:
            return
        self._noted[account_id] = now
        task = asyncio.create_task(self._write_use(account_id))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _write_use(self, account_id: str) -> None:
        now = clock.now()

        async def work(tx: Tx) -> None:
            await service_accounts.used(tx, account_id, now, now - NOTED_SECONDS)

        try:
            await self._database.write(work)
        except StoreUnavailable:
            log.warning("the use of a service account could not be noted", account_id=account_id)

    async def finish(self) -> None:
        """Finish what is being noted."""
        if self._notes:
            await asyncio.wait(self._notes)


def token_hash(token: str) -> str:
    """What is stored of a token.

    A plain hash is right here: a token is 256 random bits, so nobody can try them all, and a slow hash, made for
    words that people choose, would only slow down each request.
    """
    return hashlib.sha256(token.encode("latin-1", "replace")).hexdigest()
