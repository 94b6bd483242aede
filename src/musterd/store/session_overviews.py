"""What a list shows of sessions in addition to their rows: their state, last run, open questions, and use."""

from collections.abc import Mapping, Sequence

from musterd.core import jsontext
from musterd.core.records import SessionRow
from musterd.core.run_summaries import SessionOverview, SummarizedRun
from musterd.core.states import RunState
from musterd.store import run_summaries
from musterd.store.database import Row, Statement, Tx

# Members' runs have no seq.
LAST_RUNS = Statement(
    "session_last_runs",
    """SELECT (SELECT r.run_id FROM runs r WHERE r.session_id = s.session_id AND r.shard = s.shard AND r.seq >= 0
               ORDER BY r.seq DESC LIMIT 1) AS run_id
       FROM sessions s WHERE IN_LIST(s.session_id, :session_ids)""",
)
_COST = "JSON_NUMBER(totals, 'cost')"
_TOKENS = "JSON_WHOLE(totals, 'input_tokens') + JSON_WHOLE(totals, 'output_tokens')"
_IS_UNPRICED = f"copied_from IS NULL AND totals IS NOT NULL AND {_COST} IS NULL"
# Copied runs were paid for in their original session. The cost is null if the price of a run is unknown, because a sum
# without that run would be wrong.
SUMS = Statement(
    "session_sums",
    f"""SELECT session_id, count(*) AS runs,
              max(CASE state WHEN 'paused' THEN 3 WHEN 'running' THEN 2 WHEN 'completed' THEN 0 WHEN 'error' THEN 0
                             WHEN 'cancelled' THEN 0 ELSE 1 END) AS liveliest,
              CASE count(CASE WHEN {_IS_UNPRICED} THEN 1 END) WHEN 0 THEN
                   sum(CASE WHEN copied_from IS NULL THEN {_COST} END) END AS cost,
              COALESCE(sum(CASE WHEN copied_from IS NULL THEN {_TOKENS} END), 0) AS tokens
       FROM runs WHERE IN_LIST(session_id, :session_ids) AND seq >= 0 GROUP BY session_id""",
)
# `|| ''` keeps SQLite from reading all pending approvals (list_conditions.py).
QUESTIONS = Statement(
    "session_questions",
    """SELECT r.session_id, count(*) AS questions FROM runs r CROSS JOIN approvals a
       WHERE IN_LIST(r.session_id, :session_ids) AND r.seq >= 0 AND r.state IN ('running', 'paused')
       AND a.root_id = r.run_id AND a.shard = r.shard AND a.status || '' = 'pending' GROUP BY r.session_id""",
)

_LIVE_STATES = (None, RunState.QUEUED, RunState.RUNNING, RunState.PAUSED)


async def overviews(tx: Tx, sessions: Sequence[SessionRow]) -> list[SessionOverview]:
    """The overviews of these sessions, in the same order."""
    if not sessions:
        return []
    ids = {"session_ids": jsontext.dumps([session.session_id for session in sessions])}
    last_ids = [row["run_id"] for row in await tx.all(LAST_RUNS, ids) if row["run_id"] is not None]
    last_runs = {run.session_id: run for run in await run_summaries.by_ids(tx, last_ids)}
    sums = {row["session_id"]: row for row in await tx.all(SUMS, ids)}
    questions = {row["session_id"]: int(row["questions"]) for row in await tx.all(QUESTIONS, ids)}
    return [
        _overview(session, last_runs.get(session.session_id), sums.get(session.session_id), questions)
        for session in sessions
    ]


def _overview(
    session: SessionRow, last_run: SummarizedRun | None, sums: Row | None, questions: Mapping[str, int]
) -> SessionOverview:
    if last_run is None or sums is None:
        return SessionOverview(row=session, state=None, last_run=last_run)
    return SessionOverview(
        row=session,
        state=_LIVE_STATES[sums["liveliest"]] or last_run.state,
        last_run=last_run,
        run_count=int(sums["runs"]),
        waiting=questions.get(session.session_id, 0),
        tokens=int(sums["tokens"]),
        cost=sums["cost"],
    )
