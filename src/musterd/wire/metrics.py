"""Token counts and durations in Agno's shape: what is not zero, with the total and each model's share."""

from collections.abc import Iterable, Iterator
from typing import Any

from musterd.core.records import Output, Usage

UsageShare = tuple[str, str, str, Usage]
"""What one model used: its role in the run, its name, its provider, the tokens."""


def token_counts(usage: Usage) -> dict[str, int]:
    """The counts of ``usage`` that are not zero; input, output and their total whenever there is any."""
    total = usage.input_tokens + usage.output_tokens
    if not total:
        return {}
    counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "total_tokens": total}
    for name in ("cache_read_tokens", "cache_write_tokens", "reasoning_tokens"):
        if value := getattr(usage, name):
            counts[name] = value
    return counts


def run_metrics(output: Output | None, model: str, model_provider: str) -> dict[str, Any]:
    """``metrics`` of a run that has ended, or ``{}`` when nothing was measured yet."""
    if output is None:
        return {}
    counts = token_counts(output.usage)
    metrics: dict[str, Any] = dict(counts)
    if output.first_token_seconds is not None:
        metrics["time_to_first_token"] = output.first_token_seconds
    if output.seconds is not None:
        metrics["duration"] = output.seconds
    if counts:
        metrics["details"] = _details(usage_shares(output, model, model_provider))
    return metrics


def usage_shares(output: Output, model: str, model_provider: str) -> Iterator[UsageShare]:
    """What each model of a run used: its own as ``model``, then those that it asked beside its turns."""
    own, asides = output.usage, [Usage.from_json(aside["usage"]) for aside in output.asides]
    if asides:
        own = Usage.from_json(own.as_json())
        for usage in asides:
            own.subtract(usage)
    yield "model", model, model_provider, own
    for aside, usage in zip(output.asides, asides, strict=True):
        yield aside["role"], aside["model"], aside["provider"], usage


def summed_metrics(shares: Iterable[UsageShare]) -> dict[str, Any]:
    """The sum over the models of many runs, and the share of each."""
    whole = Usage()
    found: dict[tuple[str, str, str], Usage] = {}
    for role, model, model_provider, usage in shares:
        whole.add(usage)
        found.setdefault((role, model, model_provider), Usage()).add(usage)
    metrics: dict[str, Any] = dict(token_counts(whole))
    if metrics:
        metrics["details"] = _details((*who, usage) for who, usage in found.items())
    return metrics


def _details(shares: Iterable[UsageShare]) -> dict[str, list[dict[str, Any]]]:
    """The shares by role; a model that used nothing is left out."""
    details: dict[str, list[dict[str, Any]]] = {}
    for role, model, model_provider, usage in shares:
        if counts := token_counts(usage):
            details.setdefault(role, []).append({**counts, "id": model, "provider": model_provider})
    return details
