"""Budgets: limits on the tokens, cost, time, tool calls and depth of a run and its members.

A budget belongs to a place in the run tree (the root's to "", a member's to its path) and covers everything at that
place and below it. This module only counts; :mod:`musterd.loop.metering` waits, stores steps and looks up prices.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from musterd.core import clock
from musterd.core.errors import BudgetSpent
from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepKind, StepRow, Usage
from musterd.core.totals import is_tool_call
from musterd.declare import BaseComponent, Team

CHARACTERS_PER_TOKEN = 4
"""Estimate: this many characters of text are one token."""

_UNITS = {"tokens": "tokens", "cost_usd": "US dollars", "seconds": "seconds of work", "tool_calls": "tool calls"}


@dataclass(slots=True)
class Amount:
    """Tokens and US dollars."""

    tokens: int = 0
    cost_usd: float = 0.0

    def add(self, other: "Amount") -> None:
        """Add ``other`` to this amount."""
        self.tokens += other.tokens
        self.cost_usd += other.cost_usd

    def subtract(self, other: "Amount") -> None:
        """Subtract ``other`` from this amount."""
        self.tokens -= other.tokens
        self.cost_usd -= other.cost_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorUsage:
    """What a run used before this attempt began.

    :param steps: the stored steps of its tree. The usage of a model call that was cut off is an estimate.
    :param seconds: working time.
    """

    steps: Sequence[StepRow] = ()
    seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class Spending:
    """The state of one budget during an attempt.

    :param path: the run's place in the tree.
    :param ceilings: the fields of :class:`musterd.Budget` that are set.
    :param used: the usage of finished model calls and of calls that were cut off.
    :param reserved: the estimates of model calls under way.
    :param calls: paths of the tool calls.
    :param seconds_before: working time of earlier attempts.
    """

    path: str
    ceilings: Mapping[str, float]
    used: Amount = field(default_factory=Amount)
    reserved: Amount = field(default_factory=Amount)
    calls: set[str] = field(default_factory=set)
    seconds_before: float = 0.0
    began: float = field(default_factory=clock.monotonic)

    @property
    def seconds(self) -> float:
        """Working time so far."""
        return self.seconds_before + clock.monotonic() - self.began

    @property
    def seconds_left(self) -> float | None:
        """Working time that is left; None: it is not limited."""
        limit = self.ceilings.get("seconds")
        return None if limit is None else max(limit - self.seconds, 0.0)

    def require_room(self, estimate: Amount) -> None:
        """Check that there is room for a model call.

        :raises BudgetSpent: the estimate exceeds what is left.
        """
        self.require_time()
        tokens, cost = self.ceilings.get("tokens"), self.ceilings.get("cost_usd")
        if tokens is not None and self.used.tokens + self.reserved.tokens + estimate.tokens > tokens:
            raise self._spent("tokens", self.used.tokens, self.reserved.tokens, estimate.tokens)
        if cost is not None and self.used.cost_usd + self.reserved.cost_usd + estimate.cost_usd > cost:
            raise self._spent("cost_usd", self.used.cost_usd, self.reserved.cost_usd, estimate.cost_usd)

    def require_time(self) -> None:
        """Check that there is working time left.

        :raises BudgetSpent: there is none.
        """
        if self.seconds_left == 0.0:
            raise self.out_of_time()

    def time_limit(self) -> asyncio.Timeout:
        """A context manager that interrupts when no working time is left."""
        return asyncio.timeout(self.seconds_left)

    def out_of_time(self) -> BudgetSpent:
        """The error that ends the run when its working time is used up."""
        limit = self.ceilings["seconds"]
        return BudgetSpent(f"The budget of {limit:g} seconds of work is spent.", "seconds", self.path)

    def require_calls(self, paths: Sequence[str]) -> None:
        """Check that there is room for these tool calls. Calls of an earlier attempt are already counted.

        :raises BudgetSpent: there are more calls than are left.
        """
        limit, new = self.ceilings.get("tool_calls"), set(paths) - self.calls
        if limit is not None and len(self.calls) + len(new) > limit:
            raise self._spent("tool_calls", len(self.calls), 0, len(new))

    def as_json(self) -> JsonObject:
        """Each ceiling with the amount spent and the amount left."""
        spent = {
            "tokens": self.used.tokens,
            "cost_usd": round(self.used.cost_usd, 9),
            "seconds": round(self.seconds, 3),
            "tool_calls": len(self.calls),
        }
        report: JsonObject = {}
        for name, limit in self.ceilings.items():
            if name in spent:
                left = round(max(limit - spent[name], 0), 9)
                report[name] = {"limit": limit, "spent": spent[name], "left": left}
            else:
                report[name] = {"limit": limit}
        return report

    def _spent(self, ceiling: str, used: float, reserved: float, needed: float) -> BudgetSpent:
        under_way = f", {_amount(reserved)} are reserved for calls in progress" if reserved else ""
        call = "this call is estimated to need" if ceiling != "tool_calls" else "the model asks for"
        spent = f"The budget of {_amount(self.ceilings[ceiling])} {_UNITS[ceiling]} is spent: {_amount(used)} are used"
        return BudgetSpent(f"{spent}{under_way}, and {call} {_amount(needed)} more.", ceiling, self.path)


class Budgets:
    """The budgets of a run tree: the root's, and those of members that declare one.

    :param ceilings: the root's.
    :param prior_usage: the usage of earlier attempts.
    """

    def __init__(self, ceilings: Mapping[str, float], prior_usage: PriorUsage) -> None:
        self._prior_usage = prior_usage
        self._open: dict[str, Spending] = {}
        self._cut_off: dict[str, tuple[int, float]] = {}
        # Calls that were cut off were probably charged, so their estimates count even after the call is made again.
        for step in prior_usage.steps:
            if step.kind is StepKind.MODEL and step.usage is not None:
                self._cut_off[step.path] = (step.usage.estimated_tokens, 0.0 if step.result else step.cost or 0.0)
        self.root = self._opened("", ceilings, prior_usage.seconds)

    def open_member(self, path: str, ceilings: Mapping[str, float] | None) -> None:
        """Start a member's own budget, if it declares one.

        :param ceilings: the ceilings of its declaration, if there are any.
        :raises BudgetSpent: the member is deeper in the tree than a budget above it allows.
        """
        for spending in self.covering(path):
            if spending.path and _levels(spending.path, path) > spending.ceilings.get("depth", float("inf")):
                message = f"The budget of {spending.ceilings['depth']:g} levels of members is spent."
                raise BudgetSpent(message, "depth", spending.path)
        if ceilings and path not in self._open:
            self._opened(path, ceilings, self._busy_seconds(path))

    def own(self, path: str) -> Spending | None:
        """The budget that the run at ``path`` declares itself; None: it declares none."""
        return self._open.get(path)

    def covering(self, path: str) -> Iterator[Spending]:
        """The budgets that cover ``path``, the root's first."""
        yield self.root
        for place, spending in self._open.items():
            if place and path.startswith(f"{place}/"):
                yield spending

    def as_json(self, path: str) -> JsonObject | None:
        """The budget of the run at ``path``, in the shape that clients read; None: there is none."""
        spending = self.own(path)
        return spending.as_json() if spending is not None and spending.ceilings else None

    def reserve(self, path: str, estimate: Amount) -> None:
        """Reserve room for a model call at ``path``.

        :raises BudgetSpent: a budget has no room for it.
        """
        # Check all budgets before reserving in any of them, so that a failed check leaves no reservation.
        for spending in self.covering(path):
            spending.require_room(estimate)
        for spending in self.covering(path):
            spending.reserved.add(estimate)

    def settle(self, path: str, estimate: Amount, used: Amount) -> None:
        """Replace the reservation of a model call by its actual usage, which is zero if the call failed."""
        for spending in self.covering(path):
            spending.reserved.subtract(estimate)
            spending.used.add(used)

    def take_calls(self, paths: Sequence[str]) -> None:
        """Count the tool calls of a turn before they are made.

        :raises BudgetSpent: there are more calls than are left, or there is no time left.
        """
        spendings = list(self.covering(paths[0])) if paths else []
        # As in reserve: check all budgets before counting in any of them.
        for spending in spendings:
            spending.require_time()
            spending.require_calls(paths)
        for spending in spendings:
            spending.calls.update(paths)

    def cut_off(self, path: str) -> tuple[int, float]:
        """Tokens and US dollars that are counted for earlier model calls at ``path`` that were cut off."""
        return self._cut_off.get(path, (0, 0.0))

    def _opened(self, path: str, ceilings: Mapping[str, float], seconds: float) -> Spending:
        spending = self._open[path] = Spending(path=path, ceilings=ceilings, seconds_before=seconds)
        prefix = f"{path}/" if path else ""
        for step in self._prior_usage.steps:
            if not step.path.startswith(prefix):
                continue
            if step.usage is not None:
                spending.used.add(Amount(tokens_of(step.usage), step.cost or 0.0))
            if is_tool_call(step.kind, step.path):
                spending.calls.add(step.path)
        return spending

    def _busy_seconds(self, path: str) -> float:
        """How long a member's model and tool calls took in earlier attempts."""
        steps = [step for step in self._prior_usage.steps if step.path.startswith(f"{path}/")]
        return sum(
            max(step.ended_at - step.started_at, 0.0)
            for step in steps
            if (step.kind is StepKind.MODEL or step.kind.has_effect) and step.ended_at is not None
        )


def tokens_of(usage: Usage) -> int:
    """All tokens of ``usage``."""
    return usage.input_tokens + usage.output_tokens + usage.estimated_tokens


def lower_ceilings(declared: Mapping[str, float], requested: Mapping[str, float]) -> dict[str, float]:
    """Both budgets combined: the lower value of each ceiling."""
    both = {**declared, **requested}
    return {name: min(declared.get(name, value), requested.get(name, value)) for name, value in both.items()}


def has_budget(root: BaseComponent) -> bool:
    """Whether a component or a member below it declares a budget, or may: dynamic members are not known yet."""
    specs = [component.spec for component in root.tree()]
    return any(
        spec.budget is not None or (isinstance(spec, Team) and spec.member_function is not None) for spec in specs
    )


def _levels(above: str, path: str) -> int:
    return sum(part.startswith("c") for part in path.removeprefix(above).split("/"))


def _amount(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.6g}"
