"""Token counts and durations in Agno's shape: what is not zero, with the total and each model's share."""

from collections.abc import Iterable
from typing import Any

from musterd.core.records import Output, Usage


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
        metrics["details"] = {"model": [{**counts, "id": model, "provider": model_provider}]}
    return metrics


def summed_metrics(parts: Iterable[tuple[Usage, str, str]]) -> dict[str, Any]:
    """The sum over ``(usage, model, model_provider)`` of many runs, and the share of each model."""
    whole = Usage()
    shares: dict[tuple[str, str], Usage] = {}
    for usage, model, model_provider in parts:
        whole.add(usage)
        shares.setdefault((model, model_provider), Usage()).add(usage)
    metrics: dict[str, Any] = dict(token_counts(whole))
    if metrics:
        metrics["details"] = {
            "model": [
                {**counts, "id": model, "provider": model_provider}
                for (model, model_provider), usage in shares.items()
                if (counts := token_counts(usage))
            ]
        }
    return metrics
