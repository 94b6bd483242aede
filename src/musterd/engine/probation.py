"""Probation: while suspects have just been begun, this process begins no other run (``store/crashes.py``).

Before it begins suspects, the process waits until it drives nothing. It does not wait long: runs may take hours, and
meanwhile no run could begin here. After each probation other runs have their turn, until upkeep looks again.
"""

import asyncio
from collections.abc import Callable, Coroutine

import structlog

from musterd.core import clock
from musterd.core.records import RunRow
from musterd.engine.outbox import until_available
from musterd.engine.slots import Slots
from musterd.store import suspects
from musterd.store.database import Database
from musterd.store.suspects import Suspects

log = structlog.get_logger("musterd.engine")

IDLE_WAIT_SECONDS = 2.0
"""How long suspects wait until nothing else is at work."""


class Probation:
    """The probation of one process.

    :param spawn: begins a task of the engine.
    :param on_over: called when others may begin again.
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
        """Whether suspects wait for their turn."""
        return self._awaited_since is not None

    @property
    def is_due(self) -> bool:
        """Whether suspects are to be begun now."""
        if self._awaited_since is None or self._slots.room <= 0:
            return False
        return self._slots.is_idle or clock.monotonic() - self._awaited_since >= IDLE_WAIT_SECONDS

    def is_on(self, run_id: str) -> bool:
        """Whether the run is on probation."""
        return run_id in self._on_probation

    def suspects_ready(self, *, is_any: bool) -> None:
        """Have suspects begun next, if there are any; while some are on probation, others wait."""
        if self._on_probation:
            return
        if not is_any:
            self._awaited_since = None
        elif self._awaited_since is None:
            self._awaited_since = clock.monotonic()
        self._set_aside()

    def begin(self, begun: Suspects) -> None:
        """These were claimed."""
        self._awaited_since = None
        self._on_probation = {run.run_id: run for run in begun.runs}
        self._set_aside()
        if begun.runs:
            log.warning(
                "runs whose worker died twice are begun before others",
                run_ids=list(self._on_probation),
                seconds=begun.seconds,
            )
            asyncio.get_running_loop().call_later(begun.seconds, self._time_is_over, begun)

    def passed(self, run_id: str) -> None:
        """The run has stored a step, or has ended."""
        if self._on_probation.pop(run_id, None) is not None and not self._on_probation:
            self._set_aside()
            self._on_over()

    def _time_is_over(self, begun: Suspects) -> None:
        for run in begun.runs:
            if self._on_probation.get(run.run_id) is run:
                self._spawn(self._survive(run))

    async def _survive(self, run: RunRow) -> None:
        # Stored before others begin: otherwise a crash of theirs would count as one of this run on probation.
        await until_available(lambda: self._database.write(lambda tx: suspects.survived(tx, run)), run.run_id)
        self.passed(run.run_id)

    def _set_aside(self) -> None:
        self._slots.is_for_suspects = self.is_awaited or bool(self._on_probation)
