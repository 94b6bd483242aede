"""What a run and its members have used so far. Stored with the root run, and shown while it is at work."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepKind, StepRow, StepState, Usage


@dataclass(slots=True, kw_only=True)
class Totals:
    """The totals of a run tree, stored in ``runs.totals``. Steps that a fork took over count in their own run only.

    :param cost: US dollars of the model calls; None if a model has no list price.
    :param model_calls: calls that were answered or failed, without answers for which no model was needed.
    :param tool_calls: calls of tools and delegations that ended.
    :param delegations: those of ``tool_calls`` that are delegations.
    :param failed_calls: those of ``model_calls`` and of the calls of tools that failed. A delegation is not counted as
        failed: the calls below it are.
    """

    usage: Usage = field(default_factory=Usage)
    cost: float | None = 0.0
    model_calls: int = 0
    tool_calls: int = 0
    delegations: int = 0
    failed_calls: int = 0

    @classmethod
    def of(cls, steps: Iterable[StepRow]) -> "Totals":
        """The totals of stored steps, without their cost."""
        totals = cls()
        for step in steps:
            if step.is_taken_over:
                continue
            is_model = step.kind is StepKind.MODEL
            if step.result is not None or (is_model and step.state is StepState.FAILED):
                totals.count(step)
            if is_model and step.earlier is not None:
                failed = sum(attempt["outcome"] == "failed" for attempt in json.loads(step.earlier))
                totals.model_calls += failed
                totals.failed_calls += failed
        return totals

    def count(self, step: StepRow) -> bool:
        """Add a step that has ended; False if steps of its kind are not counted."""
        if step.kind is StepKind.MODEL:
            self.model_calls += step.tries > 0
            self.failed_calls += step.state is StepState.FAILED
            if step.usage is not None:
                self.usage.add(step.usage)
        elif is_tool_call(step.kind, step.path):
            self.tool_calls += 1
            self.delegations += step.kind is StepKind.DELEGATE
            self.failed_calls += step.kind is StepKind.TOOL and step.state is StepState.FAILED
        else:
            return False
        return True

    def as_json(self) -> JsonObject:
        """The totals as clients read them."""
        usage = self.usage
        return {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "cache_read_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "cost": None if self.cost is None else round(self.cost, 9),
            "model_calls": self.model_calls,
            "tool_calls": self.tool_calls,
            "delegations": self.delegations,
            "failed_calls": self.failed_calls,
        }


def is_tool_call(kind: StepKind, path: str) -> bool:
    """Whether the step at ``path`` is a tool call of a model, as opposed to a member's run that such a call starts."""
    return kind in (StepKind.TOOL, StepKind.DELEGATE) and path.rpartition("/")[2].startswith("c")
