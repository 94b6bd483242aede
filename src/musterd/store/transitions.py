"""Every statement that writes ``runs.state``, with the edges of ``core/states.py`` that it takes.

A statement is built by :func:`transition` from its edges and its text. In the text ``OLD_STATE`` stands for the
condition that the run is in one of the old states, and ``NEW_STATE`` for the assignments of the new state and the next
version. An edge that is not in the table cannot be built, and no other file writes ``runs.state``. The functions that
execute the statements are in the files of their subjects.

A claim, and each statement of an attempt, decides by its guard alone whether it may write, because it holds no lock on
the run from before. All other transactions lock the session and the run, read the run, decide, and only then execute a
statement, so its guard always matches. It is there to keep a caller that forgot the lock from overwriting what another
transaction committed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from musterd.core.states import ACCEPTED_AS, EDGES, FINAL, MEMBER_EDGES, RunState, is_edge
from musterd.store.crashes import HAS_WAITED, NOTHING_STORED
from musterd.store.database import Statement
from musterd.store.rows import RUN_COLUMNS, RUN_FIELDS

NEXT_VERSION = "version = version + 1"
"""Assigns the next version of a run. The run's ETag contains it, so a poll with the old ETag gets a new answer. Each
transition takes the next version, and so does a statement that stores a cancel request, which answers show as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition(Statement):
    """A statement that changes the state of runs or creates runs.

    :param sources: the states that it changes; empty if it creates runs.
    :param target: the state that it changes them to.
    :param is_of_members: whether the runs are members, so that the edges are those of ``MEMBER_EDGES``.
    """

    sources: tuple[RunState, ...]
    target: RunState
    is_of_members: bool = False


def transition(
    name: str, sources: Iterable[RunState], target: RunState, text: str, *, is_of_members: bool = False
) -> Transition:
    """Build a statement that changes runs from one of ``sources`` to ``target``.

    :param text: its SQL with the words ``OLD_STATE`` and ``NEW_STATE``.
    :raises ValueError: the table does not have one of these edges, or the text lacks a word.
    """
    sources, edges = tuple(sources), MEMBER_EDGES if is_of_members else EDGES
    if not sources or not all(is_edge(source, target, edges) for source in sources):
        raise ValueError(f"{name}: the table does not have an edge from each of {sources} to {target}")
    if "OLD_STATE" not in text or text.count("NEW_STATE") != 1:
        raise ValueError(f"{name}: the text does not use OLD_STATE, or does not use NEW_STATE once")
    # As literals: SQLite uses a partial index (WHERE state = 'ready') only if the statement contains the same literal.
    old = ", ".join(f"'{state}'" for state in sources)
    condition = f"state = {old}" if len(sources) == 1 else f"state IN ({old})"
    text = text.replace("OLD_STATE", condition).replace("NEW_STATE", f"state = '{target}', {NEXT_VERSION}")
    return Transition(name, text, sources=sources, target=target, is_of_members=is_of_members)


def transition_to_each(
    name: str, sources: Iterable[RunState], targets: Iterable[RunState], text: str, *, is_of_members: bool = False
) -> Mapping[RunState, Transition]:
    """Build one statement for each of ``targets``, for a caller that decides between them."""
    sources = tuple(sources)
    return {
        target: transition(f"{name}_{target}", sources, target, text, is_of_members=is_of_members) for target in targets
    }


def _insertion(state: RunState) -> str:
    values = ", ".join(f"'{state}'" if name == "state" else f":{name}" for name in RUN_FIELDS)
    return f"INSERT INTO runs ({RUN_COLUMNS}, shard) VALUES ({values}, :shard)"


UNFINISHED = tuple(state for state in RunState if not state.is_final)
"""The states of a run that has not finished."""


# Creation

ACCEPT: Mapping[RunState, Transition] = {
    state: Transition(f"run_accept_{state}", _insertion(state), sources=(), target=state)
    for state in RunState
    if state in ACCEPTED_AS
}
START_MEMBER = Transition(
    "member_start", _insertion(RunState.RUNNING), sources=(), target=RunState.RUNNING, is_of_members=True
)
# Not a transition: a copy for a session fork has the final state of its original, and nothing is executed for it.
COPY: Mapping[RunState, Statement] = {
    state: Statement(f"run_copy_{state}", _insertion(state)) for state in RunState if state in FINAL
}


# The queue of a session

