"""The option ``tool_choice``: the tools that a model may or must call.

A choice that forces a call applies only to the first model call of a run; otherwise the model could never answer.
``none`` applies to all calls.
"""

from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from musterd.declare import Component
from musterd.declare.tool_choice import read_tool_choice


def tool_settings(component: Component, turn: int, parameters: ModelRequestParameters) -> ModelSettings | None:
    """The tool choice of a model call of ``component``; None if the model is free to choose."""
    choice = read_tool_choice(component.spec.tool_choice)
    offered = [tool.name for tool in parameters.function_tools]
    if choice is None or choice == "auto" or not offered:
        return None
    if choice == "none":
        return ModelSettings(tool_choice="none")
    if turn > 0:
        return None
    if choice == "required":
        return ModelSettings(tool_choice="required")
    return ModelSettings(tool_choice=[choice]) if choice in offered else None
