"""CPU and latency of one run: by the leader alone, with a member, polled, streamed."""

from collections.abc import Sequence

from bench.client import leader_work, member_work
from bench.figures import Bar, Figure
from bench.trial import Act, Bench, Samples, Side


async def leader_only(side: Side) -> object:
    return await side.client.run(leader_work())


async def with_member(side: Side) -> object:
    return await side.client.run(member_work())


async def polled(side: Side) -> object:
    return await side.client.start_and_poll(leader_work())


async def streamed(side: Side) -> object:
    return await side.client.stream(leader_work())


SHAPES: dict[str, tuple[Act, Bar]] = {
    "leader only": (leader_only, Bar(ratio=0.35)),
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
    ours, peer = samples[0], samples[1] if len(samples) > 1 else None
    return [
        Figure(name=f"{name}: CPU a run", unit="ms", ours=ours.cpu, peer=peer and peer.cpu, bar=bar),
        *(
            Figure(
                name=f"{name}: p{share:.0%}".rstrip("%"),
                unit="ms",
                ours=ours.percentile(share),
                peer=peer and peer.percentile(share),
            )
            for share in (0.5, 0.95)
        ),
    ]
