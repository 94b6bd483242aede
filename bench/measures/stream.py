"""A long answer, streamed: 2,000 words, a chunk each."""

from bench.client import Stream
from bench.figures import Bar, Figure
from bench.trial import CLIENTS, Bench, Side

WORDS = 2000
MESSAGE = f"[[WORDS {WORDS}]]"


async def measure(bench: Bench) -> list[Figure]:
    seen: dict[str, Stream] = {}

    async def read(side: Side) -> None:
        seen[side.server.name] = await side.client.stream(MESSAGE)

    async with bench.sides() as sides:
        samples = await bench.compare(sides, read, ours=80, peer=32, rounds=2, clients=CLIENTS)
    streams = [seen[side.server.name] for side in sides]
    peer, said = (samples[1], streams[1]) if len(samples) > 1 else (None, None)
    name = "stream of 2,000 words"
    return [
        Figure(
            name=f"{name}: CPU",
            unit="ms",
            ours=samples[0].cpu,
            peer=peer and peer.cpu,
            bar=Bar(at_most=200, is_aim=True),
        ),
        Figure(name=f"{name}: events", unit="", ours=streams[0].events, peer=said and said.events),
        Figure(
            name=f"{name}: size",
            unit="kB",
            ours=streams[0].bytes / 1000,
            peer=said and said.bytes / 1000,
            bar=Bar(at_most=80, is_aim=True),
        ),
    ]
