"""Values that are computed once per component and cached as long as the component exists.

Components in the registry live as long as the process. The dynamic members of a run (``loop/dynamic_members.py``)
live as long as the run, so the cache must not keep them alive: it holds them by weak references.
"""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

from musterd.declare import BaseComponent

C = TypeVar("C", bound=BaseComponent)
Value = TypeVar("Value")


def cached_per_component(compute: Callable[[C], Value]) -> Callable[[C], Value]:
    """Call ``compute`` once for each component."""
    values: WeakKeyDictionary[C, Value] = WeakKeyDictionary()

    @wraps(compute)
    def cached(component: C) -> Value:
        value = values.get(component)
        if value is None:
            value = values[component] = compute(component)
        return value

    return cached
