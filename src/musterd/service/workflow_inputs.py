"""What a request sends to a workflow in addition to the message: the arguments of a function that is the workflow."""

from dataclasses import replace

from pydantic import ValidationError

from musterd.core.errors import InvalidInput
from musterd.core.problem_lists import too_many_problems
from musterd.core.records import Input
from musterd.declare import BaseComponent, WorkflowComponent


def workflow_input(component: BaseComponent, run_input: Input) -> Input:
    """The request as it is stored: with the arguments that the function declares, and no others.

    :raises InvalidInput: an argument is missing or not of its type.
    """
    if not isinstance(component, WorkflowComponent):
        return run_input
    options = dict(run_input.options)
    fields = options.pop("arguments", {})
    if component.message_schema is not None:
        options["has_input_schema"] = True
    if component.parameters is not None:
        try:
            component.parameters.arguments(fields)
        except ValidationError as error:
            if (too_many := too_many_problems(error)) is not None:
                raise InvalidInput.at(("body",), "too_long", f"Input has {too_many}") from error
            problem = error.errors(include_url=False, include_context=False)[0]
            location = ("body", *(str(part) for part in problem["loc"]))
            raise InvalidInput.at(location, problem["type"], problem["msg"]) from error
        names = component.parameters.schema["properties"]
        if arguments := {name: value for name, value in fields.items() if name in names}:
            options["arguments"] = arguments
    return replace(run_input, options=options)
