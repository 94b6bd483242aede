"""Keeps the firings of runs that are removed."""

from collections.abc import Sequence

from musterd.engine.run_removal_hook import RunRemovalHook
from musterd.engine.slices import Slices
from musterd.features.schedules import store
from musterd.store.database import Database
from musterd.store.run_removal import Removable


async def _nothing(database: Database, slices: Slices, runs: Sequence[Removable], now: float) -> None:
    """There is nothing to prepare."""


REMOVAL_HOOK = RunRemovalHook(prepare=_nothing, in_transaction=store.keep_of_runs)
