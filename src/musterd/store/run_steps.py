"""Reading the steps of a run for clients: in pages, and without their results."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from musterd.core.records import StepRow
from musterd.core.requirements import RequirementKind, Verdict
from musterd.core.states import RunState
from musterd.core.step_views import StepSettlement
from musterd.store import journal, run_forks
from musterd.store.database import Row, Statement
from musterd.store.shards import SessionTx

_COLUMNS = """root_id, path, kind, state, fingerprint, name, call_id, attempt, tries, started_at, ended_at, error,
              usage, cost, codec, earlier, timing"""
# The path of a member contains neither % nor _, so LIKE needs no escaping.
PAGE = Statement(
    "run_steps_page",
    f"""SELECT {_COLUMNS}, NULL AS result FROM journal WHERE root_id = :root AND shard = :shard AND path LIKE :below
        ORDER BY started_at, path LIMIT :limit""",
)
PAGE_AFTER = Statement(
    "run_steps_page_after",
    f"""SELECT {_COLUMNS}, NULL AS result FROM journal WHERE root_id = :root AND shard = :shard AND path LIKE :below
        AND (started_at, path) > (SELECT started_at, path FROM journal
                                      WHERE root_id = :root AND path = :after AND shard = :shard)
        ORDER BY started_at, path LIMIT :limit""",
)
ONE = Statement(
    "run_step",
    f"""SELECT {_COLUMNS}, result, content FROM journal
        WHERE root_id = :root AND path = :path AND shard = :shard""",
)
PLACES = Statement(
    "run_places",
    """SELECT run_id, path, state, attempt, forked_from FROM runs WHERE root_id = :root AND shard = :shard
       ORDER BY created_at""",
)
PLACES_ELSEWHERE = Statement(
    "run_places_elsewhere",
    "SELECT run_id, path FROM runs WHERE IN_LIST(run_id, :run_ids) AND shard = :shard ORDER BY created_at",
)
APPROVALS = Statement(
    "run_step_approvals",
    """SELECT id, path, kind, decision, decided_by, decided_at FROM approvals
       WHERE root_id = :root AND shard = :shard ORDER BY created_at, path""",
)
RESULTS = Statement(
    "run_step_results",
    """SELECT path, result, content FROM journal
       WHERE root_id = :root AND shard = :shard AND IN_LIST(path, :paths)""",
)
ALL = 2**62
"""A limit that no list reaches."""


@dataclass(frozen=True, slots=True)
class StepApproval:
    """The last approval of a call.

    :param settlement: what it decided about the outcome of the call; None if the call is to be made, or is undecided.
    """

    approval_id: str
    settlement: StepSettlement | None


async def page(tx: SessionTx, root_id: str, below: str, after: str | None, limit: int | None) -> Sequence[StepRow]:
    """Steps in order of their start, without their results.

    :param below: the path of the member whose steps are read; "" for the root, which means all steps.
    :param after: the path of the last step of the page before.
    """
    params = {"root": root_id, "below": f"{below}/%" if below else "%", "limit": ALL if limit is None else limit}
    if after is None:
        rows = await tx.all(PAGE, params)
    else:
        rows = await tx.all(PAGE_AFTER, {**params, "after": after})
    return [journal.step_row(row) for row in rows]


async def one(tx: SessionTx, root_id: str, path: str) -> StepRow | None:
    """One step, with its result."""
    row = await tx.one(ONE, {"root": root_id, "path": path})
    return None if row is None else replace(journal.step_row(row), result=journal.whole_result(row))


async def results(tx: SessionTx, root_id: str, paths: Iterable[str]) -> dict[str, str | None]:
    """The results of steps by their paths, as JSON texts; None: there is none."""
    rows = await tx.all(RESULTS, {"root": root_id, "paths": json.dumps(list(paths))})
    return {row["path"]: journal.whole_result(row) for row in rows}


async def places(tx: SessionTx, root_id: str) -> tuple[dict[str, str], int | None]:
    """The ids of the runs of a tree by their paths, and the attempt that is at work; None if there is none.

    The members' runs that a fork took over are included. They come first.
    """
    run_ids, attempt = dict[str, str](), None
    rows = await tx.all(PLACES, {"root": root_id})
    if any(row["forked_from"] is not None for row in rows):
        elsewhere = json.dumps(await run_forks.members_taken_over(tx, root_id))
        rows = [*await tx.all(PLACES_ELSEWHERE, {"run_ids": elsewhere}), *rows]
    for row in rows:
        run_ids[row["path"]] = row["run_id"]
        if row["run_id"] == root_id and row["state"] == RunState.RUNNING.value:
            attempt = int(row["attempt"])
    return run_ids, attempt


async def approvals(tx: SessionTx, root_id: str) -> dict[str, StepApproval]:
    """The last approval of each call, by the call's path."""
    rows = await tx.all(APPROVALS, {"root": root_id})
    return {row["path"]: StepApproval(row["id"], _settlement(row)) for row in rows}


def _settlement(row: Row) -> StepSettlement | None:
    verdict = None if row["decision"] is None else json.loads(row["decision"])["verdict"]
    if verdict not in (Verdict.HAPPENED, Verdict.REFUSED):
        return None
    return StepSettlement(
        verdict="happened" if verdict == Verdict.HAPPENED else "refused",
        by=row["decided_by"],
        at=row["decided_at"],
        was_cut_off=row["kind"] == RequirementKind.UNKNOWN_OUTCOME,
    )
