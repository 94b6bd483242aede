"""Looking back at a run: its conversation, also while it is at work."""

from musterd.core.callers import Caller
from musterd.core.records import RunView
from musterd.declare import Component
from musterd.engine.partial_conversation import conversation_so_far
from musterd.engine.resources import Resources
from musterd.service.runs import RunService


class History:
    """The use case of looking back at one run."""

    def __init__(self, resources: Resources, runs: RunService) -> None:
        self._resources = resources
        self._runs = runs

    async def view(self, component: Component, run_id: str, session_id: str, caller: Caller) -> RunView:
        """A run with its conversation; with as much of it as there is where it is at work.

        :raises NotFound: there is no such run that this caller may see.
        """
        found = await self._runs.view(component, run_id, session_id, caller)
        row = found.row
        if not row.state.is_settled:
            own = (one for one in component.tree() if (one.kind, one.id) == (row.component_kind, row.component_id))
            if (declared := next(own, None)) is not None:  # a function may have given the member, for this run alone
                found.messages = await conversation_so_far(self._resources, declared, row)
        return found
