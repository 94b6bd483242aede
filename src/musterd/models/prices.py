"""What model calls cost, by the providers' list prices (genai-prices, as installed: nothing is fetched)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from musterd.core.records import Usage
from musterd.models.names import LOCAL, SCRIPTED

if TYPE_CHECKING:
    from pydantic_ai.models import Model

_FREE = frozenset({LOCAL, SCRIPTED})
_SAME_LIST = {"openai-chat": "openai", "openai-responses": "openai", "google-cloud": "google", "bedrock": "aws"}
"""Providers whose prices stand under another's name."""


def price(model: str | Model, usage: Usage) -> float | None:
    """What ``usage`` of ``model`` costs in US dollars; None: there is no list price for it.

    ``local`` and ``scripted`` cost nothing.
    """
    name, provider, address = _known_as(model)
    if provider in _FREE:
        return 0.0
    from genai_prices import Usage as PricedUsage
    from genai_prices import calc_price

    asked = PricedUsage(
        input_tokens=usage.input_tokens + usage.estimated_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
    )
    if address:
        try:
            return float(calc_price(asked, name, provider_api_url=address).total_price)
        except (LookupError, ValueError):
            pass  # a server of somebody's own, or a proxy: its provider's prices hold
    try:
        return float(calc_price(asked, name, provider_id=provider).total_price)
    except (LookupError, ValueError):
        return None


def has_price(model: str | Model) -> bool:
    """Whether there is a price for calls of ``model``."""
    return price(model, Usage(input_tokens=1, output_tokens=1)) is not None


def _known_as(model: str | Model) -> tuple[str, str, str | None]:
    """A model's name, its provider and its address, as far as they are known."""
    if isinstance(model, str):
        kind, _, rest = model.partition(":")
        return rest or kind, _SAME_LIST.get(kind, kind), None
    return model.model_name, _SAME_LIST.get(model.system, model.system), model.base_url
