"""Run ids that users choose.

A UUID is used as the run's id, because nobody can guess it. Any other id that an authenticated user chooses
(``order-17``) is only an alias of the run, and the run gets a new id. Otherwise users could discover or take each
other's ids. Callers without a user cannot be told apart, so the id that they choose is the run's id.
"""

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.ids import is_uuid
from musterd.store import idempotency
from musterd.store.database import Database


def is_alias(run_id: str, caller: Caller) -> bool:
    """Whether this caller's ``run_id`` is an alias and not the run's real id."""
    return caller.user_id is not None and not is_uuid(run_id)


def new_run_id(chosen_id: str | None, caller: Caller) -> str:
    """The id for a new run, given the id that the caller chose, if any."""
    return clock.new_id() if chosen_id is None or is_alias(chosen_id, caller) else chosen_id


class ChosenRunIds:
    """Translates the aliases that users gave their runs into run ids."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run_id(self, alias_or_id: str, caller: Caller) -> str:
        """The id of the caller's run with this alias, or ``alias_or_id`` itself if the caller has no such run."""
        if not is_alias(alias_or_id, caller):
            return alias_or_id
        run_id = await self._database.read(lambda tx: idempotency.run_by_alias(tx, caller.label, alias_or_id))
        return alias_or_id if run_id is None else run_id

    async def run_id_in_session(self, alias: str, session_id: str, caller: Caller) -> str | None:
        """The id of the session's run that any user gave this alias. Only for callers who may see all users' runs."""
        if caller.sees_only is not None or is_uuid(alias):
            return None
        return await self._database.scan(lambda tx: idempotency.run_by_alias_in_session(tx, session_id, alias))
