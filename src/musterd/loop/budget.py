"""Budgets: what a run with all its members may use, what it has used, and which ceiling ends it.

A budget stands at a place in the run tree: the root's at "", a member's at its path, and counts what happens there
and below. Nothing here waits, stores or asks for prices; :mod:`musterd.loop.metering` does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from musterd.core import clock
from musterd.core.errors import BudgetSpent
from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepKind, StepRow, Usage
from musterd.declare import Component

CHARACTERS_A_TOKEN = 4
"""Characters of text that are estimated to be one token."""

_UNITS = {"tokens": "tokens", "cost_usd": "US dollars", "seconds": "seconds of work", "tool_calls": "tool calls"}


@dataclass(slots=True)
class Amount:
    """Tokens and US dollars."""

    tokens: int = 0
    cost_usd: float = 0.0

    def add(self, other: "Amount") -> None:
        """Count ``other`` in."""
        self.tokens += other.tokens
        self.cost_usd += other.cost_usd

    def take_off(self, other: "Amount") -> None:
        """Count ``other`` no more."""
        self.tokens -= other.tokens
        self.cost_usd -= other.cost_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a run used before this attempt began.

    :param steps: what is stored of its tree; of a model call that was cut off the usage is an estimate.
    :param seconds: time of work.
    """

    steps: Sequence[StepRow] = ()
    seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class Spending:
    """One budget while its run is driven.

    :param path: the run's place in the tree.
    :param ceilings: of :class:`musterd.Budget` those that are set.
    :param used: by calls that have ended, and by those that were cut off.
    :param reserved: for calls under way.
    :param calls: paths of the tool calls.
    :param seconds_before: time of work in earlier attempts.
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
        """Time of work so far."""
        return self.seconds_before + clock.monotonic() - self.began

    @property
    def seconds_left(self) -> float | None:
        """Time of work that is left; None: it has no end."""
        limit = self.ceilings.get("seconds")
        return None if limit is None else max(limit - self.seconds, 0.0)

    def require_room(self, wanted: Amount) -> None:
        """Pass where a model call may be made that is estimated to use ``wanted``.

        :raises BudgetSpent: it may not.
        """
        self.require_time()
        tokens, cost = self.ceilings.get("tokens"), self.ceilings.get("cost_usd")
        if tokens is not None and self.used.tokens + self.reserved.tokens + wanted.tokens > tokens:
            raise self._spent("tokens", self.used.tokens, self.reserved.tokens, wanted.tokens)
        if cost is not None and self.used.cost_usd + self.reserved.cost_usd + wanted.cost_usd > cost:
            raise self._spent("cost_usd", self.used.cost_usd, self.reserved.cost_usd, wanted.cost_usd)

    def require_time(self) -> None:
        """Pass while there is time left.

        :raises BudgetSpent: there is none.
        """
        if self.seconds_left == 0.0:
            raise self.out_of_time()

    def out_of_time(self) -> BudgetSpent:
        """What ends the run when its time is over."""
        limit = self.ceilings["seconds"]
        return BudgetSpent(f"The budget of {limit:g} seconds of work is spent.", "seconds", self.path)

    def require_calls(self, paths: Sequence[str]) -> None:
        """Pass where these tool calls may be made; those of an earlier attempt are counted already.

        :raises BudgetSpent: they are more than are left.
        """
        limit, new = self.ceilings.get("tool_calls"), set(paths) - self.calls
        if limit is not None and len(self.calls) + len(new) > limit:
            raise self._spent("tool_calls", len(self.calls), 0, len(new))

    def as_json(self) -> JsonObject:
        """Each ceiling, with what was spent of it and what is left."""
        spent = {
            "tokens": self.used.tokens,
            "cost_usd": round(self.used.cost_usd, 9),
            "seconds": round(self.seconds, 3),
            "tool_calls": len(self.calls),
        }
        shown: JsonObject = {}
        for name, limit in self.ceilings.items():
            if name in spent:
                left = round(max(limit - spent[name], 0), 9)
                shown[name] = {"limit": limit, "spent": spent[name], "left": left}
            else:
                shown[name] = {"limit": limit}
        return shown

    def _spent(self, ceiling: str, used: float, reserved: float, wanted: float) -> BudgetSpent:
        begun = f", {_amount(reserved)} are kept for calls under way" if reserved else ""
        call = "this call is estimated to need" if ceiling != "tool_calls" else "the model asks for"
        said = f"The budget of {_amount(self.ceilings[ceiling])} {_UNITS[ceiling]} is spent: {_amount(used)} are used"
        return BudgetSpent(f"{said}{begun}, and {call} {_amount(wanted)} more.", ceiling, self.path)


class Budgets:
    """The budgets of a run tree: the root's, and those that its members' declarations have.

    :param ceilings: the root's.
    :param past: what earlier attempts used.
    """

    def __init__(self, ceilings: Mapping[str, float], past: Past) -> None:
        self._past = past
        self._open: dict[str, Spending] = {}
        self._cut_off: dict[str, tuple[int, float]] = {}
        for step in past.steps:
            if step.kind is StepKind.MODEL and step.usage is not None:
                self._cut_off[step.path] = (step.usage.estimated_tokens, 0.0 if step.result else step.cost or 0.0)
        self.root = self._opened("", ceilings, past.seconds)

    def open_member(self, path: str, ceilings: Mapping[str, float] | None) -> None:
        """Let a member's own budget count from now on.

        :param ceilings: those that its declaration has, if it has any.
        :raises BudgetSpent: it stands deeper than a budget above it allows.
        """
        for above in self.over(path):
            if above.path and _levels(above.path, path) > above.ceilings.get("depth", float("inf")):
                said = f"The budget of {above.ceilings['depth']:g} levels of members is spent."
                raise BudgetSpent(said, "depth", above.path)
        if ceilings and path not in self._open:
            self._opened(path, ceilings, self._busy_seconds(path))

    def over(self, path: str) -> Iterator[Spending]:
        """The budgets in which what happens at ``path`` counts, the root's first."""
        yield self.root
        for place, spending in self._open.items():
            if place and path.startswith(f"{place}/"):
                yield spending

    def shown(self, path: str) -> JsonObject | None:
        """The budget at ``path``, as clients read it; None: there is none."""
        spending = self._open.get(path)
        return spending.as_json() if spending is not None and spending.ceilings else None

    def reserve(self, path: str, wanted: Amount) -> None:
        """Keep room for a model call at ``path``.

        :raises BudgetSpent: there is none.
        """
        for spending in self.over(path):
            spending.require_room(wanted)
        for spending in self.over(path):
            spending.reserved.add(wanted)

    def settle(self, path: str, wanted: Amount, used: Amount) -> None:
        """Count what a model call used for which there was room kept; nothing where it failed."""
        for spending in self.over(path):
            spending.reserved.take_off(wanted)
            spending.used.add(used)

    def take_calls(self, paths: Sequence[str]) -> None:
        """Count tool calls that are about to be made.

        :raises BudgetSpent: they are more than are left.
        """
        over = list(self.over(paths[0])) if paths else []
        for spending in over:
            spending.require_time()
            spending.require_calls(paths)
        for spending in over:
            spending.calls.update(paths)

    def cut_off(self, path: str) -> tuple[int, float]:
        """Tokens and dollars that were counted for calls at ``path`` which were cut off."""
        return self._cut_off.get(path, (0, 0.0))

    def _opened(self, path: str, ceilings: Mapping[str, float], seconds: float) -> Spending:
        spending = self._open[path] = Spending(path=path, ceilings=ceilings, seconds_before=seconds)
        prefix = f"{path}/" if path else ""
        for step in self._past.steps:
            if not step.path.startswith(prefix):
                continue
            if step.usage is not None:
                spending.used.add(Amount(tokens_of(step.usage), step.cost or 0.0))
            if is_call(step.kind, step.path):
                spending.calls.add(step.path)
        return spending

    def _busy_seconds(self, path: str) -> float:
        """How long a member's calls took in earlier attempts."""
        calls = [step for step in self._past.steps if step.path.startswith(f"{path}/")]
        return sum(
            max(step.ended_at - step.started_at, 0.0)
            for step in calls
            if step.kind in (StepKind.MODEL, StepKind.TOOL) and step.ended_at is not None
        )


def tokens_of(usage: Usage) -> int:
    """All tokens of ``usage``."""
    return usage.input_tokens + usage.output_tokens + usage.estimated_tokens


def is_call(kind: StepKind, path: str) -> bool:
    """Whether the step at ``path`` is a model's tool call, and not one of the runs that such a call starts."""
    return kind in (StepKind.TOOL, StepKind.DELEGATE) and path.rpartition("/")[2].startswith("c")


def lower_of(declared: Mapping[str, float], asked: Mapping[str, float]) -> dict[str, float]:
    """Both budgets at once: of each ceiling the lower one."""
    both = {**declared, **asked}
    return {name: min(declared.get(name, value), asked.get(name, value)) for name, value in both.items()}


def has_budget(root: Component) -> bool:
    """Whether a component or anybody below it declares a budget, or may: whom a function gives is not known yet."""
    return any(
        found.spec.budget is not None or getattr(found.spec, "member_function", None) is not None
        for found in root.tree()
    )


def _levels(above: str, path: str) -> int:
    return sum(part.startswith("c") for part in path.removeprefix(above).split("/"))


def _amount(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.6g}"
