"""Runs: start, read, wait for, subscribe to, decide about and cancel them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from musterd.core import clock, faults, jsontext
from musterd.core.callers import Caller
from musterd.core.errors import NotFound
from musterd.core.jsontypes import JsonObject
from musterd.core.queueing import OnBusy, QueueingOptions
from musterd.core.records import Input, Output, RunRow, RunView
from musterd.core.requirements import Decision, as_sent
from musterd.core.states import RunState
from musterd.core.step_views import StepView
from musterd.declare import BaseComponent, WorkflowComponent
from musterd.engine.resources import Resources
from musterd.engine.step_results import step_results_so_far
from musterd.engine.worker import Worker
from musterd.loop.run_tree import digest
from musterd.service.budgets import spent_so_far
from musterd.service.cancel_on_disconnect import CancelOnDisconnect
from musterd.service.connected_clients import ConnectedClients
from musterd.service.following import Following
from musterd.service.input_checks import checked_input
from musterd.service.input_media import extract_media, fill_in_media, media_item, require_readable
from musterd.service.output_schemas import with_parsed_message
from musterd.service.run_end import until_settled
from musterd.service.run_ref import RunRef
from musterd.service.run_steps import step_with_content, steps_of
from musterd.service.steering import Steering, request_of
from musterd.service.subscription import RunSubscription
from musterd.service.webhooks import addresses
from musterd.store import acceptance, blobs, cancels, events, runs, session_deletion, step_contents
from musterd.store.acceptance import Accepted, Candidate
from musterd.store.cancels import StopResult
from musterd.store.database import Tx, Work
from musterd.store.decisions import DecisionSource, decide
from musterd.store.idempotency import Performed, Request, once
from musterd.store.runs import RunComponent, RunTexts
from musterd.store.shards import SessionTx

Commit = Callable[[Work[Accepted]], Awaitable[Accepted]]
"""Does the work of an acceptance in a transaction, possibly with more. If it raises, nothing is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A client's request to start a run.

    :param has_chosen_id: the client chose the run id, and may send the same request again.
    :param alias: the id that the client chose, if the run has another one (:mod:`musterd.service.chosen_run_ids`).
    :param session_id: None for a new session.
    :param is_background: the client does not wait for the run on this connection.
    :param cancel_on_disconnect: cancel the run after its last subscriber disconnects.
    :param queueing: when the run begins.
    :param key: the request's idempotency key. The same request under it gets the same run.
    :param rerun_of: the run whose input it has, if that is run again.
    """

    input: Input
    run_id: str
    has_chosen_id: bool = False
    alias: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    is_background: bool = False
    cancel_on_disconnect: bool = False
    queueing: QueueingOptions = field(default_factory=QueueingOptions)
    key: str | None = None
    rerun_of: str | None = None


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """A run after decisions were stored.

    :param after: the event index after which a stream of the decided run begins.
    :param is_repeated: the same request was received under its key before, so nothing was decided now.
    """

    run: RunRow
    after: int
    is_repeated: bool = False


@dataclass(frozen=True, slots=True)
class CancelResult:
    """A run after a cancel request, and whether the same request was received under its key before."""

    view: RunView
    is_repeated: bool = False


class RunService:
    """The use cases of runs."""

    def __init__(self, resources: Resources, worker: Worker) -> None:
        self._resources = resources
        self._worker = worker
        self.steering = Steering(resources, worker, self.find_without_output)
        cancel_on_disconnect = CancelOnDisconnect(resources, self._announce_cancel)
        self.connected_clients = ConnectedClients(resources.settings.disconnect_seconds, cancel_on_disconnect.cancel)
        self.following = Following(resources, self.find_without_output, self.connected_clients)

    # --- start ------------------------------------------------------------------------------------

    async def start(
        self, component: BaseComponent, request: RunRequest, caller: Caller, commit: Commit | None = None
    ) -> Accepted:
        """Accept a run. When this returns, the run is stored and cannot be lost.

        :param commit: by default a transaction of its own.
        :raises InvalidInput: the component needs what this version does not have, or does not accept the input.
        :raises Conflict: the chosen run id or the key is taken, or the session is busy.
        :raises TooManyRequests: too many runs are waiting.
        :raises StoreUnavailable: nothing was stored.
        """
        run_input = checked_input(component, request.input)
        await require_readable(self._resources, component, request.input)
        run_input, contents = extract_media(run_input)
        run, fingerprint = self.row(component, request, caller), _fingerprint(component, request, run_input)
        run_input = with_parsed_message(component, run_input)
        candidate = Candidate(
            run=run,
            input=run_input,
            caller=caller,
            fingerprint=fingerprint,
            has_chosen_id=request.has_chosen_id,
            alias=request.alias,
            key=request.key,
            operation="create" if request.rerun_of is None else "rerun",
            slot_worker=self._worker.reserve(),  # last: an error above must not leave a slot reserved
            queue_depth=self._resources.settings.queue_depth,
            user_limits=self._resources.user_limits,
        )

        async def work(tx: Tx) -> Accepted:
            accepted = await acceptance.accept(tx, candidate)
            # In the transaction of the acceptance: a crash cannot leave an accepted run without its media.
            if contents and not accepted.is_repeated:
                until_end = not component.spec.store_media
                session = SessionTx(tx, run.session_id)
                await blobs.put(session, run.run_id, contents.values(), run.created_at, until_end=until_end)
            return accepted

        return await self.accept(candidate, work, commit, cancel_on_disconnect=request.cancel_on_disconnect)

    async def accept(
        self,
        candidate: Candidate,
        store: Work[Accepted],
        commit: Commit | None = None,
        *,
        cancel_on_disconnect: bool,
    ) -> Accepted:
        """Store a run with ``store`` and start it."""
        commit = commit or self._resources.database.write
        # Shielded: a client that disconnects in between must not leave a slot reserved, or a stored run undriven.
        accepting = asyncio.ensure_future(self._accept(candidate, partial(commit, store), cancel_on_disconnect))
        # If the client has disconnected, this retrieves the error of a rejection. Otherwise asyncio would log it.
        accepting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(accepting)

    async def _accept(
        self, candidate: Candidate, commit: Callable[[], Awaitable[Accepted]], cancel_on_disconnect: bool
    ) -> Accepted:
        is_launched = False
        try:
            faults.point("accepting")
            accepted = await commit()
            faults.point("accepted")
            run = accepted.run
            if not accepted.is_repeated:
                self._resources.run_accepted(run)
                if cancel_on_disconnect:
                    self.connected_clients.track(run.run_id)
                if run.state is RunState.RUNNING:
                    is_launched = True
                    self._worker.launch(run)
                elif run.state is RunState.READY:
                    self._resources.bus.send_ready(run)
            # The transaction that queued this run also cancelled the one that holds the session; its attempt may be in
            # this process.
            if accepted.interrupted is not None:
                self._announce_cancel(accepted.interrupted)
            return accepted
        finally:
            # Also if the commit failed, the request was a repeated one, or the run has to wait in its session's queue.
            if candidate.slot_worker is not None and not is_launched:
                self._worker.unreserve()

    def row(self, component: BaseComponent, request: RunRequest, caller: Caller) -> RunRow:
        """The row of a new run, before its acceptance."""
        info, now, queueing = self._resources.models.describe(component), clock.now(), request.queueing
        on_busy = queueing.on_busy or OnBusy(component.on_busy)
        run = RunRow(
            run_id=request.run_id,
            root_id=request.run_id,
            parent_id=None,
            session_id=request.session_id or clock.new_id(),
            owner=caller.user_id,
            # An administrator runs it again for its user, whose memories and lists it belongs to.
            user_id=(request.rerun_of and request.user_id) or caller.user_id or request.user_id,
            component_kind=component.kind,
            component_id=component.id,
            component_name=component.name,
            model=info.model,
            model_provider=info.provider,
            state=RunState.READY,
            salt=clock.new_id(),
            definition_hash=component.definition_hash,
            is_background=request.is_background,
            cancel_on_disconnect=int(request.cancel_on_disconnect),
            on_busy=on_busy,
            priority=queueing.priority or 0,
            hold_paused=component.hold_paused,
            created_at=now,
            not_before=now + queueing.delay_seconds if queueing.delay_seconds else None,
            webhooks=addresses(self._resources.settings, request.input),
            deadline_at=None if queueing.timeout_seconds is None else now + queueing.timeout_seconds,
        )
        return self._resources.accepting(run)

    # --- read and wait ----------------------------------------------------------------------------

    async def view(self, ref: RunRef) -> RunView:
        """A run with the content of its media.

        :raises NotFound: there is no such run that this caller may see.
        """
        view = await self.find(ref)
        await fill_in_media(self._resources.database, view)
        await self.fill_in_contents([view])
        return view

    async def fill_in_contents(self, views: Sequence[RunView]) -> None:
        """Put large contents of steps, to which outputs of workflows refer, in place of the references."""
        if step_contents.are_missing(views):
            await self._resources.database.scan(lambda tx: step_contents.fill_in(tx, views))

    async def media_item(self, ref: RunRef, blob_hash: str) -> tuple[JsonObject, bytes]:
        """One media item of a run's input or output: its description and its content.

        :raises NotFound: there is no such run that this caller may see, or no such item in it.
        """
        view = await self.find(ref)
        item = media_item(view, blob_hash)
        content = None if item is None else await self._resources.database.read(lambda tx: blobs.get(tx, blob_hash))
        if item is None or content is None:
            raise NotFound("Media not found")
        return item, content

    async def find(self, ref: RunRef) -> RunView:
        """The same as :meth:`view`, but with references in place of the content of media.

        :raises NotFound: there is no such run that this caller may see.
        """
        database = self._resources.database
        view = await database.read(lambda tx: _view(tx, ref, RunTexts.SHORT))
        if view is not None and view.is_cut:
            view = await database.fetch(lambda tx: _view(tx, ref, RunTexts.ALL))
        return _existing(view)

    async def find_without_output(self, ref: RunRef) -> RunView:
        """The same as :meth:`find`, but without output and conversation.

        :raises NotFound: there is no such run that this caller may see.
        """
        return _existing(await self._resources.database.read(lambda tx: _view(tx, ref, RunTexts.NONE)))

    async def locate(self, run_id: str, caller: Caller) -> RunComponent:
        """The component of a run, or of the run that a member's run is in.

        :raises NotFound: there is no such run that this caller may see.
        """
        component = await self._resources.database.read(lambda tx: runs.component_of(tx, run_id, caller))
        if component is None:
            raise NotFound("Run not found")
        return component

    async def spent(self, component: BaseComponent, view: RunView) -> JsonObject | None:
        """The part of its budget that an unfinished run has spent. None if it has no budget."""
        return await spent_so_far(self._resources.database, component, view)

    async def settled_view(self, ref: RunRef, seconds: float) -> RunView:
        """The run after it has finished or paused, or as it is after ``seconds``; large contents are not filled in.

        :raises NotFound: there is no such run that this caller may see.
        """
        view = await self.find(ref)
        if not view.row.state.is_settled and seconds > 0:
            root = await self.following.root_of(view.row)
            await self.following.end_cancel_on_disconnect_elsewhere(root)
            # A poll counts as a client while it waits: it keeps a run with cancel-on-disconnect alive, even on its own.
            with self.connected_clients.waiting(root.run_id):
                await until_settled(self._resources, view.row, seconds)
            view = await self.find(ref)
        await fill_in_media(self._resources.database, view)
        await self._fill_in_step_results(ref.component, view)
        return view

    async def _fill_in_step_results(self, component: BaseComponent, view: RunView) -> None:
        """Add the results of a workflow's steps, if its run has not stored them with its pause or end."""
        row, output = view.row, view.output
        is_read = row.state is RunState.COMPLETED or row.parent_id is not None or (output and output.step_results)
        if is_read or row.attempt == 0 or not isinstance(component, WorkflowComponent):
            return
        results = await step_results_so_far(self._resources, component, row, view.input)
        if results:
            view.output = replace(output or Output(), step_results=results)

    async def members(self, run: RunRow, other_run_ids: Sequence[str] = ()) -> list[RunView]:
        """The member runs of the tree that a run is in, with their payload.

        :param other_run_ids: further member runs, which a fork took over from the failed run.
        """
        return await self._resources.database.scan(
            lambda tx: runs.members(SessionTx(tx, run.session_id), run.root_id, other_run_ids)
        )

    async def members_by_ids(self, root: RunRow, run_ids: Sequence[str]) -> list[RunView]:
        """Member runs by id, with their payload: of the tree of ``root``, or of a run that it was forked from."""
        return await self._resources.database.scan(lambda tx: runs.by_ids(SessionTx(tx, root.session_id), run_ids))

    # --- subscribe --------------------------------------------------------------------------------

    def subscribe(self, run_id: str) -> RunSubscription:
        """Subscribe to a run before its acceptance. For an accepted run, the caller also calls ``start_after``."""
        return RunSubscription(self._resources, run_id)

    # --- decide -----------------------------------------------------------------------------------

    async def decide(self, ref: RunRef, decisions: Sequence[Decision], key: str | None = None) -> DecisionResult:
        """Store a person's decisions. A paused run goes on after the first of them.

        :raises NotFound: there is no such run that this caller may see.
        :raises InvalidInput: the run waits for no such decision, or for one of another kind.
        :raises Forbidden: the tool call needs approval in the inbox.
        :raises Conflict: another decision was stored before, or the key was used for another request.
        """
        view = await self.find_without_output(ref)
        if view.row.parent_id is not None:
            raise NotFound("Run not found")
        run_id, source = ref.run_id, DecisionSource(by=ref.caller.user_id or "client", now=clock.now())
        request = request_of("continue", key, ref.caller, *ref.key_parts, as_sent(decisions))

        async def store(tx: Tx) -> Performed[DecisionResult]:
            session = SessionTx(tx, view.row.session_id)
            run = await decide(session, run_id, decisions, source)
            after = await _last_pause(session, run)
            return Performed(DecisionResult(run, after), run_id, answer=str(after))

        async def repeat(answer: str | None) -> DecisionResult:
            return DecisionResult(view.row, int(answer or 0), is_repeated=True)

        result = await self._resources.database.write(lambda tx: once(tx, request, lambda: store(tx), repeat))
        if result.run.state is RunState.READY:
            self._resources.bus.send_ready(result.run)
        else:  # the run waits for more decisions
            self._resources.bus.send_change()
        return result

    async def steps(self, ref: RunRef, after: str | None = None, limit: int | None = None) -> Sequence[StepView]:
        """The steps of a run and of the runs below it, in the order of their start.

        :param after: the path of the last step of the page before.
        :raises NotFound: there is no such run that this caller may see.
        """
        return await steps_of(self._resources.database, (await self.find_without_output(ref)).row, after, limit)

    async def step(self, ref: RunRef, path: str) -> StepView:
        """One step of a run or of the runs below it, with its content.

        :raises NotFound: there is no such run that this caller may see, or no such step in it.
        """
        return await step_with_content(self._resources.database, (await self.find_without_output(ref)).row, path)

    # --- cancel -----------------------------------------------------------------------------------

    async def cancel(self, ref: RunRef, key: str | None = None) -> CancelResult:
        """Cancel a run or a member's run, wait a short time until it has stopped, and return it as it is then.

        :raises NotFound: there is no such run that this caller may see.
        :raises Conflict: the key was used for another request.
        """
        run, by = (await self.find_without_output(ref)).row, ref.caller.user_id or "client"
        request = request_of("cancel", key, ref.caller, *ref.key_parts)
        if run.state.is_final and request is None:
            return CancelResult(await self.view(ref))
        if not run.state.is_final and run.root_id != run.run_id:
            is_repeated = await self.steering.cancel_member(run, by, request)
            return CancelResult(await self.view(ref), is_repeated)
        state, is_repeated = await self._cancel_once(run, by, request)
        if state is RunState.RUNNING:
            await until_settled(self._resources, run, self._resources.settings.cancel_wait_seconds)
        return CancelResult(await self.view(ref), is_repeated)

    async def _cancel_once(self, run: RunRow, by: str, request: Request | None) -> tuple[RunState, bool]:
        """Cancel a run once for each request. Returns its state, and whether the request was received before."""
        now = clock.now()

        async def store(tx: Tx) -> Performed[tuple[StopResult | None, bool]]:
            session = SessionTx(tx, run.session_id)
            cancelled = None if run.state.is_final else await cancels.request(session, run.run_id, by, now)
            # A request is stored with the row of its run, which may have been deleted since the run was looked up.
            is_kept = cancelled is not None or run.state.is_final
            return Performed((cancelled, False), run.run_id if is_kept else None)

        async def repeat(_answer: str | None) -> tuple[StopResult | None, bool]:
            return None, True

        cancelled, is_repeated = await self._resources.database.write(
            lambda tx: once(tx, request, lambda: store(tx), repeat)
        )
        if cancelled is None:
            return run.state, is_repeated
        self._announce_cancel(cancelled)
        return cancelled.run.state, is_repeated

    def _announce_cancel(self, cancelled: StopResult) -> None:
        self._worker.run_stopped(cancelled)
        if cancelled.run.state.is_final:
            self.connected_clients.forget(cancelled.run.run_id)

    async def cancel_runs_of_deleted_session(self, session_id: str) -> None:
        """Cancel the runs of a session that was deleted."""
        write, now = self._resources.database.write, clock.now()
        # In batches, so that no transaction gets long. If this process dies in between, upkeep cancels the rest.
        while batch := await write(lambda tx: session_deletion.cancel_live(tx, session_id, now)):
            for cancelled in batch:
                self._announce_cancel(cancelled)


