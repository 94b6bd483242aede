"""Measurements of durability and scaling on both databases, one subject per module."""

from collections.abc import Awaitable, Callable, Sequence

from bench.durable import acceptance, cancel, drain, embedded, pickup, recovery, retention, scaling
from bench.figures import Figure
from bench.trial import Bench

Measure = Callable[[Bench], Awaitable[Sequence[Figure]]]

DURABLE: dict[str, Measure] = {
    "recovery": recovery.measure,
    "cancel": cancel.measure,
    "pickup": pickup.measure,
    "acceptance": acceptance.measure,
    "scaling": scaling.measure,
    "embedded": embedded.measure,
    "drain": drain.measure,
    "retention": retention.measure,
}
