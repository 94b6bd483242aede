"""Metered model calls: room is kept in the budgets before each one, and what it used is counted after it.

Which step a call is made for is told by a context variable: whoever makes model calls for a run, for whatever reason,
makes them inside a step, and need know nothing of budgets.
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

from musterd.core.errors import ModelFailed
from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepKind, StepRow, Usage
from musterd.core.settings import Settings
from musterd.declare import Component
from musterd.loop.budget import CHARACTERS_A_TOKEN, Amount, Budgets, Past, has_budget, lower_of, tokens_of
from musterd.loop.run_tree import Models
from musterd.models.call import ModelAnswer, ModelCaller, OnRetry, OnText
from musterd.models.prices import price

TOKENS_OF_MEDIA = 1000
"""Tokens that a picture, or anything else that is no text, is estimated to be."""

_is_budgeted = functools.cache(has_budget)


@dataclass(frozen=True, slots=True)
class Asked:
    """The model step that is being made."""

    path: str
    fingerprint: str


_NO_STEP = Asked("", "")
asked_step: ContextVar[Asked] = ContextVar("musterd_asked_step")


class Begins(Protocol):
    """Who stores that a model call was begun."""

    async def begun(self, asked: Asked, estimate: Amount) -> None:
        """Commit that a model call begins, with all that its step is counted for if it is cut off."""

    def in_vain(self, asked: Asked) -> None:
        """Record that the model did not answer: the call counts for nothing."""


def budgets_of(
    component: Component, asked: JsonObject | None, past: Past, lost_characters: dict[str, int], models: Models
) -> Budgets | None:
    """The budgets of a run; None: nothing limits it.

    :param asked: the budget that its request asked for.
    :param past: what it used before.
    :param lost_characters: how much text the model calls that were cut off had said, by place.
    """
    if not asked and not _is_budgeted(component):
        return None
    declared = {} if component.spec.budget is None else component.spec.budget.as_json()
    model = models.of(component)
    steps = [_priced(step, model, lost_characters.get(step.path, 0)) for step in past.steps]
    return Budgets(lower_of(declared, asked or {}), replace(past, steps=steps))


def _priced(step: StepRow, model: Model, lost_characters: int) -> StepRow:
    """A stored model step with its cost; one that was cut off with what it is known to have said."""
    if step.kind is not StepKind.MODEL or step.usage is None:
        return step
    cost = step.cost if step.cost is not None else price(model, step.usage) or 0.0
    if step.result is not None:
        return replace(step, cost=cost)
    said = Usage(output_tokens=lost_characters // CHARACTERS_A_TOKEN)
    usage = replace(step.usage, estimated_tokens=step.usage.estimated_tokens + said.output_tokens)
    return replace(step, usage=usage, cost=cost + (price(model, said) or 0.0))


class MeteredCaller(ModelCaller):
    """A caller that keeps room in the budgets before each call, and counts what it used."""

    def __init__(self, inner: ModelCaller, budgets: Budgets, journal: Begins) -> None:
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
    ) -> ModelAnswer:
        """Call ``model`` where the budgets have room for it.

        :raises BudgetSpent: they have none.
        :raises ModelFailed: there is no answer.
        """
        asked, budgets = asked_step.get(_NO_STEP), self._budgets
        planned = Usage(input_tokens=_input_tokens(messages), output_tokens=_most_tokens(model, model_settings))
        wanted = Amount(tokens_of(planned), price(model, planned) or 0.0)
        used, (lost_tokens, lost_cost) = Amount(), budgets.cut_off(asked.path)
        budgets.reserve(asked.path, wanted)
        try:
            if asked is not _NO_STEP:
                await self._journal.begun(asked, wanted)
            answer = await self._inner.stream(
                model, messages, parameters, model_settings, on_text=on_text, on_retry=on_retry
            )
            used = Amount(tokens_of(answer.usage), answer.cost or 0.0)
        except ModelFailed:
            if asked is not _NO_STEP:
                self._journal.in_vain(asked)
            raise
        except asyncio.CancelledError:
            used = wanted  # its provider has probably charged it
            raise
        finally:
            budgets.settle(asked.path, wanted, used)
        usage = replace(answer.usage, estimated_tokens=lost_tokens)
        return replace(answer, usage=usage, cost=None if answer.cost is None else answer.cost + lost_cost)


def metered(models: Models, settings: Settings, budgets: Budgets, journal: Begins) -> tuple[Models, Settings]:
    """The models and settings of a run that has budgets."""
    caller = MeteredCaller(models.caller, budgets, journal)
    depth = budgets.root.ceilings.get("depth")
    if depth is not None and depth < settings.max_depth:
        settings = settings.model_copy(update={"max_depth": int(depth)})
    return replace(models, caller=caller), settings


def _most_tokens(model: Model, asked: ModelSettings | None) -> int:
    """The most that a call may answer with, as far as somebody set it."""
    own: JsonObject = {**(model.settings or {}), **(asked or {})}
    return int(own.get("max_tokens") or 0)


def _input_tokens(messages: Sequence[ModelMessage]) -> int:
    """About how many tokens a call sends: what the last answer says of what came before it, and the text since."""
    characters = 0
    for message in reversed(messages):
        if isinstance(message, ModelResponse) and message.usage.total_tokens:
            return message.usage.total_tokens + characters // CHARACTERS_A_TOKEN
        characters += sum(_characters(part) for part in message.parts)
    return characters // CHARACTERS_A_TOKEN


def _characters(part: object) -> int:
    if isinstance(part, ToolCallPart):
        return len(part.args_as_json_str())
    content = getattr(part, "content", None)
    if content is None or isinstance(content, str):
        return len(content or "")
    items = content if isinstance(content, list | tuple) else [content]
    return sum(len(item) if isinstance(item, str) else TOKENS_OF_MEDIA * CHARACTERS_A_TOKEN for item in items)
