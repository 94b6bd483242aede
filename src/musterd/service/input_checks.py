"""What holds for the input of every run, apart from its media. Schedules check it too, before they are stored."""

from musterd.core.records import Input
from musterd.declare import BaseComponent
from musterd.service.budgets import require_budget
from musterd.service.output_schemas import require_output_schema
from musterd.service.workflow_inputs import workflow_input


def checked_input(component: BaseComponent, run_input: Input) -> Input:
    """The input as it is stored: with the arguments that the function of a workflow declares, and no others.

    :raises InvalidInput: the component does not accept the input.
    """
    require_output_schema(run_input)
    require_budget(component, run_input)
    return workflow_input(component, run_input)
