"""Values that are computed once per component and kept as long as the component exists.

Components of the registry exist as long as the process; those of one run (``loop/dynamic_members.py``) end with it.
"""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

from musterd.declare import Component

Made = TypeVar("Made")


def cached_per_component(make: Callable[[Component], Made]) -> Callable[[Component], Made]:
    """Call ``make`` once for each component."""
    made: WeakKeyDictionary[Component, Made] = WeakKeyDictionary()

    @wraps(make)
    def find(component: Component) -> Made:
        found = made.get(component)
        if found is None:
            found = made[component] = make(component)
        return found

    return find
