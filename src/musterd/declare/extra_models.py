"""The models that runs of a component may call, including parser, output and reasoning models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from musterd.declare.component import Component

if TYPE_CHECKING:
    from pydantic_ai.models import Model

_OPTIONS = ("parser_model", "output_model", "reasoning_model")
"""Options whose value is a model."""

_HOLDERS = ("reasoning_agent", "compression_manager")
"""Options whose value may have a ``model`` attribute."""


def models_of(component: Component) -> list[str | Model]:
    """The models that a run of ``component`` itself may call, its main model first. Those of members are excluded."""
    spec = component.spec
    models = [component.model, *(getattr(spec, name) for name in _OPTIONS)]
    models += [getattr(getattr(spec, name), "model", None) for name in _HOLDERS]
    return [model for model in models if model is not None]
