"""What model calls cost, by the providers' list prices (genai-prices, as installed: nothing is fetched).

Every model call is priced, and the library takes a tenth of a millisecond for it. So prices a token are asked for once
a minute; it is asked itself about calls that are so long that another price may hold.
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
_SAME_LIST = {"openai-chat": "openai", "openai-responses": "openai", "google-cloud": "google", "bedrock": "aws"}
"""Providers whose prices stand under another's name."""
_KEPT_SECONDS = 60.0
_SHORT, _USUAL, _LONG = 1000, 32_000, 10_000_000
"""Tokens of calls whose prices are compared: where they are the same for a token, they are so for all in between."""

_Known = tuple[str, str, str | None]


@dataclass(frozen=True, slots=True)
class _Rates:
    """Prices a token, of calls that send at most ``up_to`` tokens."""

    up_to: int
    input: float
    cache_read: float
    cache_write: float
    output: float

    def of(self, usage: Usage) -> float:
        cached = usage.cache_read_tokens + usage.cache_write_tokens
        plain = max(usage.input_tokens - cached, 0) + usage.estimated_tokens
        read, written = usage.cache_read_tokens * self.cache_read, usage.cache_write_tokens * self.cache_write
        return plain * self.input + read + written + usage.output_tokens * self.output


_kept: dict[_Known, tuple[float, _Rates | None]] = {}


def price(model: str | Model, usage: Usage) -> float | None:
    """What ``usage`` of ``model`` costs in US dollars; None: there is no list price for it.

    ``local`` and ``scripted`` cost nothing.
    """
    known = _known_as(model)
    if known[1] in _FREE:
        return 0.0
    asked_at, rates = _kept.get(known, (float("-inf"), None))
    if clock.monotonic() - asked_at > _KEPT_SECONDS:
        rates = _rates_of(known)
        _kept[known] = (clock.monotonic(), rates)
    if rates is None:
        return None
    is_usual = usage.input_tokens + usage.estimated_tokens <= rates.up_to
    found = rates.of(usage) if is_usual else _asked(known, usage)
    return None if found is None else round(found, 12)


def has_price(model: str | Model) -> bool:
    """Whether there is a price for calls of ``model``."""
    return price(model, Usage(input_tokens=1, output_tokens=1)) is not None


def _known_as(model: str | Model) -> _Known:
    """A model's name, its provider and its address, as far as they are known."""
    if isinstance(model, str):
        kind, _, rest = model.partition(":")
        return rest or kind, _SAME_LIST.get(kind, kind), None
    provider = _SAME_LIST.get(model.system, model.system)
    return model.model_name, provider, None if provider in _FREE else _address(model)


def _address(model: Model) -> str | None:
    from pydantic_ai.exceptions import UserError

    try:
        return model.base_url
    except (AttributeError, UserError):  # its client knows none
        return None


def _rates_of(known: _Known) -> _Rates | None:
    """Prices a token; None: there are none."""
    probes = (
        Usage(input_tokens=_SHORT),
        Usage(input_tokens=_SHORT, cache_read_tokens=_SHORT),
        Usage(input_tokens=_SHORT, cache_write_tokens=_SHORT),
        Usage(output_tokens=_SHORT),
    )
    prices = [found for probe in probes if (found := _asked(known, probe)) is not None]
    if len(prices) < len(probes):
        return None
    rates = [found / _SHORT for found in prices]
    same = (most for most in (_LONG, _USUAL) if _is_price(rates[0] * most, _asked(known, Usage(input_tokens=most))))
    return _Rates(next(same, 0), *rates)


def _is_price(expected: float, found: float | None) -> bool:
    return found is not None and abs(found - expected) <= 1e-6 * found


def _asked(known: _Known, usage: Usage) -> float | None:
    """What the library says that a call costs."""
    from genai_prices import Usage as PricedUsage
    from genai_prices import calc_price

    name, provider, address = known
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
