"""Runs: start, look, wait, read along, cancel."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from musterd.core import clock, jsontext
from musterd.core.errors import InvalidInput, NotFound, StoreUnavailable
from musterd.core.records import Caller, Input, RunRow, RunView, StepRow
from musterd.core.requirements import Decision
from musterd.core.states import RunState
from musterd.engine.embedded import EmbeddedEngine
from musterd.engine.resources import Resources
from musterd.service.media import filled_media, referred, stored_media
from musterd.service.presence import Presence
from musterd.service.reading import Reading
from musterd.service.schemas import require_output_schema
from musterd.specs import Component, unsupported
from musterd.store import acceptance, blobs, cancels, journal, runs
from musterd.store.acceptance import Accepted, Candidate
from musterd.store.database import Tx
from musterd.store.decisions import decide
from musterd.team.world import digest

log = structlog.get_logger("musterd.service")

DISCONNECTED = "disconnect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A run that a client asks for.

    :param has_chosen_id: the client chose the run id, and may send the same request again.
    :param session_id: None for a new session.
    :param is_background: nobody waits for it on this connection.
    :param needs_company: it is to be cancelled when its last reader has gone.
    """

    input: Input
    run_id: str
    has_chosen_id: bool = False
    session_id: str | None = None
    user_id: str | None = None
    is_background: bool = False
    needs_company: bool = False


