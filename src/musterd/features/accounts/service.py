"""The use cases of service accounts: create, list, revoke."""

import structlog

from musterd.core import clock
from musterd.core.errors import NotFound
from musterd.features.accounts import store
from musterd.features.accounts.records import AccountFilter, CreatedAccount, NewAccount, ServiceAccount
from musterd.features.accounts.tokens import PREFIX, AccountTokens, token_hash
from musterd.store.database import Database

log = structlog.get_logger("musterd.accounts")

PREFIX_LENGTH = len(PREFIX) + 8
"""How many characters of a token are stored, and shown to recognize it by."""
DAY_SECONDS = 24 * 3600


class AccountService:
    """The use cases of service accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.tokens = AccountTokens(database)

    async def create(self, new: NewAccount, by: str | None) -> CreatedAccount:
        """Create an account.

        :param by: the user that creates it.
        :raises Conflict: another one that was not revoked has its name.
        """
        token, now = f"{PREFIX}{clock.new_secret()}", clock.now()
        account = ServiceAccount(
            id=clock.new_id(),
            name=new.name,
            token_prefix=token[:PREFIX_LENGTH],
            scopes=new.scopes,
            created_at=now,
            created_by=by,
            expires_at=None if new.days is None else now + new.days * DAY_SECONDS,
        )
        await self._database.write(lambda tx: store.add(tx, account, token_hash(token)))
        log.info("service account created", name=account.name, account_id=account.id, by=by)
        return CreatedAccount(account, token)

    async def search(self, query: AccountFilter) -> tuple[list[ServiceAccount], int]:
        """One page of accounts, and how many there are in all."""
        return await self._database.scan(lambda tx: store.search(tx, query))

    async def revoke(self, account_id: str, by: str | None) -> None:
        """Revoke an account: its token is rejected from now on, and its open requests end. Its objects stay.

        :raises NotFound: there is none.
        """
        now = clock.now()
        if not await self._database.write(lambda tx: store.revoke(tx, account_id, now)):
            raise NotFound("Service account not found")
        # After the commit: before it, a request could still read the account as valid, and cache it again.
        self.tokens.forget(account_id)
        log.info("service account revoked", account_id=account_id, by=by)

    async def revoke_named(self, name_or_id: str) -> None:
        """Revoke the account with this name or id.

        :raises NotFound: there is none.
        """
        account = await self._database.read(lambda tx: store.by_name(tx, name_or_id))
        await self.revoke(name_or_id if account is None else account.id, None)

    async def close(self) -> None:
        """Stop what is done in the background."""
        await self.tokens.close()
