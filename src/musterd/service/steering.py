"""Steers running runs: sends messages to their agents, and cancels single members while the others go on."""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import Conflict, InvalidInput, NotFound, RunFailed
from musterd.core.records import RunRow, RunView, SteeringMessage
from musterd.declare import BaseComponent, Component
from musterd.declare.run_context import RunContext
from musterd.engine.resources import Resources
from musterd.engine.worker import Worker
from musterd.loop import hooks, state
from musterd.loop.run_tree import digest
from musterd.service.run_end import until_settled
from musterd.service.run_ref import RunRef
from musterd.store import messages, runs, sessions, steering
from musterd.store.database import Tx
from musterd.store.idempotency import Performed, Request, once
from musterd.store.shards import SessionTx

FindRun = Callable[[RunRef], Awaitable[RunView]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMessage:
    """A client's message to a running run.

    :param member_run_id: the member that receives it. None for the leader; of a workflow, which has no model of its
        own, for the agent or team of the step that began last.
    """

    text: str
    member_run_id: str | None = None


class Steering:
    """The use cases of steering running runs.

    :param find_run: finds a run that the caller may see, or raises NotFound.
    """

    def __init__(self, resources: Resources, worker: Worker, find_run: FindRun) -> None:
        self._resources = resources
        self._worker = worker
        self._find_run = find_run

    async def send(
        self, ref: RunRef, message: SentMessage, key: str | None = None
    ) -> tuple[RunRow, SteeringMessage, bool]:
        """Send a run, or one of its members, a message that its next model call sees.

        :return: the run, the message, and whether the same request was received before.
        :raises NotFound: there is no such run that this caller may see, or no such member of it.
        :raises Conflict: the run, or the member, has finished; or the key was used for another request.
        :raises InvalidInput: a hook rejects the message, as it would reject it as the input of a run.
        """
        view, component = await self._find_run(ref), ref.component
        run = view.row
        if run.parent_id is not None:
            raise NotFound("Run not found")
        recipient_id, components = run.run_id, [component]
        member_run_id = message.member_run_id
        if member_run_id is None and component.kind == "workflow":
            member_run_id = await self._step_run(run)
        if member_run_id is not None:
            member_ref = RunRef(component, member_run_id, run.session_id, ref.caller)
            member = (await self._find_run(member_ref)).row
            if member.root_id != run.run_id:
                raise NotFound("Run not found")
            recipient_id = member.run_id
            components += [node for node in component.tree() if _is_of(member, node)][:1]
        addressee_id = message.member_run_id or run.run_id
        request = request_of("message", key, ref.caller, component.kind, component.id, addressee_id, message.text)
        # Hooks are user code and may take long, so they run before the transaction and not in it.
        text = await self._apply_hooks(components, view, message.text)
        sent, is_repeated = await self._send(run, recipient_id, text, ref.caller.user_id or "client", request)
        return run, sent, is_repeated

    async def _step_run(self, workflow_run: RunRow) -> str | None:
        """The run of the agent or team of the unfinished step that began last, also of a nested workflow."""
        tree = await self._resources.database.read(
            lambda tx: runs.tree(SessionTx(tx, workflow_run.session_id), workflow_run.run_id)
        )
        kinds = {row.run_id: row.component_kind for row in tree}
        at_work = [
            row
            for row in tree
            if not row.state.is_final
            and row.component_kind != "workflow"
            and kinds.get(row.parent_id or "") == "workflow"
        ]
        return max(at_work, key=lambda row: row.created_at).run_id if at_work else None

    async def _apply_hooks(self, components: Sequence[BaseComponent], view: RunView, text: str) -> str:
        """The message after the pre-hooks of the run and of the receiving member have checked or changed it.

        :raises InvalidInput: a hook rejects it, or fails.
        """
        agents_and_teams = (component for component in components if isinstance(component, Component))
        with_hooks = [component for component in agents_and_teams if component.spec.pre_hooks]
        if not with_hooks:
            return text
        run, options = view.row, view.input.options
        session = await self._resources.database.read(lambda tx: sessions.get(tx, run.session_id, Caller()))
        for component in with_hooks:
            context = RunContext(
                run_id=run.run_id,
                session_id=run.session_id,
                user_id=run.user_id,
                session_state={} if session is None else state.copied(session.state),
                dependencies={**(component.spec.dependencies or {}), **options.get("dependencies", {})},
                metadata={**(component.spec.metadata or {}), **options.get("metadata", {})},
            )
            try:
                text = await hooks.check_message(self._resources.threads, component, text, context)
            except RunFailed as error:
                raise InvalidInput.at(("body", "message"), error.code, error.message) from error
        return text

    async def messages(self, ref: RunRef) -> list[SteeringMessage]:
        """The messages to a run and the runs below it, oldest first.

        :raises NotFound: there is no such run that this caller may see.
        """
        row = (await self._find_run(ref)).row

        async def work(tx: Tx) -> list[SteeringMessage]:
            tx = SessionTx(tx, row.session_id)
            root_messages = await messages.of_root(tx, row.root_id)
            if row.parent_id is None:
                return root_messages
            tree = await runs.tree(tx, row.root_id)
            subtree_ids = {member.run_id for member in tree if f"{member.path}/".startswith(f"{row.path}/")}
            return [message for message in root_messages if message.run_id in subtree_ids]

        return await self._resources.database.scan(work)

    async def _send(
        self, root: RunRow, run_id: str, text: str, by: str, request: Request | None
    ) -> tuple[SteeringMessage, bool]:
        """Store a message to a run of the tree. Its next model call sees it.

        :param request: the request under its key. The same request gets the same message as its answer.
        :return: the message, and whether the same request was received before.
        :raises Conflict: the run, or the member, has finished; or the key was used for another request.
        """
        message = SteeringMessage(id=clock.new_id(), run_id=run_id, text=text, sent_by=by, created_at=clock.now())

        async def work(tx: Tx) -> tuple[SteeringMessage, RunRow | None]:
            session = SessionTx(tx, root.session_id)

            async def store() -> Performed[tuple[SteeringMessage, RunRow | None]]:
                signalled = await steering.send(session, root.run_id, message)
                return Performed((message, signalled), root.run_id, answer=message.id)

            async def repeat(answer: str | None) -> tuple[SteeringMessage, RunRow | None]:
                stored = [sent for sent in await messages.of_root(session, root.run_id) if sent.id == answer]
                return (stored or [message])[0], None

            return await once(tx, request, store, repeat)

        sent, signalled = await self._resources.database.write(work)
        # After the commit: the attempt reads the message from the database.
        if signalled is not None:
            self._worker.signalled(signalled)
        return sent, signalled is None

    async def cancel_member(self, member: RunRow, by: str, request: Request | None) -> bool:
        """Cancel a member and wait a short time until it has stopped. Its leader gets a failed result and goes on.

        :return: whether the same request was received before.
        :raises Conflict: the key was used for another request.
        """
        now = clock.now()

        async def store(tx: Tx) -> Performed[tuple[RunRow | None, bool]]:
            root, session = None, SessionTx(tx, member.session_id)
            with contextlib.suppress(Conflict):  # it has finished meanwhile, or its root is about to end it
                root = await steering.cancel_member(session, member.root_id, member.run_id, by, now)
            # A request is stored with the row of its run, which may have been deleted since the run was looked up.
            is_kept = await runs.state_of(session, member.run_id) is not None
            return Performed((root, False), member.run_id if is_kept else None)

        async def repeat(_answer: str | None) -> tuple[RunRow | None, bool]:
            return None, True

        root, is_repeated = await self._resources.database.write(
            lambda tx: once(tx, request, lambda: store(tx), repeat)
        )
        if root is not None:
            self._worker.signalled(root)
        wait_seconds = self._resources.settings.cancel_wait_seconds
        await until_settled(self._resources, member, wait_seconds, takes_pause=False)
        return is_repeated


def _is_of(member: RunRow, component: BaseComponent) -> bool:
    return (member.component_kind, member.component_id) == (component.kind, component.id)


def request_of(operation: str, key: str | None, caller: Caller, *parts: str) -> Request | None:
    """The request under its idempotency key, if it has one."""
    if key is None:
        return None
    return Request(caller=caller.label, kind=operation, key=key, fingerprint=digest(*parts))
