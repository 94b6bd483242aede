"""Words to a run at work: messages for its agents, and members that are to stop while the others go on."""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import Conflict, InvalidInput, NotFound, RunFailed
from musterd.core.records import Message, RunRow, RunView
from musterd.declare import Component
from musterd.declare.run_context import RunContext
from musterd.engine.resources import Resources
from musterd.engine.worker import Worker
from musterd.loop import hooks, state
from musterd.loop.run_tree import digest
from musterd.store import idempotency, messages, runs, sessions, steering
from musterd.store.database import Tx
from musterd.store.idempotency import Request

View = Callable[[Component, str, str | None, Caller], Awaitable[RunView]]

LOOK_SECONDS = 0.02
"""How often a member is looked at that is to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMessage:
    """What a client says to a run at work.

    :param member_run_id: the member that is to read it; None: the leader.
    """

    text: str
    session_id: str | None = None
    member_run_id: str | None = None


class Steering:
    """Says something to runs at work.

    :param view: finds a run that the caller may see, or raises NotFound.
    """

    def __init__(self, resources: Resources, engine: Worker, view: View) -> None:
        self._resources = resources
        self._engine = engine
        self._view = view

    async def send(
        self, component: Component, run_id: str, message: SentMessage, caller: Caller, key: str | None = None
    ) -> tuple[RunRow, Message, bool]:
        """Give a run at work, or one of its members, a message that its next model call sees.

        :return: the run, the message, and whether the same request was here before.
        :raises NotFound: there is no such run that this caller may see, or no such member of it.
        :raises Conflict: the run, or the member, has ended; or the key was used for another request.
        :raises InvalidInput: a hook refuses the message, as it would refuse to begin a run with it.
        """
        view = await self._view(component, run_id, message.session_id, caller)
        run = view.row
        if run.parent_id is not None:
            raise NotFound("Run not found")
        to, readers = run_id, [component]
        if message.member_run_id is not None:
            member = (await self._view(component, message.member_run_id, run.session_id, caller)).row
            if member.root_id != run_id:
                raise NotFound("Run not found")
            to = member.run_id
            readers += [found for found in component.tree() if _is_of(member, found)][:1]
        asked = request_of("message", key, caller, component.kind, component.id, to, message.text)
        text = await self._checked(readers, view, message.text)
        sent, is_replay = await self._send(run_id, to, text, caller.user_id or "client", asked)
        return run, sent, is_replay

    async def _checked(self, readers: Sequence[Component], view: RunView, text: str) -> str:
        """A message as the hooks of the run, and of the member that is to read it, leave it.

        :raises InvalidInput: one refuses it, or fails.
        """
        guarded = [reader for reader in readers if reader.spec.pre_hooks]
        if not guarded:
            return text
        run, options = view.row, view.input.options
        session = await self._resources.database.read(lambda tx: sessions.get(tx, run.session_id, Caller()))
        for reader in guarded:
            context = RunContext(
                run_id=run.run_id,
                session_id=run.session_id,
                user_id=run.user_id,
                session_state={} if session is None else state.copied(session.state),
                dependencies={**(reader.spec.dependencies or {}), **options.get("dependencies", {})},
                metadata={**(reader.spec.metadata or {}), **options.get("metadata", {})},
            )
            try:
                text = await hooks.check_message(self._resources.threads, reader, text, context)
            except RunFailed as error:
                raise InvalidInput.at(("body", "message"), error.code, error.message) from error
        return text

    async def messages(self, component: Component, run_id: str, session_id: str, caller: Caller) -> list[Message]:
        """The messages to a run and its members, oldest first; to a member and those below it, where it is asked for.

        :raises NotFound: there is no such run that this caller may see.
        """
        row = (await self._view(component, run_id, session_id, caller)).row

        async def work(tx: Tx) -> list[Message]:
            found = await messages.of_root(tx, row.root_id)
            if row.parent_id is None:
                return found
            tree = await runs.tree(tx, row.root_id)
            below = {one.run_id for one in tree if f"{one.path}/".startswith(f"{row.path}/")}
            return [message for message in found if message.run_id in below]

        return await self._resources.database.scan(work)

    async def _send(self, root_id: str, run_id: str, text: str, by: str, asked: Request | None) -> tuple[Message, bool]:
        """Give a run of the tree a message that its next model call sees.

        :param asked: the request under its key; the same one is answered with the same message.
        :return: the message, and whether the same request was here before.
        :raises Conflict: the run, or the member, has ended; or the key was used for another request.
        """
        message = Message(id=clock.new_id(), run_id=run_id, text=text, sent_by=by, created_at=clock.now())

        async def work(tx: Tx) -> tuple[Message, RunRow | None]:
            if asked is not None and (kept := await idempotency.same(tx, asked)):
                found = [one for one in await messages.of_root(tx, root_id) if one.id == kept["answer"]]
                return (found or [message])[0], None
            root = await steering.send(tx, root_id, message)
            if asked is not None:
                await idempotency.keep(tx, asked, root_id, message.created_at, answer=message.id)
            return message, root

        sent, root = await self._resources.database.write(work)
        if root is not None:
            self._engine.signalled(root)
        return sent, root is None

    async def cancel_member(self, member: RunRow, by: str, asked: Request | None) -> bool:
        """Have a member stop, and wait a little until it has; its leader learns of it and goes on.

        :return: whether the same request was here before.
        :raises Conflict: the key was used for another request.
        """
        now, until = clock.now(), clock.monotonic() + self._resources.settings.cancel_wait_seconds

        async def work(tx: Tx) -> tuple[RunRow | None, bool]:
            if asked is not None and await idempotency.same(tx, asked):
                return None, True
            root = None
            with contextlib.suppress(Conflict):  # it has ended meanwhile, or its root is about to: it stops
                root = await steering.cancel_member(tx, member.root_id, member.run_id, by, now)
            if asked is not None and await runs.state_of(tx, member.run_id) is not None:
                await idempotency.keep(tx, asked, member.run_id, now)
            return root, False

        waiter = self._resources.broadcaster.wait_settled_soon(member.root_id)
        try:
            root, is_replay = await self._resources.database.write(work)
            if root is not None:
                self._engine.signalled(root)
            while not await self._has_ended(member.run_id) and (left := until - clock.monotonic()) > 0:
                await waiter.wait(min(left, LOOK_SECONDS))
        finally:
            waiter.close()
        return is_replay

    async def _has_ended(self, run_id: str) -> bool:
        state = await self._resources.database.read(lambda tx: runs.state_of(tx, run_id))
        return state is None or state.is_final


def _is_of(member: RunRow, component: Component) -> bool:
    return (member.component_kind, member.component_id) == (component.kind, component.id)


def request_of(operation: str, key: str | None, caller: Caller, *asked: str) -> Request | None:
    """The request under its idempotency key, if it has one."""
    if key is None:
        return None
    return Request(caller=caller.label, kind=operation, key=key, fingerprint=digest(*asked))
