"""Continue after ERROR: a new run that goes on where the failed one stopped, without doing anything again."""

from dataclasses import dataclass, replace

from musterd.core import jsontext
from musterd.core.callers import Caller
from musterd.core.errors import InvalidInput
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Input, RunView
from musterd.core.scheduling import OnBusy, Turn
from musterd.core.states import RunState
from musterd.declare import Component, unsupported
from musterd.engine.resources import Resources
from musterd.engine.worker import Worker
from musterd.loop.run_tree import digest
from musterd.service.budgets import require_budget
from musterd.service.runs import RunService, Wanted
from musterd.store import idempotency, run_forks
from musterd.store.acceptance import Accepted, Candidate
from musterd.store.idempotency import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedFork:
    """A run that is to go on from a failed one.

    :param run_id: the new one's.
    :param budget: what it may use, in place of what the failed one was asked for with.
    """

    run_id: str
    is_background: bool = False
    needs_company: bool = False
    budget: JsonObject | None = None
    key: str | None = None


class ForkService:
    """The use case of continuing a failed run."""

    def __init__(self, resources: Resources, engine: Worker, runs: RunService) -> None:
        self._resources = resources
        self._engine = engine
        self._runs = runs

    async def failed(
        self, component: Component, run_id: str, session_id: str, caller: Caller, key: str | None
    ) -> RunView | None:
        """The failed run that a request to continue is about; None where it is about decisions.

        :raises NotFound: there is no such run that this caller may see.
        """
        found = await self._runs.find(component, run_id, session_id, caller)
        if found.row.state is not RunState.ERROR or found.row.parent_id is not None:
            return None
        if key is not None:  # a request that decided, sent again, is told what became of that
            asked = Request(caller=caller.label, kind="continue", key=key, fingerprint="")
            kept = await self._resources.database.read(lambda tx: idempotency.find(tx, asked))
            if kept is not None and kept["run_id"] == run_id:
                return None
        return found

    async def start(self, component: Component, failed: RunView, wanted: WantedFork, caller: Caller) -> Accepted:
        """Accept a run that goes on from ``failed``.

        :raises InvalidInput: the component needs what this version does not have, or the budget cannot be held.
        :raises Conflict: another run goes on from it already, or the key is taken.
        :raises TooManyRequests: too many runs wait.
        :raises StoreUnavailable: nothing was stored.
        """
        if missing := unsupported(component):
            raise InvalidInput(" ".join(missing))
        require_budget(component, Input(message="", options={"budget": wanted.budget or {}}))
        origin = failed.row
        row = self._runs.row(
            component,
            Wanted(
                input=failed.input,
                run_id=wanted.run_id,
                session_id=origin.session_id,
                user_id=origin.user_id,
                is_background=wanted.is_background,
                needs_company=wanted.needs_company,
                turn=Turn(on_busy=OnBusy.ENQUEUE, priority=origin.priority),
            ),
            caller,
        )
        asked = ("fork", component.kind, component.id, origin.run_id, jsontext.canonical(wanted.budget))
        candidate = Candidate(
            run=replace(row, owner=origin.owner, user_id=origin.user_id, forked_from=origin.run_id),
            input=failed.input,
            caller=caller,
            fingerprint=digest(*asked),
            has_chosen_id=False,
            key=wanted.key,
            operation="continue",
            slot_worker=self._engine.reserve(),  # last: whatever fails above keeps no slot
            queue_depth=self._resources.settings.queue_depth,
            shares=self._resources.shares,
        )
        return await self._runs.accept(
            candidate,
            lambda tx: run_forks.accept(tx, candidate, origin.run_id, wanted.budget),
            needs_company=wanted.needs_company,
        )
