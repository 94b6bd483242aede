"""Reads a run together with its conversation, including runs that have not finished."""

from musterd.core.records import RunView
from musterd.core.step_views import FinishedSteps
from musterd.engine.partial_conversation import conversation_so_far
from musterd.engine.resources import Resources
from musterd.service.run_ref import RunRef
from musterd.service.runs import RunService
from musterd.service.workflow_steps import finished_steps


class RunConversations:
    """The use case of reading a run together with its conversation."""

    def __init__(self, resources: Resources, runs: RunService) -> None:
        self._resources = resources
        self._runs = runs

    async def view(self, ref: RunRef) -> RunView:
        """A run with its conversation. For a run that has not finished, the conversation so far.

        :raises NotFound: there is no such run that this caller may see.
        """
        view = await self._runs.view(ref)
        row = view.row
        if not row.state.is_settled:
            key = (row.component_kind, row.component_id)
            run_component = next((node for node in ref.component.tree() if (node.kind, node.id) == key), None)
            if run_component is not None:  # None: a function created this member for one run, so it is not declared
                view.messages = await conversation_so_far(self._resources, run_component, row)
        return view

    async def finished_steps(self, view: RunView) -> FinishedSteps:
        """The finished steps of a workflow's run."""
        return await finished_steps(self._resources.database, view)
