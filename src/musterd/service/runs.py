"""Runs: start, look, wait, read along, cancel."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.core import clock, faults, jsontext
from musterd.core.callers import Caller
from musterd.core.errors import InvalidInput, NotFound
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Input, RunRow, RunView, StepRow
from musterd.core.requirements import Decision
from musterd.core.scheduling import OnBusy, Turn
from musterd.core.states import RunState
from musterd.declare import Component, unsupported
from musterd.engine.resources import Resources
from musterd.engine.worker import Worker
from musterd.loop.run_tree import digest
from musterd.service.budgets import require_budget, so_far
from musterd.service.cancel_on_disconnect import CancelOnDisconnect
from musterd.service.connected_clients import ConnectedClients
from musterd.service.following import Following
from musterd.service.input_media import fill, medium_of, require_readable, stored_media
from musterd.service.output_schemas import require_output_schema, with_formed_message
from musterd.service.steering import Steering, request_of
from musterd.service.subscription import Reading
from musterd.service.webhooks import addresses
from musterd.store import acceptance, blobs, cancels, idempotency, journal, runs, session_deletion
from musterd.store.acceptance import Accepted, Candidate
from musterd.store.cancels import Cancelled
from musterd.store.database import Tx
from musterd.store.decisions import Deciding, decide
from musterd.store.idempotency import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A run that a client asks for.

    :param has_chosen_id: the client chose the run id, and may send the same request again.
    :param name: the id that the client chose, if the run has another one (:mod:`musterd.service.chosen_run_ids`).
    :param session_id: None for a new session.
    :param is_background: nobody waits for it on this connection.
    :param needs_company: it is to be cancelled when its last reader has gone.
    :param turn: when it gets its turn.
    :param key: the request's idempotency key: the same request under it is answered with the same run.
    """

    input: Input
    run_id: str
    has_chosen_id: bool = False
    name: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    is_background: bool = False
    needs_company: bool = False
    turn: Turn = field(default_factory=Turn)
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """A run about which decisions were taken.

    :param after: the index of the last event that the caller knows, or would be told again where nothing follows.
    :param is_replay: the same request under its key was here before: nothing was decided now.
    """

    run: RunRow
    after: int
    is_replay: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """A run after a cancel request, and whether the same request under its key was here before."""

    view: RunView
    is_replay: bool = False