# A delayed run that is due. Upkeep of several processes lists the same runs; each locks the session and reads the run
# again, so the first one moves it and the others leave it out.
JOIN_QUEUE = transition_to_each(
    "queue_join",
    [RunState.SCHEDULED],
    [RunState.QUEUED, RunState.READY],
    """UPDATE runs SET NEW_STATE, seq = :seq, holder = :holder, queued_at = :now, not_before = NULL
       WHERE run_id = :run_id AND shard = :shard AND OLD_STATE""",
)
# The caller holds the session's lock, so the run that is picked cannot be cancelled or fail before the update. The
# queue may have a head all the same: the run that finished may have been a parallel one, and a paused run may keep its
# place (`hold_paused`). The new head takes `holder`, which is unique: even without the lock there cannot be two heads.
PROMOTE = transition(
    "queue_promote",
    [RunState.QUEUED],
    RunState.READY,
    f"""UPDATE runs SET NEW_STATE, holder = lane
       WHERE run_id = COALESCE(
           (SELECT run_id FROM runs WHERE lane = :lane AND shard = :shard AND OLD_STATE AND on_busy = 'interrupt'
            ORDER BY seq LIMIT 1),
           (SELECT run_id FROM runs WHERE lane = :lane AND shard = :shard AND OLD_STATE ORDER BY seq LIMIT 1))
         AND shard = :shard
         AND NOT EXISTS (SELECT 1 FROM runs WHERE holder = :lane AND shard = :shard)
       RETURNING {RUN_COLUMNS}""",
)


# Claim and release

BEGUN_AT = """COALESCE(started_at, (SELECT CASE WHEN s.updated_at > :now THEN s.updated_at ELSE :now END
                                                FROM sessions s
                                            WHERE s.session_id = runs.session_id AND s.shard = runs.shard), :now)"""
"""The start time of a claimed run, in SQL. It is never before the last end in the session: the claimer read its clock
before the transaction, which may have waited for that end to commit."""


# A claim locks no session. A stored cancel wins over it. Two workers may claim at the same time: SKIP_LOCKED_ROWS makes
# each skip the rows that the other has locked, so a run is claimed once and no claim waits. A cancel that has the lock
# is skipped as well, and one that committed first has moved the run out of `ready`. MATERIALIZED stops Postgres from
# evaluating the locking subquery more than once.
def _claim(name: str, condition: str, order: str) -> Transition:
    return transition(
        name,
        [RunState.READY],
        RunState.RUNNING,
        f"""WITH picked AS MATERIALIZED (
          SELECT run_id, shard FROM runs WHERE OLD_STATE AND cancel_requested_at IS NULL {condition}
          AND IN_LIST(component_kind || ':' || component_id, :components)
          AND crashes BETWEEN :min_crashes AND :max_crashes AND {HAS_WAITED}
          {order} SKIP_LOCKED_ROWS)
        UPDATE runs SET NEW_STATE, attempt = attempt + 1, worker = :worker,
                        started_at = {BEGUN_AT}, not_before = {NOTHING_STORED}
        WHERE (run_id, shard) IN (SELECT run_id, shard FROM picked)
        RETURNING {RUN_COLUMNS}""",
    )


CLAIM = _claim("runs_claim", "", "ORDER BY priority DESC, queued_at LIMIT :limit")
# All of these runs are claimed, so they need no order.
CLAIM_BY_IDS = _claim("runs_claim_by_ids", "AND IN_LIST(run_id, :run_ids)", "")
# A stopping attempt and the observer of its dead worker may both release the run, and another worker may claim it in
# between. The attempt number makes sure that only the attempt that is meant loses the run. `holder` stays, so no other
# run of the session can start first.
RELEASE = transition(
    "run_release",
    [RunState.RUNNING],
    RunState.READY,
    """UPDATE runs SET NEW_STATE, worker = NULL, activity = NULL, not_before = :not_before, crashes = :crashes,
                       crashes_in_all = :in_all
       WHERE run_id = :run_id AND shard = :shard AND attempt = :attempt AND OLD_STATE""",
)


# An attempt finishes or pauses its run

# The fence of every write of an attempt (see `attempt_writes.FENCE`): its run may have been released after a stop of
# the process and claimed by another worker, and then the newer attempt wins.
# `worker` stays: a run of one attempt has no other record of the process that drove it (`run_attempts`).
_FINISH = """UPDATE runs SET NEW_STATE, next_event = next_event + :count, holder = NULL, ended_at = :now,
                       error_code = :error_code, not_before = NULL, activity = NULL,
                       totals = COALESCE(:totals, totals),
                       first_token_at = COALESCE(first_token_at, :first_token_at)
       WHERE run_id = :root AND shard = :shard AND attempt = :attempt AND OLD_STATE"""
