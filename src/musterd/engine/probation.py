"""Probation: while suspects have just been begun, this process begins no other run (see ``store/crashes.py``).

Before it begins suspects, the process waits until it drives nothing, but not for long: runs may take hours, and no run
could begin here meanwhile. After each probation other runs have their turn, until upkeep looks for suspects again.
"""

import asyncio
from collections.abc import Callable, Coroutine

import structlog

from musterd.core import clock
from musterd.core.records import RunRow
from musterd.engine.database_retry import until_available
from musterd.engine.slots import Slots
from musterd.store import suspects
from musterd.store.database import Database
from musterd.store.suspects import Suspects

log = structlog.get_logger("musterd.engine")

IDLE_WAIT_SECONDS = 2.0
"""How long suspects wait for the process to be idle."""


class Probation:
    """The probation of one process.

    :param spawn: starts a task that the worker keeps.
    :param on_over: called when other runs may begin again.
    """

    def __init__(
        self,
        slots: Slots,
        database: Database,
        spawn: Callable[[Coroutine[object, object, None]], None],
        on_over: Callable[[], None],
    ) -> None:
        self._slots = slots
        self._database = database
        self._spawn = spawn
        self._on_over = on_over
        self._awaited_since: float | None = None
        self._on_probation: dict[str, RunRow] = {}

    @property
    def is_awaited(self) -> bool:
        """Whether suspects wait to be begun."""
        return self._awaited_since is not None

    @property
    def is_due(self) -> bool:
        """Whether suspects should be begun now."""
        if self._awaited_since is None or self._slots.unused <= 0:
            return False
        return self._slots.is_idle or clock.monotonic() - self._awaited_since >= IDLE_WAIT_SECONDS

    def is_on(self, run_id: str) -> bool:
        """Whether the run is on probation."""
        return run_id in self._on_probation

    def suspects_ready(self, *, is_any: bool) -> None:
        """Note whether suspects are ready, and have them begun next. Ignored while others are on probation."""
        if self._on_probation:
            return
        if not is_any:
            self._awaited_since = None
        elif self._awaited_since is None:
            self._awaited_since = clock.monotonic()
        self._update_slots()

    def begin(self, suspects_begun: Suspects) -> None:
        """Put the claimed suspects on probation."""
        self._awaited_since = None
        # Further suspects wait until upkeep reports them again after this probation, so that other runs can begin in
        # between.
        self._on_probation = {run.run_id: run for run in suspects_begun.runs}
        self._update_slots()
        if suspects_begun.runs:
            log.warning(
                "runs whose worker died twice are on probation; other runs wait",
                run_ids=list(self._on_probation),
                seconds=suspects_begun.seconds,
            )
            asyncio.get_running_loop().call_later(suspects_begun.seconds, self._time_is_over, suspects_begun)

    def passed(self, run_id: str) -> None:
        """End the run's probation: it has stored a step, or is not driven here any more."""
        if self._on_probation.pop(run_id, None) is not None and not self._on_probation:
            self._update_slots()
            self._on_over()

    def _time_is_over(self, suspects_begun: Suspects) -> None:
        for run in suspects_begun.runs:
            # Compared by identity: the run may have ended this probation and be on another one, with a new row.
            if self._on_probation.get(run.run_id) is run:
                self._spawn(self._survive(run))

    async def _survive(self, run: RunRow) -> None:
        # Stored before other runs begin. Otherwise a crash that one of them causes would count as this run's crash on
        # probation.
        await until_available(lambda: self._database.write(lambda tx: suspects.survived(tx, run)), run.run_id)
        self.passed(run.run_id)

    def _update_slots(self) -> None:
        self._slots.is_for_suspects = self.is_awaited or bool(self._on_probation)
