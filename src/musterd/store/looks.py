"""Looks: what upkeep, and a process beside others, has to know of runs. They lock nothing and change nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from musterd.core import jsontext
from musterd.core.states import RunState
from musterd.store import deletion, schedule, workers
from musterd.store.crashes import HAS_WAITED, SOLO_FROM
from musterd.store.database import Statement, Tx

RUNS = Statement(
    "look_runs",
    """SELECT run_id, attempt, state, cancel_requested_at, signals, next_event, salt FROM runs
       WHERE IN_LIST(run_id, :run_ids)""",
)
_READY = f"""SELECT 1 AS found FROM runs WHERE state = 'ready' AND cancel_requested_at IS NULL
             AND IN_LIST(component_kind || ':' || component_id, :components)
             AND {HAS_WAITED} AND (crashes >= {SOLO_FROM}) = :is_solo LIMIT 1"""
READY = Statement("look_ready", _READY)
EXPIRED = Statement(
    "look_expired",
    "SELECT 1 AS found FROM runs WHERE state = 'paused' AND parent_id IS NULL AND expires_at <= :now LIMIT 1",
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands, as far as the process must know that drives it or waits for it.

    :param next_event: the index that its next event gets: where it has not moved, readers have nothing to look for.
    :param salt: tells the run from another that has its id, once it was deleted.
    """

    attempt: int
    state: RunState
    is_to_be_cancelled: bool
    signals: int = 0
    next_event: int = 0
    salt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What upkeep finds.

    :param beats: the workers that are announced or hold runs, with their counters.
    :param has_ready: whether a run waits that this process can claim; ``has_solo``: one that has to be driven alone.
    :param has_scheduled: whether a delayed run is due, or a pending one is over its time.
    :param has_expired: whether a paused run waited too long.
    :param buried: sessions whose deletion is still to be brought to its end.
    """

    beats: dict[str, int | None]
    has_ready: bool
    has_solo: bool
    has_scheduled: bool
    has_expired: bool
    buried: list[str]


async def due(tx: Tx, components: Sequence[str], now: float) -> Due:
    """What there is to do."""
    return Due(
        beats=await workers.known(tx),
        has_ready=await is_ready(tx, components, now),
        has_solo=await is_ready(tx, components, now, is_solo=True),
        has_scheduled=await schedule.is_any_due(tx, now),
        has_expired=await tx.one(EXPIRED, {"now": now}) is not None,
        buried=await deletion.undone(tx),
    )


async def is_ready(tx: Tx, components: Sequence[str], now: float, *, is_solo: bool = False) -> bool:
    """Whether a run of these components can be claimed."""
    if not components:
        return False
    params = {"components": jsontext.dumps(list(components)), "now": now, "is_solo": is_solo}
    return await tx.one(READY, params) is not None


async def standings(tx: Tx, run_ids: Iterable[str]) -> dict[str, Standing]:
    """Where runs stand; those that are gone are left out."""
    rows = await tx.all(RUNS, {"run_ids": jsontext.dumps(list(run_ids))})
    return {
        row["run_id"]: Standing(
            row["attempt"],
            RunState(row["state"]),
            row["cancel_requested_at"] is not None,
            row["signals"],
            row["next_event"],
            row["salt"],
        )
        for row in rows
    }
