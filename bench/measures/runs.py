"""CPU and latency of one run: leader only, with a member, polled, streamed."""

from collections.abc import Sequence

from bench.client import leader_work, member_work
from bench.figures import Bar, Figure, beside
from bench.trial import Bench, Samples, Side, ToolCallContext


async def leader_only(side: Side) -> object:
    return await side.client.run(leader_work())


async def with_member(side: Side) -> object:
    return await side.client.run(member_work())


async def polled(side: Side) -> object:
    return await side.client.start_and_poll(leader_work())


async def streamed(side: Side) -> object:
    return await side.client.stream(leader_work())


SHAPES: dict[str, tuple[ToolCallContext, Bar]] = {
    "leader only": (leader_only, Bar(ratio=0.22)),
    "leader + member with a tool": (with_member, Bar(ratio=0.45)),
    "background + poll every 50 ms": (polled, Bar(ratio=0.35)),
    "stream": (streamed, Bar(ratio=0.35)),
}


async def measure(bench: Bench) -> list[Figure]:
    figures = []
    for name, (act, bar) in SHAPES.items():
        async with bench.sides() as sides:
            samples = await bench.compare(sides, act, ours=1200, peer=1000)
        figures += shape(name, bar, samples)
    return figures


def shape(name: str, bar: Bar, samples: Sequence[Samples]) -> list[Figure]:
    """Return the figures of one shape of run."""
    return [
        beside(f"{name}: CPU a run", "ms", samples, lambda of: of.cpu, bar),
        beside(f"{name}: p50", "ms", samples, lambda of: of.percentile(0.5)),
        beside(f"{name}: p95", "ms", samples, lambda of: of.percentile(0.95)),
    ]
