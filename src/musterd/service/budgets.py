"""Budgets in US dollars: asked only of models that have a list price."""

from collections.abc import Iterator

from musterd.core.errors import InvalidInput
from musterd.core.records import Input
from musterd.models.prices import has_price
from musterd.specs import Agent, Component, Team


def unpriced(component: Component, *, is_asked: bool = False) -> Agent | Team | None:
    """Whose model has no list price, where a budget in dollars needs one; None: the budget can be held.

    :param is_asked: whether a request asks for such a budget; else the component's own declaration counts.
    """
    declared = component.spec.budget
    if not is_asked and (declared is None or declared.cost_usd is None):
        return None
    return next((found.spec for found in _tree(component) if not has_price(found.model)), None)


def require_budget(component: Component, asked: Input) -> None:
    """Pass where the budget that a request asks for can be held.

    :raises InvalidInput: it is in dollars, and a model of the tree has no list price.
    """
    if "cost_usd" not in asked.options.get("budget", ()):
        return
    if (without := unpriced(component, is_asked=True)) is not None:
        words = f"cost_usd needs a list price, and there is none for the model of {without.label}"
        raise InvalidInput.at(("body", "budget"), "no_price", words)


def _tree(component: Component) -> Iterator[Component]:
    yield component
    for member in component.members:
        yield from _tree(member)