class RunService:
    """The use cases of runs."""

    def __init__(self, resources: Resources, engine: Worker) -> None:
        self._resources = resources
        self._engine = engine
        self.steering = Steering(resources, engine, self.find)
        abandonment = CancelOnDisconnect(resources, self._tell_cancelled)
        self.presence = ConnectedClients(resources.settings.disconnect_seconds, abandonment.cancel)
        self.following = Following(resources, self.find, self.presence)

    # --- start ------------------------------------------------------------------------------------

    async def start(self, component: Component, wanted: Wanted, caller: Caller) -> Accepted:
        """Accept a run; it is stored, and cannot be lost, when this returns.

        :raises InvalidInput: the component needs what this version does not have.
        :raises Conflict: the chosen run id or the key is taken, or the session is busy.
        :raises TooManyRequests: too many runs wait.
        :raises StoreUnavailable: nothing was stored.
        """
        if missing := unsupported(component):
            raise InvalidInput(" ".join(missing))
        require_output_schema(wanted.input)
        require_budget(component, wanted.input)
        await require_readable(self._resources, component, wanted.input)
        asked, contents = stored_media(wanted.input)
        run, fingerprint = self.row(component, wanted, caller), _fingerprint(component, wanted, asked)
        asked = with_formed_message(component, asked)
        candidate = Candidate(
            run=run,
            input=asked,
            caller=caller,
            fingerprint=fingerprint,
            has_chosen_id=wanted.has_chosen_id,
            name=wanted.name,
            key=wanted.key,
            slot_worker=self._engine.reserve(),  # last: whatever fails above keeps no slot
            queue_depth=self._resources.settings.queue_depth,
            shares=self._resources.shares,
        )

        async def work(tx: Tx) -> Accepted:
            accepted = await acceptance.accept(tx, candidate)
            if contents and not accepted.is_replay:
                until_end = not component.spec.store_media
                await blobs.put(tx, run.run_id, contents.values(), run.created_at, until_end=until_end)
            return accepted

        return await self.accept(candidate, work, needs_company=wanted.needs_company)

    async def accept(
        self, candidate: Candidate, work: Callable[[Tx], Coroutine[Any, Any, Accepted]], *, needs_company: bool
    ) -> Accepted:
        """Store a run by ``work``, and have it driven."""
        # Shielded: a client that goes away in the middle of it must not leave a slot taken, or a run undriven.
        accepting = asyncio.ensure_future(self._accept(candidate, work, needs_company))
        # If the client has gone, this is the only place that takes the error of a refusal: else asyncio logs it.
        accepting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(accepting)

    async def _accept(
        self, candidate: Candidate, work: Callable[[Tx], Coroutine[Any, Any, Accepted]], needs_company: bool
    ) -> Accepted:
        is_launched = False
        try:
            faults.point("accepting")
            accepted = await self._resources.database.write(work)
            faults.point("accepted")
            run = accepted.run
            if not accepted.is_replay:
                self._resources.accepted(run)
                if needs_company:
                    self.presence.needs_company(run.run_id)
                if run.state is RunState.RUNNING:
                    is_launched = True
                    self._engine.launch(run)
                elif run.state is RunState.READY:
                    self._engine.wake()
            if accepted.interrupted is not None:
                self._tell_cancelled(accepted.interrupted)
            return accepted
        finally:
            if candidate.slot_worker is not None and not is_launched:
                self._engine.unreserve()

    def row(self, component: Component, wanted: Wanted, caller: Caller) -> RunRow:
        """The row of a run that is about to be accepted."""
        info, now, turn = self._resources.models.describe(component), clock.now(), wanted.turn
        declared = OnBusy(getattr(component.spec, "on_busy", OnBusy.ENQUEUE))
        run = RunRow(
            run_id=wanted.run_id,
            root_id=wanted.run_id,
            parent_id=None,
            session_id=wanted.session_id or clock.new_id(),
            owner=caller.user_id,
            user_id=caller.user_id or wanted.user_id,
            component_kind=component.kind,
            component_id=component.id,
            component_name=component.name,
            model=info.model,
            model_provider=info.provider,
            state=RunState.READY,
            salt=clock.new_id(),
            definition_hash=component.definition_hash,
            is_background=wanted.is_background,
            cancel_on_disconnect=int(wanted.needs_company),
            on_busy=turn.on_busy or declared,
            priority=turn.priority or 0,
            hold_paused=bool(getattr(component.spec, "hold_paused", False)),
            created_at=now,
            not_before=now + turn.delay_seconds if turn.delay_seconds else None,
            webhooks=addresses(self._resources.settings, wanted.input),
            deadline_at=None if turn.timeout_seconds is None else now + turn.timeout_seconds,
        )
        return self._resources.accepting(run)

    # --- look and wait ----------------------------------------------------------------------------

    async def view(self, component: Component, run_id: str, session_id: str | None, caller: Caller) -> RunView:
        """A run of this component, or of one of its members in a run of it.

        :raises NotFound: there is none that this caller may see.
        """
        found = await self.find(component, run_id, session_id, caller)
        await fill(self._resources.database, found)
        return found

    async def medium(
        self, component: Component, run_id: str, session_id: str | None, caller: Caller, name: str
    ) -> tuple[JsonObject, bytes]:
        """One medium of a run, of its request or its own: what is shown of it, and its content.

        :raises NotFound: there is no such run that this caller may see, or no such medium in it.
        """
        found = await self.find(component, run_id, session_id, caller)
        item = medium_of(found, name)
        content = None if item is None else await self._resources.database.read(lambda tx: blobs.get(tx, name))
        if item is None or content is None:
            raise NotFound("Media not found")
        return item, content

    async def find(self, component: Component, run_id: str, session_id: str | None, caller: Caller) -> RunView:
        """The same, with references in place of the content of media.

        :raises NotFound: there is none that this caller may see.
        """
        found = await self._resources.database.read(
            lambda tx: runs.view(tx, run_id, component.kind, component.id, session_id, caller)
        )
        if found is None:
            raise NotFound("Run not found")
        return found

    async def spent(self, component: Component, view: RunView) -> JsonObject | None:
        """What a run that has not ended has spent of its budget; None: it has none."""
        return await so_far(self._resources.database, component, view)

    async def settled_view(
        self, component: Component, run_id: str, session_id: str | None, caller: Caller, seconds: float
    ) -> RunView:
        """The run once it has ended or paused, or as it stands when ``seconds`` are over.

        :raises NotFound: there is none that this caller may see.
        """
        found = await self.find(component, run_id, session_id, caller)
        if not found.row.state.is_settled and seconds > 0:
            if found.row.parent_id is None:
                await self._until_settled(found.row, seconds)
            else:  # it settles before its root does
                await self.following.until_settled(component, run_id, session_id, caller, seconds)
            found = await self.find(component, run_id, session_id, caller)
        await fill(self._resources.database, found)
        return found

    async def _until_settled(self, root: RunRow, seconds: float) -> None:
        """Wait until a root run has ended or paused, or is gone, or ``seconds`` are over."""
        await self.following.keep_company(root)
        waiter = self._resources.broadcaster.wait_settled_soon(root.run_id)
        try:
            with self.presence.waiting(root.run_id):
                state = await self._resources.database.read(lambda tx: runs.state_of(tx, root.run_id))
                if state is not None and not state.is_settled:  # it may have ended before we listened
                    await waiter.wait(seconds)
        finally:
            waiter.close()

    async def members(self, root_id: str, elsewhere: Sequence[str] = ()) -> list[RunView]:
        """The member runs of a root, with their payload.

        :param elsewhere: further ones, which a run that goes on from another took over.
        """
        return await self._resources.database.scan(lambda tx: runs.members(tx, root_id, elsewhere))

    # --- read along -------------------------------------------------------------------------------

    def subscribe(self, run_id: str) -> Reading:
        """Read along with a run that is about to be accepted; with one that was, by its ``come_late``."""
        return Reading(self._resources, run_id)

    # --- decide -----------------------------------------------------------------------------------

    async def decide(
        self,
        component: Component,
        run_id: str,
        session_id: str,
        decisions: Sequence[Decision],
        caller: Caller,
        key: str | None = None,
    ) -> Decided:
        """Take a person's decisions; a paused run goes on with the first of them.

        :raises NotFound: there is no such run that this caller may see.
        :raises InvalidInput: a decision is about nothing that the run waits for, or not what it waits for.
        :raises Forbidden: a call needs approval.
        :raises Conflict: it was decided otherwise already, or the key was used for another request.
        """
        found = await self.find(component, run_id, session_id, caller)
        if found.row.parent_id is not None:
            raise NotFound("Run not found")
        now, by = clock.now(), caller.user_id or "client"
        told = jsontext.canonical([[one.key, one.as_json()] for one in decisions])
        asked = request_of("continue", key, caller, component.kind, component.id, run_id, told)

        async def work(tx: Tx) -> Decided:
            if asked is not None and (kept := await idempotency.same(tx, asked)):
                return Decided(found.row, int(kept["answer"]), is_replay=True)
            run = await decide(tx, run_id, decisions, Deciding(by=by, now=now))
            # Where nothing follows, the pause or the end is told once more.
            after = run.next_event - (2 if run.state.is_settled else 1)
            if asked is not None:
                await idempotency.keep(tx, asked, run_id, now, answer=str(after))
            return Decided(run, after)

        decided = await self._resources.database.write(work)
        if decided.run.state is RunState.READY:
            self._engine.wake()
        return decided

    async def steps(self, component: Component, run_id: str, session_id: str, caller: Caller) -> list[StepRow]:
        """The ledger of a run: every step of its tree, in order of its start; of a member's its own, and those below.

        :raises NotFound: there is no such run that this caller may see.
        """
        row = (await self.find(component, run_id, session_id, caller)).row
        steps = await self._resources.database.scan(lambda tx: journal.steps(tx, row.root_id))
        return [step for step in steps if row.parent_id is None or step.path.startswith(f"{row.path}/")]

    # --- cancel -----------------------------------------------------------------------------------

    async def cancel(self, component: Component, run_id: str, caller: Caller, key: str | None = None) -> Stopped:
        """Cancel a run, or one member's, and wait a little until it has stopped; the run as it then stands.

        :raises NotFound: there is none that this caller may see.
        :raises Conflict: the key was used for another request.
        """
        run = (await self.find(component, run_id, None, caller)).row
        asked = request_of("cancel", key, caller, component.kind, component.id, run_id)
        if run.state.is_final and asked is None:
            return Stopped(await self.view(component, run_id, None, caller))
        if not run.state.is_final and run.root_id != run_id:
            is_replay = await self.steering.cancel_member(run, caller.user_id or "client", asked)
            return Stopped(await self.view(component, run_id, None, caller), is_replay)
        waiter = self._resources.broadcaster.wait_settled_soon(run_id)
        try:
            state, is_replay = await self._cancel_once(run, caller.user_id or "client", asked)
            if state is RunState.RUNNING:
                await waiter.wait(self._resources.settings.cancel_wait_seconds)
        finally:
            waiter.close()
        return Stopped(await self.view(component, run_id, None, caller), is_replay)

    async def _cancel_once(self, run: RunRow, by: str, asked: Request | None) -> tuple[RunState, bool]:
        """Cancel a run once for each request; its state then, and whether the request was here before."""
        now = clock.now()

        async def work(tx: Tx) -> tuple[Cancelled | None, bool]:
            if asked is not None and await idempotency.same(tx, asked):
                return None, True
            done = None if run.state.is_final else await cancels.request(tx, run.run_id, by, now)
            if asked is not None and (done is not None or run.state.is_final):
                await idempotency.keep(tx, asked, run.run_id, now)
            return done, False

        done, is_replay = await self._resources.database.write(work)
        if done is None:
            return run.state, is_replay
        self._tell_cancelled(done)
        return done.run.state, is_replay

    def _tell_cancelled(self, done: Cancelled) -> None:
        self._engine.cancelled(done.run.run_id, done)
        if done.run.state.is_final:
            self.presence.forget(done.run.run_id)

    async def cancel_of_deleted(self, session_id: str) -> None:
        """Cancel the runs of a session that was deleted."""
        write, now = self._resources.database.write, clock.now()
        while cancelled := await write(lambda tx: session_deletion.cancel_live(tx, session_id, now)):
            for done in cancelled:
                self._tell_cancelled(done)


def _fingerprint(component: Component, wanted: Wanted, asked: Input) -> str:
    """Hash of the request: the same for the same request, however its answer is asked for."""
    value = {**asked.as_json(), **wanted.turn.as_json()}
    value["options"] = {name: item for name, item in asked.options.items() if name != "stream_events"}
    return digest(
        component.kind, component.id, wanted.session_id or "", wanted.user_id or "", jsontext.canonical(value)
    )
