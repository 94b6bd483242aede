"""One attempt: load → drive → settle, over one value.

The attempt is the border where every failure of a run becomes an end that a client can see.
"""

import asyncio
from dataclasses import dataclass

import structlog

from musterd.core import clock
from musterd.core.errors import LeaseLost, LimitReached, RunFailed
from musterd.core.events import Event, EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.records import RunRow
from musterd.core.states import RunState
from musterd.engine.journal import Journal
from musterd.engine.media import prompt_of
from musterd.engine.outbox import Outbox, until_available
from musterd.engine.resources import Resources
from musterd.models.addresses import passes_image_addresses_on
from musterd.specs import Component
from musterd.store import attempt_input
from musterd.store.attempts import CancelStored, End, Lease, Settled
from musterd.team import state
from musterd.team.assignment import Assignment, Progress
from musterd.team.conversation import earlier_messages
from musterd.team.delegation import end_event
from musterd.team.loop import Loop
from musterd.team.steps import Emit
from musterd.team.world import World

log = structlog.get_logger("musterd.engine")

STOP_SECONDS = 2.0
"""How long a loop may take to end when it is told to."""
INTERNAL = "The run failed inside the server. Its log has the details under this run's id."


@dataclass(slots=True)
class Drive:
    """How driving the loop ended."""

    state: RunState
    error: RunFailed | None = None


