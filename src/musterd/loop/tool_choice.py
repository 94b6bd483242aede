"""Which tools a model may call, or has to: the option ``tool_choice``.

A choice that forces a call holds for the first model call of a run alone: held on to, it would never let the model
answer. ``none`` holds for all.
"""

from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from musterd.declare import Component
from musterd.declare.tool_options import read_tool_choice


def tool_settings(component: Component, turn: int, parameters: ModelRequestParameters) -> ModelSettings | None:
    """What a model call of ``component`` says of its tools; None: the model chooses."""
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
