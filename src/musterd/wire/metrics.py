"""Tokens and durations of runs and model calls, as AgentOS shows them. Counts that are zero are left out."""

from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.records import Output, Usage

UsageShare = tuple[str, str, str, Usage]
"""The tokens that one model used: its role in the run, its name, its provider, the tokens."""

_Count = Annotated[int, Field(ge=0)]
_Seconds = Annotated[float, Field(description="Seconds.")]


class TokenCounts(TypedDict, total=False):
    """Numbers of tokens."""

    input_tokens: _Count
    output_tokens: _Count
    total_tokens: _Count
    cache_read_tokens: _Count
    cache_write_tokens: _Count
    reasoning_tokens: _Count


class ModelUsage(TokenCounts):
    """The tokens that one model used."""

    id: str
    provider: str


class Durations(TypedDict, total=False):
    """How long a run or a model call took."""

    duration: _Seconds
    time_to_first_token: _Seconds


class MessageMetrics(TokenCounts, Durations):
    """Tokens and durations of the model call that returned a message."""


class _Details(TypedDict, total=False):
    details: Annotated[dict[str, list[ModelUsage]], Field(description="The tokens of each model, by its role.")]


class RunMetrics(TokenCounts, Durations, _Details):
    """Tokens and durations of a run; `{}` until it has finished or paused."""


class SessionMetrics(TokenCounts, _Details):
    """Tokens of all runs of a session."""


def token_counts(usage: Usage) -> TokenCounts:
    """The counts of ``usage`` that are not zero; input, output and their total if there are any tokens."""
    total = usage.input_tokens + usage.output_tokens
    if not total:
        return {}
    counts: TokenCounts = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": total,
    }
    if usage.cache_read_tokens:
        counts["cache_read_tokens"] = usage.cache_read_tokens
    if usage.cache_write_tokens:
        counts["cache_write_tokens"] = usage.cache_write_tokens
    if usage.reasoning_tokens:
        counts["reasoning_tokens"] = usage.reasoning_tokens
    return counts


def run_metrics(output: Output | None, model: str, model_provider: str) -> RunMetrics:
    """The metrics of a run that has finished or paused; ``{}`` if it has no output."""
    if output is None:
        return {}
    counts = token_counts(output.usage)
    durations: Durations = {}
    if output.first_token_seconds is not None:
        durations["time_to_first_token"] = output.first_token_seconds
    if output.seconds is not None:
        durations["duration"] = output.seconds
    return {**counts, **durations, **_details(usage_shares(output, model, model_provider))}


def usage_shares(output: Output, model: str, model_provider: str) -> Iterator[UsageShare]:
    """The tokens of each model of a run: its own model with the role ``model``, then those of its asides."""
    own, asides = output.usage, [Usage.from_json(aside["usage"]) for aside in output.asides]
    if asides:
        own = Usage.from_json(own.as_json())
        for usage in asides:
            own.subtract(usage)
    yield "model", model, model_provider, own
    for aside, usage in zip(output.asides, asides, strict=True):
        yield aside["role"], aside["model"], aside["provider"], usage


def summed_metrics(shares: Iterable[UsageShare]) -> SessionMetrics:
    """The tokens of many runs, in total and by model."""
    total = Usage()
    by_model: dict[tuple[str, str, str], Usage] = {}
    for role, model, model_provider, usage in shares:
        total.add(usage)
        by_model.setdefault((role, model, model_provider), Usage()).add(usage)
    counts = token_counts(total)
    return {**counts, **_details((*model, usage) for model, usage in by_model.items())}


def _details(shares: Iterable[UsageShare]) -> _Details:
    """The shares by role, without models that used no tokens."""
    details: dict[str, list[ModelUsage]] = {}
    for role, model, model_provider, usage in shares:
        if counts := token_counts(usage):
            details.setdefault(role, []).append({**counts, "id": model, "provider": model_provider})
    return {"details": details} if details else {}
