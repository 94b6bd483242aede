"""The cost of model calls by the providers' list prices (from the installed genai-prices; nothing is fetched).

Every model call is priced, and the library takes a tenth of a millisecond for each price. So the prices per token are
read once a minute and cached. Only calls so long that another price per token may apply go to the library directly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from musterd.core import clock
from musterd.core.records import Usage
from musterd.models.names import LOCAL, SCRIPTED

if TYPE_CHECKING:
    from pydantic_ai.models import Model

_FREE = frozenset({LOCAL, SCRIPTED})
_PRICE_LIST_NAMES = {"openai-chat": "openai", "openai-responses": "openai", "google-cloud": "google", "bedrock": "aws"}
"""Providers whose prices are listed under another name."""
_CACHE_SECONDS = 60.0
_SHORT, _USUAL, _LONG = 1000, 32_000, 10_000_000
"""Sizes of calls, in tokens, whose prices are compared. If the price per token of two sizes is the same, it is the same
for all sizes in between."""

_ModelKey = tuple[str, str, str | None]


@dataclass(frozen=True, slots=True)
class _Rates:
    """Prices per token for calls that send at most ``up_to`` tokens."""

    up_to: int
    input: float
    cache_read: float
    cache_write: float
    output: float

    def of(self, usage: Usage) -> float:
        cached = usage.cache_read_tokens + usage.cache_write_tokens
        uncached = max(usage.input_tokens - cached, 0) + usage.estimated_tokens
        read_cost, write_cost = usage.cache_read_tokens * self.cache_read, usage.cache_write_tokens * self.cache_write
        return uncached * self.input + read_cost + write_cost + usage.output_tokens * self.output


_rates_cache: dict[_ModelKey, tuple[float, _Rates | None]] = {}


def price(model: str | Model, usage: Usage) -> float | None:
    """The cost of ``usage`` of ``model`` in US dollars. None if it has no list price.

    ``local`` and ``scripted`` cost nothing.
    """
    key = _model_key(model)
    if key[1] in _FREE:
        return 0.0
    read_at, rates = _rates_cache.get(key, (float("-inf"), None))
    if clock.monotonic() - read_at > _CACHE_SECONDS:
        rates = _fetch_rates(key)
        _rates_cache[key] = (clock.monotonic(), rates)
    if rates is None:
        return None
    is_usual = usage.input_tokens + usage.estimated_tokens <= rates.up_to
    cost = rates.of(usage) if is_usual else _library_price(key, usage)
    return None if cost is None else round(cost, 12)


def has_price(model: str | Model) -> bool:
    """Whether ``model`` has a price."""
    return price(model, Usage(input_tokens=1, output_tokens=1)) is not None


def _model_key(model: str | Model) -> _ModelKey:
    """A model's name, provider and, if known, address."""
    if isinstance(model, str):
        prefix, _, model_name = model.partition(":")
        return model_name or prefix, _PRICE_LIST_NAMES.get(prefix, prefix), None
    provider = _PRICE_LIST_NAMES.get(model.system, model.system)
    return model.model_name, provider, None if provider in _FREE else _address(model)


def _address(model: Model) -> str | None:
    from pydantic_ai.exceptions import UserError

    try:
        return model.base_url
    except (AttributeError, UserError):  # the model's client has no address
        return None


def _fetch_rates(key: _ModelKey) -> _Rates | None:
    """The prices per token. None if there are none."""
    probes = (
        Usage(input_tokens=_SHORT),
        Usage(input_tokens=_SHORT, cache_read_tokens=_SHORT),
        Usage(input_tokens=_SHORT, cache_write_tokens=_SHORT),
        Usage(output_tokens=_SHORT),
    )
    costs = [cost for probe in probes if (cost := _library_price(key, probe)) is not None]
    if len(costs) < len(probes):
        return None
    rates = [cost / _SHORT for cost in costs]
    limits = (
        limit for limit in (_LONG, _USUAL) if _matches(rates[0] * limit, _library_price(key, Usage(input_tokens=limit)))
    )
    return _Rates(next(limits, 0), *rates)


def _matches(expected: float, actual: float | None) -> bool:
    return actual is not None and abs(actual - expected) <= 1e-6 * actual


def _library_price(key: _ModelKey, usage: Usage) -> float | None:
    """The cost of a call according to genai-prices."""
    from genai_prices import Usage as PricedUsage
    from genai_prices import calc_price

    name, provider, address = key
    priced_usage = PricedUsage(
        input_tokens=usage.input_tokens + usage.estimated_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
    )
    if address:
        try:
            return float(calc_price(priced_usage, name, provider_api_url=address).total_price)
        except (LookupError, ValueError):
            pass  # a self-hosted server or a proxy: use the provider's prices
    try:
        return float(calc_price(priced_usage, name, provider_id=provider).total_price)
    except (LookupError, ValueError):
        return None
