"""The models that a component's runs may ask beside its own: a parser's, a reasoner's, and what others declare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from musterd.declare.component import Component

if TYPE_CHECKING:
    from pydantic_ai.models import Model

_OPTIONS = ("parser_model", "output_model", "reasoning_model")
"""Options that name a model."""

_HOLDERS = ("reasoning_agent", "compression_manager")
"""Options whose value may have a ``model`` of its own."""


def models_of(component: Component) -> list[str | Model]:
    """Every model that a run of ``component`` may ask, its own first; members' are their own affair."""
    spec = component.spec
    found = [component.model, *(getattr(spec, name) for name in _OPTIONS)]
    found += [getattr(getattr(spec, name), "model", None) for name in _HOLDERS]
    return [model for model in found if model is not None]
