"""Which runs and approvals have changed since an earlier look. The look reads as little as possible of each run.

Running runs and pending approvals are compared with those of the earlier look; runs that were accepted or that finished
are found by their times. Together they cover every change of a run: a run that leaves the running ones is read again,
and one that pauses opens an approval.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from musterd.core import jsontext
from musterd.core.callers import Caller
from musterd.core.run_changes import ApprovalSnapshot
from musterd.core.run_summaries import SummarizedRun
from musterd.store import run_summaries
from musterd.store.database import Row, Statement, Tx

# The extra condition holds for every running root. It makes SQLite use the partial index of these.
RUNNING = Statement(
    "changes_running",
    """SELECT run_id, version, totals, activity FROM runs
       WHERE state = 'running' AND parent_id IS NULL AND worker IS NOT NULL""",
)
ACCEPTED = Statement(
    "changes_accepted", "SELECT run_id, version FROM runs WHERE parent_id IS NULL AND created_at >= :since"
)
FINISHED = Statement(
    "changes_finished",
    """SELECT run_id, version FROM runs
       WHERE parent_id IS NULL AND ended_at IS NOT NULL AND is_compacted IN (0, 1) AND ended_at >= :since""",
)
_IS_LISTED = "(approval_type IS NULL OR approval_type <> 'audit')"
PENDING = Statement("changes_pending", f"SELECT id FROM approvals WHERE status = 'pending' AND {_IS_LISTED}")
_APPROVALS = """SELECT a.id, a.root_id, a.status, a.created_at, r.owner
                FROM approvals a JOIN runs r ON r.run_id = a.root_id AND r.shard = a.shard WHERE"""
APPROVALS = Statement("changes_approvals", f"{_APPROVALS} IN_LIST(a.id, :ids)")
_OWN = "(CAST(:owner AS TEXT) IS NULL OR owner = :owner)"
LIVE = Statement(
    "changes_live",
    f"""SELECT run_id FROM runs WHERE parent_id IS NULL
        AND state IN ('scheduled', 'queued', 'ready', 'running', 'paused') AND {_OWN}
        ORDER BY created_at DESC, run_id DESC LIMIT :limit""",
)
MISSED = Statement(
    "changes_missed",
    f"""SELECT run_id FROM runs
        WHERE parent_id IS NULL AND ended_at IS NOT NULL AND is_compacted IN (0, 1) AND ended_at >= :since AND {_OWN}
        ORDER BY ended_at DESC LIMIT :limit""",
)
# One that was closed without a decision has no time of its own.
APPROVALS_OF = Statement(
    "changes_approvals_of",
    f"""{_APPROVALS} IN_LIST(a.root_id, :root_ids) AND {_IS_LISTED}
        AND (a.status IN ('pending', 'expired', 'cancelled') OR a.decided_at >= :since)
        ORDER BY a.created_at, a.id""",
)

ComparedRun = tuple[int, str | None, str | None]
"""What of a running run is compared: its version, totals and activity, as they are stored."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look has seen.

    :param running: the running runs.
    :param recent: the versions of the runs that were accepted or that finished shortly before.
    :param pending: the pending approvals by id.
    """

    running: Mapping[str, ComparedRun] = field(default_factory=dict)
    recent: Mapping[str, int] = field(default_factory=dict)
    pending: Mapping[str, ApprovalSnapshot] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """A look, and what has changed since the one before."""

    seen: Seen
    runs: list[SummarizedRun]
    approvals: list[ApprovalSnapshot]


async def look(tx: Tx, before: Seen | None, since: float) -> Look:
    """Look for changes.

    :param before: what the last look has seen; None: this is the first one, which only notes what there is.
    :param since: a time from which on runs may have been accepted or may have finished without having been seen.
    """
    rows = await tx.all(RUNNING, {})
    running: dict[str, ComparedRun] = {row["run_id"]: (row["version"], row["totals"], row["activity"]) for row in rows}
    recent: dict[str, int] = {}
    for statement in (ACCEPTED, FINISHED):
        recent.update((row["run_id"], row["version"]) for row in await tx.all(statement, {"since": since}))
    pending_ids = {row["id"] for row in await tx.all(PENDING, {})}
    old = before or Seen()
    new_approvals = await _approvals(tx, pending_ids - old.pending.keys())
    pending = {approval_id: old.pending[approval_id] for approval_id in pending_ids & old.pending.keys()}
    pending.update((approval.id, approval) for approval in new_approvals)
    seen = Seen(running, recent, pending)
    if before is None:
        return Look(seen, [], [])
    approvals = [*new_approvals, *await _approvals(tx, before.pending.keys() - pending_ids)]
    changed = _changed(before, seen) | {approval.root_id for approval in approvals}
    return Look(seen, await run_summaries.by_ids(tx, changed) if changed else [], approvals)


def _changed(before: Seen, seen: Seen) -> set[str]:
    """The runs that are to be read again."""
    running = {run_id for run_id, state in seen.running.items() if before.running.get(run_id) != state}
    recent = {run_id for run_id, version in seen.recent.items() if before.recent.get(run_id) != version}
    return running | recent | (before.running.keys() - seen.running.keys())


async def _approvals(tx: Tx, ids: Collection[str]) -> list[ApprovalSnapshot]:
    return [_approval(row) for row in await tx.all(APPROVALS, {"ids": jsontext.dumps(sorted(ids))})] if ids else []


@dataclass(frozen=True, slots=True)
class Missed:
    """What a reader that comes back may have missed.

    :param is_complete: False: there was too much, and only the latest runs are here.
    """

    runs: list[SummarizedRun]
    approvals: list[ApprovalSnapshot]
    is_complete: bool


async def missed(tx: Tx, since: float, caller: Caller, limit: int) -> Missed:
    """All unfinished runs and those that finished since a time, with their approvals, as far as the caller sees them.

    :param limit: the most unfinished runs, and the most finished ones.
    """
    owner = {"owner": caller.sees_only, "limit": limit + 1}
    live = _ids(await tx.all(LIVE, owner))
    finished = _ids(await tx.all(MISSED, {**owner, "since": since}))
    run_ids = [*live[:limit], *finished[:limit]]
    rows = await tx.all(APPROVALS_OF, {"root_ids": jsontext.dumps(run_ids), "since": since}) if run_ids else []
    return Missed(
        await run_summaries.by_ids(tx, run_ids) if run_ids else [],
        [_approval(row) for row in rows],
        is_complete=max(len(live), len(finished)) <= limit,
    )


def _ids(rows: Iterable[Row]) -> list[str]:
    return [row["run_id"] for row in rows]


def _approval(row: Row) -> ApprovalSnapshot:
    return ApprovalSnapshot(row["id"], row["root_id"], row["owner"], row["status"], row["created_at"])
