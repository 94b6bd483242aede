"""The models that runs of a component may call, including parser, output and reasoning models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from musterd.declare.component import Component

if TYPE_CHECKING:
    from pydantic_ai.models import Model


def models_of(component: Component) -> list[str | Model]:
    """The models that a run of ``component`` itself may call, its main model first. Those of members are excluded."""
    spec = component.spec
    models = [component.model, spec.parser_model, spec.output_model, spec.reasoning_model]
    models += [getattr(holder, "model", None) for holder in (spec.reasoning_agent, spec.compression_manager)]
    return [model for model in models if model is not None]
