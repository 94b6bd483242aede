"""A streamed answer of 2,000 words, one chunk per word, without pauses and at the speed of a fast model."""

from bench.client import Stream
from bench.figures import Bar, Figure, beside
from bench.trial import CLIENTS, Bench, Samples, Side

WORDS = 2000
PACE_MS = 5


async def measure(bench: Bench) -> list[Figure]:
    seen: dict[str, Stream] = {}

    async def at_once(side: Side) -> None:
        seen[side.server.name] = await side.client.stream(f"[[WORDS {WORDS}]]")

    async def paced(side: Side) -> None:
        seen[side.server.name] = await side.client.stream(f"[[WORDS {WORDS} {PACE_MS}]]")

    async with bench.sides() as sides:
        samples = await bench.compare(sides, at_once, ours=80, peer=32, rounds=2)
        streams = [seen[side.server.name] for side in sides]
        aims = Bar(at_most=200, is_aim=True), Bar(at_most=80, is_aim=True)  # set for a model that answers at once
        figures = rows("stream of 2,000 words at once", samples, streams, *aims)
        samples = [Samples() for _ in sides]
        for side, into in zip(sides, samples, strict=True):
            with bench.watching(side):
                await bench.round(side, paced, CLIENTS, CLIENTS, into)
        name = f"stream of 2,000 words, {PACE_MS} ms apart"
        figures += rows(name, samples, [seen[side.server.name] for side in sides])
    return figures


def rows(
    name: str, samples: list[Samples], streams: list[Stream], max_cpu: Bar | None = None, max_size: Bar | None = None
) -> list[Figure]:
    """Return the figures of one pace."""
    return [
        beside(f"{name}: CPU", "ms", samples, lambda of: of.cpu, max_cpu),
        beside(f"{name}: events", "", streams, lambda of: of.events),
        beside(f"{name}: size", "kB", streams, lambda of: of.size / 1000, max_size),
        beside(f"{name}: sent, compressed", "kB", streams, lambda of: of.sent / 1000),
    ]