class Attempt:
    """One attempt of a root run.

    :param run: its row as claimed: this attempt's number is in it.
    """

    def __init__(self, resources: Resources, run: RunRow) -> None:
        self._resources = resources
        self._run = run
        self._outbox = Outbox(resources.database, resources.hub, Lease(run.run_id, run.attempt), resources.settings)
        self._outbox.on_failed = self._stop_loop
        self._loop: Loop | None = None
        self._driving: asyncio.Task[None] | None = None
        self._is_cancelled = run.cancel_requested_at is not None
        self._state_before: JsonObject = {}

    def cancel(self) -> None:
        """Stop the loop where it is; what it produced is kept. The intent is stored already."""
        self._is_cancelled = True
        self._stop_loop()

    def _stop_loop(self) -> None:
        self._outbox.stop()
        if self._driving is not None:
            self._driving.cancel()

    async def execute(self) -> Settled | None:
        """Drive the run to its end. None: another attempt owns the run.

        Cancelling this coroutine gives the attempt up: nothing more is written.
        """
        try:
            how = await self._drive()
            return await self._settle(how)
        except LeaseLost:
            log.warning("attempt lost its run", run_id=self._run.run_id, attempt=self._run.attempt)
            return None
        finally:
            self._outbox.close()

    # --- load -------------------------------------------------------------------------------------

    async def _load(self) -> Loop:
        run, resources = self._run, self._resources
        component = resources.component(run.component_kind, run.component_id)
        if component is None:
            raise RuntimeError(f"{run.component_kind} {run.component_id} is not served here")
        await resources.models.load(component)
        spec = component.spec
        found = await until_available(
            lambda: resources.database.read(
                lambda tx: attempt_input.load(
                    tx, run, shows_history=spec.add_history_to_context, history_runs=spec.num_history_runs
                )
            ),
            run.run_id,
        )
        options = found.input.options
        self._state_before = found.state
        world = World(
            root_id=run.run_id,
            session_id=run.session_id,
            user_id=run.user_id,
            salt=run.salt or clock.new_id(),
            steps=Journal(self._outbox, run),
            emit=self._emit_for(component),
            models=resources.models,
            settings=resources.settings,
            threads=resources.threads,
            dependencies=options.get("dependencies") or {},
            metadata=options.get("metadata") or {},
        )
        assignment = Assignment(
            component=component,
            run_id=run.run_id,
            parent_id=None,
            path="",
            prompt=prompt_of(
                found.input,
                found.blobs,
                passes_image_addresses_on=passes_image_addresses_on(resources.models.of(component)),
            ),
            state=state.copied({**(spec.session_state or {}), **found.state, **options.get("session_state", {})}),
            history=[message for text in found.history for message in earlier_messages(text)],
            output_schema=options.get("output_schema"),
        )
        return Loop(world, assignment)

    def _emit_for(self, component: Component) -> Emit:
        if getattr(component.spec, "stream_member_events", True):
            return self._outbox.emit
        root_id = self._run.run_id

        def emit_own(event: Event) -> None:
            if event.run_id == root_id:
                self._outbox.emit(event)

        return emit_own

    # --- drive ------------------------------------------------------------------------------------

    async def _drive(self) -> Drive:
        seconds = self._resources.settings.run_seconds
        limit = asyncio.timeout(seconds)
        try:
            self._driving = asyncio.create_task(self._drive_loop())
            if self._is_cancelled:
                self._driving.cancel()
            async with limit:
                await asyncio.wait([self._driving])  # not awaited itself: a tool might not pass a cancel on
            self._driving.result()
            return Drive(RunState.COMPLETED)
        except RunFailed as error:
            return Drive(RunState.ERROR, error)
        except LeaseLost:
            raise
        except (Exception, asyncio.CancelledError) as error:
            if self._is_given_up():
                await self._stop_driving()
                raise
            if isinstance(self._outbox.failure, LeaseLost):
                raise self._outbox.failure from error
            if self._is_cancelled:
                return Drive(RunState.CANCELLED)
            if limit.expired():
                await self._stop_driving()
                reached = LimitReached(f"The run's time limit of {seconds:g} s was reached.", "time_limit")
                return Drive(RunState.ERROR, reached)
            cause = self._outbox.failure or error
            log.exception("run failed inside the server", run_id=self._run.run_id, exc_info=cause)
            return Drive(RunState.ERROR, RunFailed(INTERNAL, "internal_error"))

    async def _drive_loop(self) -> None:
        if self._run.attempt > 1:
            self._tell_continued()
        self._loop = await self._load()
        await self._loop.drive()

    def _tell_continued(self) -> None:
        """Say that this attempt begins anew, and that all that was streamed before is void."""
        data: JsonObject = {
            "attempt": self._run.attempt,
            "reason": "recovered",
            "superseded": [{"run_id": self._run.run_id, "path": "", "from_event_index": 0}],
        }
        self._outbox.emit(Event(EventKind.RUN_CONTINUED, self._run.run_id, clock.now(), data))

    def _is_given_up(self) -> bool:
        """Whether this coroutine itself was cancelled, and not only the loop that it drives."""
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    async def _stop_driving(self) -> None:
        self._outbox.stop()
        if self._driving is not None and not self._driving.done():
            self._driving.cancel()
            _, stuck = await asyncio.wait([self._driving], timeout=STOP_SECONDS)
            if stuck:  # it holds a slot of nobody any more: its steps are refused, its result is late
                log.warning("a tool does not stop; its run ends without it", run_id=self._run.run_id)
                return
        if self._driving is not None and not self._driving.cancelled():
            self._driving.exception()  # whatever it was, the attempt ends for another reason

    # --- settle -----------------------------------------------------------------------------------

    async def _settle(self, how: Drive) -> Settled:
        progress = self._loop.progress if self._loop is not None else Progress()  # it may have ended before it began
        try:
            return await self._store_end_or_cancel(how, progress)
        except LeaseLost:
            raise
        except Exception as error:
            log.exception("a run's end could not be stored as it was", run_id=self._run.run_id, exc_info=error)
            self._outbox.discard()
            failed = Drive(RunState.ERROR, RunFailed(INTERNAL, "internal_error"))
            return await self._store_end_or_cancel(failed, Progress())

    async def _store_end_or_cancel(self, how: Drive, progress: Progress) -> Settled:
        """Store the end; a cancelled one where a cancel was stored first."""
        try:
            return await self._store_end(how, progress)
        except CancelStored:
            return await self._store_end(Drive(RunState.CANCELLED), progress)

    async def _store_end(self, how: Drive, progress: Progress) -> Settled:
        run, loop = self._run, self._loop
        output, at = progress.output, clock.now()
        kind, data = end_event(run.run_id, progress, how.state, how.error)
        if output.seconds is None:
            output.seconds = max(at - (run.started_at or at), 0.0)
        is_loops = loop is not None and progress is loop.progress
        after = loop.run.state if loop is not None and is_loops else self._state_before
        output.session_state = after or None
        if kind is EventKind.RUN_COMPLETED:
            data["output"] = output.as_json()
        end = End(
            state=how.state,
            at=at,
            session_id=run.session_id,
            output=output,
            messages=progress.messages,
            state_delta=state.delta(self._state_before, after),
        )
        return await self._outbox.settle(end, Event(kind, run.run_id, at, data))
