"""Recognizes the tokens of service accounts."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager

import structlog

from musterd.core import clock
from musterd.core.callers import SERVICE_PREFIX
from musterd.core.errors import StoreUnavailable, Unauthenticated, WrongToken
from musterd.features.accounts import store
from musterd.features.accounts.records import ServiceAccount
from musterd.features.accounts.revocations import RevocationWatch
from musterd.http.auth.principals import Principal, user
from musterd.store.database import Database

log = structlog.get_logger("musterd.accounts")

PREFIX = "msa_"
"""The beginning of each token of a service account."""

CACHE_SECONDS = 5.0
"""How long an account is cached. After a revocation every process rejects the token within that time."""

MAX_CACHED = 1000
USE_SECONDS = 300.0
"""How exactly the last use of an account is stored, so that not every request has to write."""


class AccountTokens:
    """The tokens of service accounts, as :class:`musterd.http.auth.issued_tokens.IssuedTokens`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watch = RevocationWatch(database, self.forget)
        self._cache: OrderedDict[str, tuple[ServiceAccount, float]] = OrderedDict()
        self._revocations = 0
        self._used_at: dict[str, float] = {}
        self._use_writes: set[asyncio.Task[None]] = set()

    def matches(self, token: str) -> bool:
        """Whether a token has the form of a service account's."""
        return token.startswith(PREFIX)

    async def principal(self, token: str) -> Principal:
        """The service account whose token this is. It is a user of its own.

        :raises WrongToken: there is none, or it was revoked.
        :raises Unauthenticated: it has expired.
        :raises StoreUnavailable: it cannot be looked up now.
        """
        now = clock.monotonic()
        account = await self._account(token_hash(token), now)
        principal = _principal(account)
        if principal.account_id is not None:
            self._note_use(principal.account_id, now)
        return principal

    async def account(self, account_id: str) -> Principal:
        """The principal of an account as it is now.

        :raises WrongToken: there is none, or it was revoked.
        :raises Unauthenticated: its token has expired.
        :raises StoreUnavailable: it cannot be looked up now.
        """
        return _principal(await self._database.read(lambda tx: store.by_id(tx, account_id)))

    async def account_of(self, user_id: str) -> Principal:
        """The principal of the account that is this user now.

        :raises WrongToken: there is none, or it was revoked.
        :raises Unauthenticated: its token has expired.
        :raises StoreUnavailable: it cannot be looked up now.
        """
        name = user_id.removeprefix(SERVICE_PREFIX)
        return _principal(await self._database.read(lambda tx: store.by_name(tx, name)))

    def watching(self, account_id: str, end: Callable[[], object]) -> AbstractContextManager[None]:
        """Call ``end`` if the account is revoked before the context is left."""
        return self._watch.watching(account_id, end)

    def forget(self, account_id: str) -> None:
        """Reject the token of an account that was revoked, and end its open requests."""
        self._revocations += 1
        # All of it: its keys are hashes of tokens, and only the account's id is known here. Revocations are rare.
        self._cache.clear()
        self._watch.end_requests_of(account_id)

    async def _account(self, hashed: str, now: float) -> ServiceAccount | None:
        """The account, from the cache if it was read recently. A missing one is not cached: it may be created now."""
        account, read_at = self._cache.get(hashed, (None, 0.0))
        if account is None or now - read_at >= CACHE_SECONDS:
            self._cache.pop(hashed, None)
            revocations = self._revocations
            account = await self._database.read(lambda tx: store.by_token(tx, hashed))
            # If an account was revoked during the read, this one may have been read before: do not cache it.
            if account is not None and revocations == self._revocations:
                self._cache[hashed] = (account, now)
                if len(self._cache) > MAX_CACHED:
                    self._cache.popitem(last=False)
        return account

    def _note_use(self, account_id: str, now: float) -> None:
        if now - self._used_at.get(account_id, float("-inf")) < USE_SECONDS:
            return
        # Set before the write, so that requests that arrive during the write do not write too.
        self._used_at[account_id] = now
        task = asyncio.create_task(self._write_use(account_id))
        self._use_writes.add(task)
        task.add_done_callback(self._use_writes.discard)

    async def _write_use(self, account_id: str) -> None:
        now = clock.now()
        try:
            await self._database.write(lambda tx: store.set_used(tx, account_id, now, now - USE_SECONDS))
        except StoreUnavailable:
            log.warning("the use of a service account could not be stored", account_id=account_id)

    async def use_written(self) -> None:
        """Wait until the use of accounts is stored."""
        if self._use_writes:
            await asyncio.wait(self._use_writes)

    async def close(self) -> None:
        """Stop checking for revocations, and finish what is being written."""
        self._watch.close()
        await self.use_written()


def _principal(account: ServiceAccount | None) -> Principal:
    if account is None or account.revoked_at is not None:
        raise WrongToken
    if not account.is_valid(clock.now()):
        raise Unauthenticated("Token has expired")
    return user(
        account.principal,
        account.scopes,
        display_name=account.name,
        valid_until=account.expires_at,
        account_id=account.id,
    )


def token_hash(token: str) -> str:
    """The hash of a token that is stored.

    A plain hash is enough: a token is 256 random bits, which cannot be guessed. A slow hash, as for passwords, would
    only slow down each request.
    """
    return hashlib.sha256(token.encode("latin-1", "replace")).hexdigest()
