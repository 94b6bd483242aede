"""Budgets: whether one can be held, and what of it is spent while a run is at work."""

from musterd.core import clock
from musterd.core.errors import InvalidInput
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Input, RunView
from musterd.declare import Agent, Component, Team
from musterd.loop.budget import Budgets, PriorUsage, lower_ceilings
from musterd.models.prices import has_price
from musterd.store import journal
from musterd.store.database import Database


def unpriced(component: Component, *, is_asked: bool = False) -> Agent | Team | None:
    """Whose model has no list price, where a budget in dollars needs one; None: the budget can be held.

    :param is_asked: whether a request asks for such a budget; else the component's own declaration counts.
    """
    declared = component.spec.budget
    if not is_asked and (declared is None or declared.cost_usd is None):
        return None
    return next((found.spec for found in component.tree() if not has_price(found.model)), None)


def require_budget(component: Component, asked: Input) -> None:
    """Pass where the budget that a request asks for can be held.

    :raises InvalidInput: it is in dollars, and a model of the tree has no list price.
    """
    if "cost_usd" not in asked.options.get("budget", ()):
        return
    if (without := unpriced(component, is_asked=True)) is not None:
        words = f"cost_usd needs a list price, and there is none for the model of {without.label}"
        raise InvalidInput.at(("body", "budget"), "no_price", words)


def ceilings_of(component: Component, asked: Input) -> dict[str, float]:
    """What holds for a run: what its component declares and what its request asked for, of each the lower one."""
    declared = component.spec.budget
    return lower_ceilings({} if declared is None else declared.as_json(), asked.options.get("budget") or {})


async def so_far(database: Database, component: Component, view: RunView) -> JsonObject | None:
    """What a run that has not ended has spent of its budget; None: it has none, or it is a member's."""
    row = view.row
    if row.parent_id is not None or not (ceilings := ceilings_of(component, view.input)):
        return None
    steps = await database.read(lambda tx: journal.used(tx, row.run_id))
    seconds = view.input.options.get("fork", {}).get("seconds", 0.0)
    seconds += 0.0 if row.started_at is None else max(clock.now() - row.started_at, 0.0)
    shown = Budgets(ceilings, PriorUsage(steps=steps, seconds=seconds)).as_json("")
    if shown is not None and "seconds" in shown and row.attempt > 1:  # how long it waited only its events tell
        shown["seconds"] = {"limit": ceilings["seconds"]}
    return shown
