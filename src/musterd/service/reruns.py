"""Runs a run's input once more: a new run of the same session with the same message, media and options."""

from musterd.core import clock
from musterd.core.errors import Conflict
from musterd.core.queueing import OnBusy, QueueingOptions
from musterd.core.records import Input
from musterd.service.input_media import require_media
from musterd.service.run_ref import RunRef
from musterd.service.runs import RunRequest, RunService
from musterd.store.acceptance import Accepted

_OF_FORKS = "fork"
"""The option that a fork's input has, which makes it continue another run."""


class RerunService:
    """The use case of running a run's input once more."""

    def __init__(self, runs: RunService) -> None:
        self._runs = runs

    async def start(self, ref: RunRef, key: str | None) -> Accepted:
        """Accept a run with the input of an earlier one. It waits for earlier runs of the session.

        :raises NotFound: there is no such run that this caller may see.
        :raises Conflict: it is a member's run, its media are no longer stored, or the key is taken.
        :raises TooManyRequests: too many runs are waiting.
        """
        view = await self._runs.view(ref)
        row, run_input = view.row, view.input
        if row.parent_id is not None:
            raise Conflict(f"A member's run cannot be run again alone; run {row.root_id} again.")
        require_media(run_input, "run again")
        options = {name: value for name, value in run_input.options.items() if name != _OF_FORKS}
        request = RunRequest(
            input=Input(message=run_input.message, media=run_input.media, options=options),
            run_id=clock.new_id(),
            session_id=row.session_id,
            user_id=row.user_id,
            is_background=True,
            queueing=QueueingOptions(
                on_busy=OnBusy.ENQUEUE,
                priority=row.priority,
                timeout_seconds=None if row.deadline_at is None else row.deadline_at - row.created_at,
            ),
            key=key,
            rerun_of=row.run_id,
        )
        return await self._runs.start(ref.component, request, ref.caller)
