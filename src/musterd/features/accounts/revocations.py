"""Ends the open requests of service accounts that are revoked: streams, and requests that wait for a run."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator

import structlog

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.features.accounts import store
from musterd.store.database import Database

log = structlog.get_logger("musterd.accounts")

CHECK_SECONDS = 2.0
"""How often accounts with an open request are read from the database: another process may have revoked them."""

End = Callable[[], object]


class RevocationWatch:
    """The open requests of this process that were made with tokens of service accounts.

    One statement every ``CHECK_SECONDS`` serves all of them. While there are none, nothing is read.

    :param on_revoked: called with the id of each account that another process has revoked.
    """

    def __init__(self, database: Database, on_revoked: Callable[[str], object]) -> None:
        self._database = database
        self._on_revoked = on_revoked
        self._open: defaultdict[str, set[End]] = defaultdict(set)
        self._checking: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def watching(self, account_id: str, end: End) -> Iterator[None]:
        """Call ``end`` if the account is revoked before the context is left."""
        self._open[account_id].add(end)
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check_repeatedly())
        try:
            yield
        finally:
            self._open[account_id].discard(end)
            if not self._open[account_id]:
                del self._open[account_id]

    def end_requests_of(self, account_id: str) -> None:
        """End the account's open requests."""
        # A copy, because a request that ends removes itself.
        for end in tuple(self._open.get(account_id, ())):
            end()

    def close(self) -> None:
        """Stop reading accounts."""
        if self._checking is not None:
            self._checking.cancel()

    async def _check_repeatedly(self) -> None:
        """Check until no request is open; the next one starts the checks again.

        A request that was authenticated just before a revocation in this process, and is watched only after it, is
        found here.
        """
        while True:
            await clock.sleep(CHECK_SECONDS)
            if not self._open:
                self._checking = None  # nothing is awaited between the check and this line, so no request is missed
                return
            try:
                await self._check()
            except Exception as error:  # open requests of accounts that are revoked later must still end
                log.exception("service accounts could not be checked; open streams stay", exc_info=error)

    async def _check(self) -> None:
        watched = list(self._open)
        try:
            valid = await self._database.scan(lambda tx: store.not_revoked(tx, watched))
        except StoreUnavailable:
            log.warning(
                "service accounts cannot be checked because the database is unavailable; open streams stay",
                count=len(watched),
            )
            return
        for account_id in set(watched) - valid:
            self._on_revoked(account_id)