async def _last_pause(tx: SessionTx, run: RunRow) -> int:
    """The event after which the stream of a decided run begins: its last pause, also if it went on since then."""
    # If the run stays paused, its stream would be empty: include the pause once more. If its first attempt is at work,
    # it has never paused, and all its events would be searched while the session is locked.
    has_paused = run.state is not RunState.RUNNING or run.attempt > 1
    is_searched = has_paused and run.state is not RunState.PAUSED
    after = await events.last_pause(tx, run.run_id, run.next_event) if is_searched else None
    return run.next_event - (2 if run.state.is_settled else 1) if after is None else after


async def _view(tx: Tx, ref: RunRef, texts: RunTexts) -> RunView | None:
    return await runs.view(tx, ref.run_id, ref.component.kind, ref.component.id, ref.session_id, ref.caller, texts)


def _existing(view: RunView | None) -> RunView:
    if view is None:
        raise NotFound("Run not found")
    return view


def _fingerprint(component: BaseComponent, request: RunRequest, run_input: Input) -> str:
    """Hash of the request: the same for the same request, whatever form of answer it asks for."""
    request_json = {**run_input.as_json(), **request.queueing.as_json()}
    request_json["options"] = {name: value for name, value in run_input.options.items() if name != "stream_events"}
    origin = () if request.rerun_of is None else (request.rerun_of,)
    parts = component.kind, component.id, request.session_id or "", request.user_id or ""
    return digest(*parts, jsontext.canonical(request_json), *origin)
