"""The runs of a session that its stream reads."""

from musterd.core.session_cursors import Cursor
from musterd.store import session_runs, sessions
from musterd.store.database import Tx
from tests.support.store import NOBODY, Records


async def test_a_cursor_is_not_beyond_the_last_run(records: Records) -> None:
    await records.accept("r1")

    async def work(tx: Tx) -> Cursor:
        session = await sessions.get(tx, "s1", NOBODY)
        assert session is not None
        forged = Cursor(2**53, session_created_at=session.created_at)
        runs_and_cursor = await session_runs.named(tx, "s1", NOBODY, forged)
        assert runs_and_cursor is not None
        return runs_and_cursor[1]

    assert (await records.database.scan(work)).seq == 0
