"""The run ids that users choose, which are names of their own.

A UUID is the run's id as it is: it cannot be guessed. Any other id that a proved user chooses (``order-17``) is a name
of that user's run, which gets a new id: so users can neither find out each other's ids nor take them. Callers without a
user are not told apart; what they choose is the run's id.
"""

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.ids import is_uuid
from musterd.store import idempotency
from musterd.store.database import Database


def is_name(run_id: str, caller: Caller) -> bool:
    """Whether a run id that this caller gives is a name, and not the id of a run."""
    return caller.user_id is not None and not is_uuid(run_id)


def new_run_id(chosen: str | None, caller: Caller) -> str:
    """The id of a run that begins, if the caller chose this one."""
    return clock.new_id() if chosen is None or is_name(chosen, caller) else chosen


class ChosenRunIds:
    """Finds runs by their users' names for them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run_id(self, given: str, caller: Caller) -> str:
        """The id of the run that a caller names; ``given`` itself if it is none of the caller's names."""
        if not is_name(given, caller):
            return given
        named = await self._database.read(lambda tx: idempotency.run_named(tx, caller.label, given))
        return given if named is None else named

    async def run_id_in_session(self, given: str, session_id: str, caller: Caller) -> str | None:
        """The id of a session's run by the name that its user gave it, for callers who see everybody's runs."""
        if caller.sees_only is not None or is_uuid(given):
            return None
        return await self._database.scan(lambda tx: idempotency.run_named_in_session(tx, session_id, given))
