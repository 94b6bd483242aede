"""What holds for the input of every run, apart from its media. Schedules check it too, before they are stored."""

from musterd.core.errors import InvalidInput
from musterd.core.records import Input
from musterd.declare import BaseComponent, unsupported
from musterd.service.budgets import require_budget
from musterd.service.output_schemas import require_output_schema
from musterd.service.workflow_inputs import workflow_input


def checked_input(component: BaseComponent, run_input: Input) -> Input:
    """The input as it is stored: with the arguments that the function of a workflow declares, and no others.

    :raises InvalidInput: the component needs what this version does not have, or does not accept the input.
    """
    if missing := unsupported(component):
        raise InvalidInput(" ".join(missing))
    require_output_schema(run_input)
    require_budget(component, run_input)
    return workflow_input(component, run_input)
