"""Metered model calls: a reservation in the budgets before each call, and its actual usage after it.

A context variable holds the step that a call is made for. Code that makes model calls inside a step therefore needs to
know nothing about budgets.
"""

import asyncio
import functools
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Protocol

from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepKind, StepRow, Usage
from musterd.core.settings import Settings
from musterd.declare import BaseComponent, Component
from musterd.loop.budget import CHARACTERS_PER_TOKEN, Amount, Budgets, PriorUsage, has_budget, lower_ceilings, tokens_of
from musterd.loop.run_tree import Models
from musterd.models.call import ModelAnswer, ModelCaller, OnRetry, OnText
from musterd.models.call_progress import OnProgress
from musterd.models.prices import price

TOKENS_PER_MEDIA_ITEM = 1000
"""Estimate: this many tokens for each image or other item that is not text."""

_is_budgeted = functools.cache(has_budget)


@dataclass(frozen=True, slots=True)
class ModelStep:
    """The journal step of the model call that is under way."""

    path: str
    fingerprint: str
    name: str


_NO_STEP = ModelStep("", "", "")
current_model_step: ContextVar[ModelStep] = ContextVar("musterd_current_model_step")


class ModelCallJournal(Protocol):
    """Stores the beginning of model calls."""

    async def model_call_began(self, step: ModelStep, estimate: Amount) -> None:
        """Commit that a model call begins, with the usage that counts if the call is cut off."""


def budgets_of(
    component: BaseComponent,
    requested: JsonObject | None,
    prior_usage: PriorUsage,
    lost_characters: dict[str, int],
    models: Models,
) -> Budgets | None:
    """The budgets of a run; None: it has no limits.

    :param requested: the budget in its request.
    :param prior_usage: what earlier attempts used.
    :param lost_characters: how much text was emitted by model calls that were cut off, by path.
    """
    if not requested and not _is_budgeted(component):
        return None
    declared = {} if component.spec.budget is None else component.spec.budget.as_json()
    # A workflow has no model of its own; its calls are counted with the costs that are stored with them.
    model = models.of(component) if isinstance(component, Component) else None
    steps = [_priced(step, model, lost_characters.get(step.path, 0)) for step in prior_usage.steps]
    return Budgets(lower_ceilings(declared, requested or {}), replace(prior_usage, steps=steps))


def _priced(step: StepRow, model: Model | None, lost_characters: int) -> StepRow:
    """A stored step with its cost. If it is a model call that was cut off, the text that it emitted is added."""
    if step.kind is not StepKind.MODEL or step.usage is None:
        return step
    cost = step.cost if step.cost is not None else _price(model, step.usage)
    if step.result is not None:
        return replace(step, cost=cost)
    emitted = Usage(output_tokens=lost_characters // CHARACTERS_PER_TOKEN)
    usage = replace(step.usage, estimated_tokens=step.usage.estimated_tokens + emitted.output_tokens)
    return replace(step, usage=usage, cost=cost + _price(model, emitted))


def _price(model: Model | None, usage: Usage) -> float:
    return 0.0 if model is None else price(model, usage) or 0.0


class MeteredCaller(ModelCaller):
    """A model caller that reserves room in the budgets before each call, and counts its usage afterwards."""

    def __init__(self, inner: ModelCaller, budgets: Budgets, journal: ModelCallJournal) -> None:
        self._inner = inner
        self._budgets = budgets
        self._journal = journal

    async def stream(
        self,
        model: Model,
        messages: list[ModelMessage],
        parameters: ModelRequestParameters,
        model_settings: ModelSettings | None,
        *,
        on_text: OnText,
        on_retry: OnRetry,
        on_progress: OnProgress | None = None,
    ) -> ModelAnswer:
        """Call ``model`` if the budgets have room for the call.

        :raises BudgetSpent: a budget has no room.
        :raises ModelFailed: there is no answer.
        """
        step, budgets = current_model_step.get(_NO_STEP), self._budgets
        planned = Usage(input_tokens=_input_tokens(messages), output_tokens=_max_tokens(model, model_settings))
        estimate = Amount(tokens_of(planned), price(model, planned) or 0.0)
        used, (lost_tokens, lost_cost) = Amount(), budgets.cut_off(step.path)
        # Before anything is awaited, so that concurrent calls see the reservation. Outside the try: if there is no
        # room, nothing is reserved, and nothing must be settled.
        budgets.reserve(step.path, estimate)
        try:
            if step is not _NO_STEP:
                # Committed before the call: if the process crashes during it, later attempts count the estimate.
                await self._journal.model_call_began(step, estimate)
            answer = await self._inner.stream(
                model, messages, parameters, model_settings, on_text=on_text, on_retry=on_retry, on_progress=on_progress
            )
            used = Amount(tokens_of(answer.usage), answer.cost or 0.0)
        except asyncio.CancelledError:
            used = estimate  # the provider has probably charged for it
            raise
        finally:
            budgets.settle(step.path, estimate, used)
        usage = replace(answer.usage, estimated_tokens=lost_tokens)
        return replace(answer, usage=usage, cost=None if answer.cost is None else answer.cost + lost_cost)


def metered(models: Models, settings: Settings, budgets: Budgets, journal: ModelCallJournal) -> tuple[Models, Settings]:
    """The models and settings of a run that has budgets."""
    caller = MeteredCaller(models.caller, budgets, journal)
    depth = budgets.root.ceilings.get("depth")
    if depth is not None and depth < settings.max_depth:
        settings = settings.model_copy(update={"max_depth": int(depth)})
    return replace(models, caller=caller), settings


def _max_tokens(model: Model, model_settings: ModelSettings | None) -> int:
    """The limit on the tokens of a call's answer; 0 if none is set."""
    settings: JsonObject = {**(model.settings or {}), **(model_settings or {})}
    return int(settings.get("max_tokens") or 0)


def _input_tokens(messages: Sequence[ModelMessage]) -> int:
    """Estimated input tokens of a call: the total of the last response, and the characters of the messages since."""
    characters = 0
    for message in reversed(messages):
        if isinstance(message, ModelResponse) and message.usage.total_tokens:
            return message.usage.total_tokens + characters // CHARACTERS_PER_TOKEN
        characters += sum(_characters(part) for part in message.parts)
    return characters // CHARACTERS_PER_TOKEN


def _characters(part: object) -> int:
    if isinstance(part, ToolCallPart):
        return len(part.args_as_json_str())
    content = getattr(part, "content", None)
    if content is None or isinstance(content, str):
        return len(content or "")
    items = content if isinstance(content, list | tuple) else [content]
    return sum(len(item) if isinstance(item, str) else TOKENS_PER_MEDIA_ITEM * CHARACTERS_PER_TOKEN for item in items)
