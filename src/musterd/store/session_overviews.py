"""What a list shows of sessions in addition to their rows: their last run, and the number and cost of their runs."""

from collections.abc import Sequence

from musterd.core import jsontext
from musterd.core.records import SessionRow
from musterd.core.run_summaries import SessionOverview
from musterd.store import run_summaries
from musterd.store.database import Statement, Tx

# Members' runs have no seq.
LAST_RUNS = Statement(
    "session_last_runs",
    """SELECT (SELECT r.run_id FROM runs r WHERE r.session_id = s.session_id AND r.seq >= 0
               ORDER BY r.seq DESC LIMIT 1) AS run_id
       FROM sessions s WHERE IN_LIST(s.session_id, :session_ids)""",
)
# A copy was paid for in the session that it was copied from.
SUMS = Statement(
    "session_sums",
    """SELECT session_id, count(*) AS runs,
              sum(CASE WHEN copied_from IS NULL THEN JSON_NUMBER(totals, 'cost') END) AS cost
       FROM runs WHERE IN_LIST(session_id, :session_ids) AND seq >= 0 GROUP BY session_id""",
)


async def overviews(tx: Tx, sessions: Sequence[SessionRow]) -> list[SessionOverview]:
    """The overviews of these sessions, in the same order."""
    if not sessions:
        return []
    ids = {"session_ids": jsontext.dumps([session.session_id for session in sessions])}
    last_ids = [row["run_id"] for row in await tx.all(LAST_RUNS, ids) if row["run_id"] is not None]
    last_runs = {run.session_id: run for run in await run_summaries.by_ids(tx, last_ids)}
    sums = {row["session_id"]: (int(row["runs"]), row["cost"]) for row in await tx.all(SUMS, ids)}
    return [
        SessionOverview(session, last_runs.get(session.session_id), *sums.get(session.session_id, (0, None)))
        for session in sessions
    ]
