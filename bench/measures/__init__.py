"""Measurements, one subject per module. Each takes the benchmark and returns its figures."""

from collections.abc import Awaitable, Callable, Sequence

from bench.figures import Figure
from bench.measures import cancel, overlap, reads, recovery, runs, start, stream, waiting
from bench.trial import Bench

Measure = Callable[[Bench], Awaitable[Sequence[Figure]]]

MEASURES: dict[str, Measure] = {
    "start": start.measure,
    "runs": runs.measure,
    "stream": stream.measure,
    "reads": reads.measure,
    "overlap": overlap.measure,
    "cancel": cancel.measure,
    "recovery": recovery.measure,
    "waiting": waiting.measure,
}