class RunService:
    """The use cases of runs."""

    def __init__(self, resources: Resources, engine: EmbeddedEngine) -> None:
        self._resources = resources
        self._engine = engine
        self.presence = Presence(resources.settings.disconnect_seconds, self._abandon)

    # --- start ------------------------------------------------------------------------------------

    async def start(self, component: Component, wanted: Wanted, caller: Caller) -> Accepted:
        """Accept a run; it is stored, and cannot be lost, when this returns.

        :raises InvalidInput: the component needs what this version does not have.
        :raises Conflict: the chosen run id is taken.
        :raises TooManyRequests: too many runs wait.
        :raises StoreUnavailable: nothing was stored.
        """
        if missing := unsupported(component):
            raise InvalidInput(" ".join(missing))
        require_output_schema(wanted.input)
        asked, contents = stored_media(wanted.input)
        run, fingerprint = self._row(component, wanted, caller), _fingerprint(component, wanted, asked)
        candidate = Candidate(
            run=run,
            input=asked,
            caller=caller,
            fingerprint=fingerprint,
            has_chosen_id=wanted.has_chosen_id,
            key=wanted.key,
            slot_worker=self._engine.reserve(),  # last: whatever fails above keeps no slot
            queue_depth=self._resources.settings.queue_depth,
        )
        # Shielded: a client that goes away in the middle of it must not leave a slot taken, or a run undriven.
        return await asyncio.shield(asyncio.ensure_future(self._accept(candidate, contents, wanted.needs_company)))

    async def _accept(self, candidate: Candidate, contents: dict[str, bytes], needs_company: bool) -> Accepted:
        async def work(tx: Tx) -> Accepted:
            for name in sorted(contents):  # in one order, so that no two wait for each other's
                await blobs.put(tx, contents[name], candidate.run.created_at)
            return await acceptance.accept(tx, candidate)

        is_launched = False
        try:
            accepted = await self._resources.database.write(work)
            run = accepted.run
            if not accepted.is_replay:
                if needs_company:
                    self.presence.needs_company(run.run_id)
                if run.state is RunState.RUNNING:
                    is_launched = True
                    self._engine.launch(run)
                elif run.state is RunState.READY:
                    self._engine.wake()
            return accepted
        finally:
            if candidate.slot_worker is not None and not is_launched:
                self._engine.unreserve()

    def _row(self, component: Component, wanted: Wanted, caller: Caller) -> RunRow:
        info = self._resources.models.describe(component)
        return RunRow(
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
            created_at=clock.now(),
        )

    # --- look and wait ----------------------------------------------------------------------------

    async def view(self, component: Component, run_id: str, session_id: str | None, caller: Caller) -> RunView:
        """A run of this component, or of one of its members in a run of it.

        :raises NotFound: there is none that this caller may see.
        """
        found = await self._resources.database.read(
            lambda tx: runs.view(tx, run_id, component.kind, component.id, session_id, caller)
        )
        if found is None:
            raise NotFound("Run not found")
        if found.input.media:
            found.input = await self._with_media(found.input)
        return found

    async def _with_media(self, asked: Input) -> Input:
        async def work(tx: Tx) -> dict[str, bytes]:
            return {name: await blobs.get(tx, name) or b"" for name in referred(asked)}

        return filled_media(asked, await self._resources.database.read(work))

    async def settled_view(
        self, component: Component, run_id: str, session_id: str | None, caller: Caller, seconds: float
    ) -> RunView:
        """The run once it has ended or paused, or as it stands when ``seconds`` are over.

        :raises NotFound: there is none that this caller may see.
        """
        found = await self.view(component, run_id, session_id, caller)
        if found.row.state.is_settled or seconds <= 0:
            return found
        root_id = found.row.root_id
        waiter = self._resources.hub.wait_settled_soon(root_id)
        self.presence.enter(root_id)
        try:
            found = await self.view(component, run_id, session_id, caller)  # it may have ended before we listened
            if found.row.state.is_settled:
                return found
            await waiter.wait(seconds)
        finally:
            waiter.close()
            self.presence.leave(root_id)
        return await self.view(component, run_id, session_id, caller)

    async def of_session(self, component: Component, session_id: str, caller: Caller) -> list[RunView]:
        """The runs of the component in a session, members' too, in order of their start."""
        return await self._resources.database.scan(
            lambda tx: runs.of_component(tx, session_id, component.kind, component.id, caller)
        )

    async def members(self, root_id: str) -> list[RunView]:
        """The member runs of a root, with their payload."""
        return await self._resources.database.scan(lambda tx: runs.members(tx, root_id))

    # --- read along -------------------------------------------------------------------------------

    def subscribe(self, run_id: str, after: int = -1) -> Reading:
        """Read along with a run that is about to be accepted, or that was accepted, from behind event ``after`` on."""
        return Reading(self._resources, run_id, after)

    # --- decide -----------------------------------------------------------------------------------

    async def decide(
        self, component: Component, run_id: str, session_id: str, decisions: Sequence[Decision], caller: Caller
    ) -> RunRow:
        """Take a person's decisions; a paused run goes on with the first of them.

        :raises NotFound: there is no such run that this caller may see.
        :raises InvalidInput: a decision is about nothing that the run waits for.
        :raises Conflict: it was decided otherwise already.
        """
        found = await self.view(component, run_id, session_id, caller)
        if found.row.parent_id is not None:
            raise NotFound("Run not found")
        now, by = clock.now(), caller.user_id or "client"
        run = await self._resources.database.write(lambda tx: decide(tx, run_id, decisions, by, now))
        if run.state is RunState.READY:
            self._engine.wake()
        return run

    async def steps(self, component: Component, run_id: str, session_id: str, caller: Caller) -> list[StepRow]:
        """The ledger of a run: every step of its tree, in order of its start.

        :raises NotFound: there is no such run that this caller may see.
        """
        found = await self.view(component, run_id, session_id, caller)
        return list(await self._resources.database.scan(lambda tx: journal.steps(tx, found.row.root_id)))

    # --- cancel -----------------------------------------------------------------------------------

    async def cancel(self, component: Component, run_id: str, caller: Caller) -> RunRow:
        """Cancel a run and wait a little until it has stopped; its row as it then stands.

        :raises NotFound: there is none that this caller may see.
        """
        found = await self.view(component, run_id, None, caller)
        root_id = found.row.root_id
        if found.row.state.is_final:
            return found.row
        if root_id != run_id:
            raise InvalidInput("Cancelling one member's run is not supported by this version; cancel the team's run.")
        waiter = self._resources.hub.wait_settled_soon(root_id)
        try:
            state = await self._cancel(root_id, caller.user_id or "client")
            if state is RunState.RUNNING:
                await waiter.wait(self._resources.settings.cancel_wait_seconds)
        finally:
            waiter.close()
        return (await self.view(component, run_id, None, caller)).row

    async def _cancel(self, root_id: str, by: str) -> RunState | None:
        now = clock.now()
        done = await self._resources.database.write(lambda tx: cancels.request(tx, root_id, by, now))
        if done is None:
            return None
        self._engine.cancelled(root_id, done)
        if done.run.state.is_final:
            self.presence.forget(root_id)
        return done.run.state

    async def cancel_of_deleted(self, root_ids: list[str]) -> None:
        """Cancel runs whose session was deleted."""
        for root_id in root_ids:
            await self._cancel(root_id, "session deleted")

    async def _abandon(self, root_id: str) -> None:
        log.info("run abandoned by its readers", run_id=root_id)
        try:
            await self._cancel(root_id, DISCONNECTED)
        except StoreUnavailable:
            log.warning("an abandoned run could not be cancelled; it goes on", run_id=root_id)


def _fingerprint(component: Component, wanted: Wanted, asked: Input) -> str:
    """Hash of the request: the same for the same request, however its answer is asked for."""
    value = asked.as_json()
    value["options"] = {name: item for name, item in asked.options.items() if name != "stream_events"}
    return digest(
        component.kind, component.id, wanted.session_id or "", wanted.user_id or "", jsontext.canonical(value)
    )