# Clients are told that their cancel is stored, so a cancel that was committed first wins: the run can then only finish
# as cancelled.
FINISH: Mapping[RunState, Transition] = {
    **transition_to_each(
        "attempt_finish",
        [RunState.RUNNING],
        [RunState.COMPLETED, RunState.ERROR],
        f"{_FINISH} AND cancel_requested_at IS NULL RETURNING next_event, signals",
    ),
    **transition_to_each(
        "attempt_finish", [RunState.RUNNING], [RunState.CANCELLED], f"{_FINISH} RETURNING next_event, signals"
    ),
}
# The fence, plus three more conditions: no stored cancel, no decision and no member's cancel that the attempt has not
# seen. Without them a run could pause just after its decision came, and never resume.
PAUSE = transition(
    "attempt_pause",
    [RunState.RUNNING],
    RunState.PAUSED,
    """UPDATE runs SET NEW_STATE, next_event = next_event + :count, worker = NULL,
                       holder = CASE WHEN hold_paused = 1 THEN holder END, expires_at = :expires_at,
                       first_token_at = COALESCE(first_token_at, :first_token_at), crashes = 0, not_before = NULL,
                       totals = COALESCE(:totals, totals), activity = COALESCE(:activity, activity),
                       cancel_on_disconnect = 0
       WHERE run_id = :root AND shard = :shard AND attempt = :attempt AND OLD_STATE AND cancel_requested_at IS NULL
         AND NOT EXISTS (SELECT 1 FROM approvals WHERE root_id = :root AND shard = :shard AND state = 'decided')
         AND NOT EXISTS (SELECT 1 FROM runs AS member WHERE member.root_id = :root AND member.shard = :shard
                         AND member.parent_id IS NOT NULL AND member.cancel_requested_at IS NOT NULL
                         AND member.state IN ('running', 'paused'))
       RETURNING next_event""",
)


# A run that no attempt drives resumes or finishes

# A decision, a member's cancel and the expiry may meet. Each reads the run under the lock, so only the first one finds
# it paused and resumes it.
RESUME = transition_to_each(
    "run_resume",
    [RunState.PAUSED],
    [RunState.READY, RunState.QUEUED],
    """UPDATE runs SET NEW_STATE, holder = :holder, expires_at = NULL, activity = NULL
       WHERE run_id = :run_id AND shard = :shard AND OLD_STATE""",
)
# `:state` is the state of the locked record from which the caller decided that no attempt drives the run. A running run
# is cancelled here only if its worker is dead or its attempt has stopped.
CANCEL = transition(
    "run_cancel",
    UNFINISHED,
    RunState.CANCELLED,
    """UPDATE runs SET NEW_STATE, holder = NULL, worker = NULL, ended_at = :now,
                       cancel_requested_at = COALESCE(cancel_requested_at, :now), cancel_by = COALESCE(cancel_by, :by),
                       next_event = next_event + 1, activity = NULL
       WHERE run_id = :run_id AND shard = :shard AND state = :state AND OLD_STATE RETURNING next_event""",
)
# Like CANCEL; the attempt number in addition, because a running run fails here if one certain attempt crashed.
FAIL = transition(
    "run_fail",
    UNFINISHED,
    RunState.ERROR,
    """UPDATE runs SET NEW_STATE, holder = NULL, worker = NULL, ended_at = :now, error_code = :code,
                       next_event = next_event + 1, activity = NULL
       WHERE run_id = :run_id AND shard = :shard AND state = :state AND attempt = :attempt AND OLD_STATE
       RETURNING next_event""",
)


# Members change in transactions that have updated or locked their root, so no other transaction changes them meanwhile.

PAUSE_MEMBERS = transition(
    "members_pause",
    [RunState.RUNNING],
    RunState.PAUSED,
    "UPDATE runs SET NEW_STATE WHERE root_id = :root AND shard = :shard AND parent_id IS NOT NULL AND OLD_STATE",
    is_of_members=True,
)
RESUME_MEMBERS = transition(
    "members_resume",
    [RunState.PAUSED],
    RunState.RUNNING,
    "UPDATE runs SET NEW_STATE WHERE root_id = :root AND shard = :shard AND parent_id IS NOT NULL AND OLD_STATE",
    is_of_members=True,
)
# One batch may contain the ends of a member and of members below it. The end of the upper one may have closed the
# others already, and then they keep that state.
FINISH_MEMBER = transition_to_each(
    "member_finish",
    [RunState.RUNNING],
    [RunState.COMPLETED, RunState.ERROR, RunState.CANCELLED],
    """UPDATE runs SET NEW_STATE, ended_at = :now, error_code = :error_code
       WHERE run_id = :run_id AND shard = :shard AND OLD_STATE""",
    is_of_members=True,
)
# Members that finished before their root, or before the member above them, keep their state.
CLOSE_MEMBERS = transition_to_each(
    "members_close",
    [RunState.RUNNING, RunState.PAUSED],
    [RunState.ERROR, RunState.CANCELLED],
    """UPDATE runs SET NEW_STATE, ended_at = :now
       WHERE root_id = :root AND shard = :shard AND parent_id IS NOT NULL AND OLD_STATE""",
    is_of_members=True,
)
CLOSE_MEMBERS_BELOW = transition_to_each(
    "members_close_below",
    [RunState.RUNNING, RunState.PAUSED],
    [RunState.ERROR, RunState.CANCELLED],
    """UPDATE runs SET NEW_STATE, ended_at = :now
       WHERE root_id = :root AND shard = :shard AND path LIKE :below AND OLD_STATE""",
    is_of_members=True,
)
