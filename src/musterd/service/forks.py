"""Forks a run: a new run that continues where a failed one stopped, or from an earlier turn of any finished run.

No step that it takes over is repeated.
"""

from dataclasses import dataclass, field, replace

from musterd.core import jsontext
from musterd.core.callers import Caller
from musterd.core.errors import Conflict
from musterd.core.jsontypes import JsonObject
from musterd.core.queueing import OnBusy, QueueingOptions
from musterd.core.records import Input, RunView
from musterd.core.states import RunState
from musterd.declare import BaseComponent
from musterd.engine.resources import Resources
from musterd.engine.worker import Worker
from musterd.loop.run_tree import digest
from musterd.service.budgets import require_budget
from musterd.service.input_media import require_media
from musterd.service.run_ref import RunRef
from musterd.service.runs import Commit, RunRequest, RunService
from musterd.store import idempotency, run_forks
from musterd.store.acceptance import Accepted, Candidate
from musterd.store.idempotency import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkRequest:
    """A request for a run that continues another one.

    :param run_id: the new run's id.
    :param budget: the new run's budget. It replaces the one that the other run was requested with.
    :param from_step: a step of the other run; what happened before its turn is taken over. None: everything.
    :param queueing: when the new run begins, and how long it may take. It waits for its session in any case.
    """

    run_id: str
    is_background: bool = False
    cancel_on_disconnect: bool = False
    budget: JsonObject | None = None
    from_step: str | None = None
    key: str | None = None
    queueing: QueueingOptions = field(default_factory=QueueingOptions)


class ForkService:
    """The use case of continuing a finished run."""

    def __init__(self, resources: Resources, worker: Worker, runs: RunService) -> None:
        self._resources = resources
        self._worker = worker
        self._runs = runs

    async def find_failed(self, ref: RunRef, key: str | None) -> RunView | None:
        """The failed run that a continue request is about. None if the request is about decisions.

        :raises NotFound: there is no such run that this caller may see.
        """
        view = await self._runs.find(ref)
        if view.row.state is not RunState.ERROR or view.row.parent_id is not None:
            return None
        if key is not None:
            # The run may have failed after an earlier request with this key had decided about it. That request, sent
            # again, must get its first answer and not begin a fork.
            request = Request(caller=ref.caller.label, kind="continue", key=key, fingerprint="")
            earlier = await self._resources.database.read(lambda tx: idempotency.find(tx, request))
            if earlier is not None and earlier["run_id"] == ref.run_id:
                return None
        return view

    async def find_finished(self, ref: RunRef) -> RunView:
        """The run that is to be forked from one of its steps.

        :raises NotFound: there is no such run that this caller may see.
        :raises Conflict: it is a member's run, or its media are no longer stored.
        """
        view = await self._runs.view(ref)
        if view.row.parent_id is not None:
            raise Conflict(f"A member's run cannot be forked alone; fork run {view.row.root_id}.")
        require_media(view.input, "forked")
        return view

    async def start(
        self,
        component: BaseComponent,
        other: RunView,
        request: ForkRequest,
        caller: Caller,
        commit: Commit | None = None,
    ) -> Accepted:
        """Accept a run that continues ``other``.

        :param commit: by default a transaction of its own.
        :raises InvalidInput: the budget cannot be enforced.
        :raises NotFound: ``other`` has no such step.
        :raises Conflict: the other run has not finished, another run continues it already, or the key is taken.
        :raises TooManyRequests: too many runs are waiting.
        :raises StoreUnavailable: nothing was stored.
        """
        require_budget(component, Input(message="", options={"budget": request.budget or {}}))
        origin = other.row
        row = self._runs.row(
            component,
            RunRequest(
                input=other.input,
                run_id=request.run_id,
                session_id=origin.session_id,
                user_id=origin.user_id,
                is_background=request.is_background,
                cancel_on_disconnect=request.cancel_on_disconnect,
                queueing=replace(request.queueing, on_busy=OnBusy.ENQUEUE, priority=origin.priority),
            ),
            caller,
        )
        budget_text = jsontext.canonical(request.budget)
        candidate = Candidate(
            # The fork belongs to the user of the other run, even if an administrator continues it.
            run=replace(row, owner=origin.owner, user_id=origin.user_id, forked_from=origin.run_id),
            input=other.input,
            caller=caller,
            fingerprint=digest(
                "fork", component.kind, component.id, origin.run_id, budget_text, request.from_step or ""
            ),
            has_chosen_id=False,
            key=request.key,
            operation="continue",
            slot_worker=self._worker.reserve(),  # last: an error above must not leave a slot reserved
            queue_depth=self._resources.settings.queue_depth,
            user_limits=self._resources.user_limits,
        )
        return await self._runs.accept(
            candidate,
            lambda tx: run_forks.accept(tx, candidate, origin.run_id, request.budget, request.from_step),
            commit,
            cancel_on_disconnect=request.cancel_on_disconnect,
        )
