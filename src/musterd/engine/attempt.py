"""An attempt: what drives one run in this process, and how other tasks stop it or pass signals on to it."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from musterd.core.jsontypes import JsonObject
from musterd.core.records import RunRow
from musterd.engine.activity import Activity
from musterd.engine.journal import Journal
from musterd.engine.outbox import Outbox
from musterd.engine.resources import Resources
from musterd.engine.steering_inbox import SteeringInbox
from musterd.engine.step_gate import StepGate
from musterd.flow.walk import Walk
from musterd.loop.budget import Budgets
from musterd.loop.loop import Loop
from musterd.store.attempt_writes import Lease

if TYPE_CHECKING:
    from musterd.engine.spans import AttemptSpan


class Attempt:
    """One attempt of a root run: the value that flows through the phases of :mod:`musterd.engine.attempt_execution`.

    ``journal``, ``budgets``, ``state_before`` (the session's state before the run) and ``loop`` are set when the run is
    loaded. ``resumes`` counts how often the loop was driven before, until the run would have paused.

    :param run: the run's row as it was claimed; it holds this attempt's number.
    """

    def __init__(self, resources: Resources, run: RunRow) -> None:
        self.resources = resources
        self.run = run
        self.is_cancelled = run.cancel_requested_at is not None
        # A cancel that was stored before the claim: the loop begins no step, and the run ends as cancelled.
        self.gate = StepGate(is_stopped=self.is_cancelled)
        component = resources.component(run.component_kind, run.component_id)
        drops_media = component is not None and not component.spec.store_media
        lease = Lease(run.run_id, run.attempt, run.session_id, drops_media, run.webhooks, run.salt)
        database, broadcaster, settings = resources.database, resources.broadcaster, resources.settings
        self.outbox = Outbox(database, broadcaster, lease, settings, self.gate, Activity(run))
        self.outbox.on_failed, self.outbox.on_webhook_due = self.stop, resources.webhooks.wake
        self.inbox = SteeringInbox(resources.database, run)
        self.span: AttemptSpan | None = None
        self.journal: Journal | None = None
        self.budgets: Budgets | None = None
        self.state_before: JsonObject = {}
        self.loop: Loop | Walk | None = None
        self.resumes = 0
        self.wakeup: asyncio.Future[None] | None = None

    @property
    def number(self) -> int:
        """The number of this attempt among those of its run, from 1."""
        return self.run.attempt

    def cancel(self) -> None:
        """Stop the loop where it is and keep what it has produced. The cancel is stored already."""
        if not self.is_cancelled:
            self.is_cancelled = True
            self.stop()

    def hand_over(self) -> None:
        """Give the run up at its next step. Steps under way finish and are stored; another attempt continues."""
        self.gate.is_handing_over = True

    def signalled(self, count: int) -> None:
        """Note that the run has ``count`` signals now: messages to it or its members, and members' cancels."""
        self.inbox.signalled(count)

    def on_step_stored(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` each time that an ended step was stored."""
        self.outbox.on_step = callback

    def stop(self) -> None:
        """Stop the loop where it is."""
        self.gate.is_stopped = True  # first: a loop that swallows the cancel begins no further step
        self.wake()

    def wake(self, _: object = None) -> None:
        """End the wait for the loop: it has ended, or has to."""
        if self.wakeup is not None and not self.wakeup.done():
            self.wakeup.set_result(None)
