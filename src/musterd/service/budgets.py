"""Budgets: whether a budget can be enforced, and how much of it an unfinished run has spent."""

from musterd.core import clock
from musterd.core.errors import InvalidInput
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Input, RunView
from musterd.declare import Agent, BaseComponent, Team
from musterd.loop.budget import Budgets, PriorUsage, lower_ceilings
from musterd.models.prices import has_price
from musterd.store import journal
from musterd.store.database import Database
from musterd.store.shards import SessionTx


def component_without_price(component: BaseComponent, *, is_requested: bool = False) -> Agent | Team | None:
    """The first agent or team whose model has no list price although a budget in dollars needs one.

    None if the budget can be enforced.

    :param is_requested: whether a request sets a budget in dollars. Otherwise the component's own declaration counts.
    """
    declared = component.spec.budget
    if not is_requested and (declared is None or declared.cost_usd is None):
        return None
    return next((node.spec for node in component.agents_and_teams() if not has_price(node.model)), None)


def require_budget(component: BaseComponent, run_input: Input) -> None:
    """Check that the budget that a request sets can be enforced.

    :raises InvalidInput: it is in dollars, and a model of the tree has no list price.
    """
    if "cost_usd" not in run_input.options.get("budget", ()):
        return
    if (unpriced := component_without_price(component, is_requested=True)) is not None:
        message = f"cost_usd requires a list price, but the model of {unpriced.label} has none"
        raise InvalidInput.at(("body", "budget"), "no_price", message)


def ceilings_of(component: BaseComponent, run_input: Input) -> dict[str, float]:
    """The limits of a run: for each limit the lower of the component's and the request's."""
    declared = component.spec.budget
    return lower_ceilings({} if declared is None else declared.as_json(), run_input.options.get("budget") or {})


async def spent_so_far(database: Database, component: BaseComponent, view: RunView) -> JsonObject | None:
    """The part of its budget that an unfinished run has spent. None if it has no budget or is a member's run."""
    row = view.row
    if row.parent_id is not None or not (ceilings := ceilings_of(component, view.input)):
        return None
    # Not inline: a long run has many steps, and each poll reads them.
    steps = await database.fetch(lambda tx: journal.used(SessionTx(tx, row.session_id), row.run_id))
    seconds = view.input.options.get("fork", {}).get("seconds", 0.0)
    seconds += 0.0 if row.started_at is None else max(clock.now() - row.started_at, 0.0)
    budget = Budgets(ceilings, PriorUsage(steps=steps, seconds=seconds)).as_json("")
    if budget is not None and "seconds" in budget and row.attempt > 1:  # only its events tell how long it waited
        budget["seconds"] = {"limit": ceilings["seconds"]}
    return budget
