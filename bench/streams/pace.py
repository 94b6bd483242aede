"""One stream: its CPU, its bytes, and the latency of its first event."""

from bench.client import Stream, leader_work
from bench.figures import Bar, Figure, beside
from bench.trial import CLIENTS, Bench, Samples, Side

WORDS = 2000
PACE_MS = 5
SHORT_STREAMS = 400
CPU = Bar(ratio=0.5)
SIZE = Bar(ratio=0.1)
FIRST = Bar(at_most=30)


class Seen(Samples):
    """What the streams of one side showed besides.

    :param first_ms: how long each waited for its first event.
    """

    def __init__(self, samples: Samples, streams: list[Stream]) -> None:
        super().__init__(samples.cpu_ms, samples.seconds)
        self.first_ms = sorted(stream.first_seconds * 1000 for stream in streams)
        self.last = streams[-1]

    def first(self, share: float) -> float:
        """How long a stream waited for its first event, as so many waited at most."""
        return self.first_ms[int(share * (len(self.first_ms) - 1))]


async def measure(bench: Bench) -> list[Figure]:
    async with bench.sides() as sides:
        alone = await _compare(bench, sides, "", clients=1, count=SHORT_STREAMS // 4)
        short = await _compare(bench, sides, "", clients=CLIENTS, count=SHORT_STREAMS)
        burst = await _compare(bench, sides, f"[[WORDS {WORDS}]]", clients=CLIENTS, count=32)
        paced = await _compare(bench, sides, f"[[WORDS {WORDS} {PACE_MS}]]", clients=CLIENTS, count=CLIENTS)
    return [
        beside("one client, a short answer: first event p50", "ms", alone, lambda of: of.first(0.5), FIRST),
        beside("one client, a short answer: first event p95", "ms", alone, lambda of: of.first(0.95)),
        beside(f"{CLIENTS} clients, short answers: first event p50", "ms", short, lambda of: of.first(0.5)),
        beside(f"{CLIENTS} clients, short answers: first event p95", "ms", short, lambda of: of.first(0.95)),
        beside(f"{CLIENTS} clients, short answers: CPU a stream", "ms", short, lambda of: of.cpu, CPU),
        *_long(f"{WORDS:,} words at once", burst),
        *_long(f"{WORDS:,} words, {PACE_MS} ms apart", paced),
    ]


async def _compare(bench: Bench, sides: list[Side], message: str, *, clients: int, count: int) -> list[Seen]:
    seen: dict[str, list[Stream]] = {side.server.name: [] for side in sides}

    async def act(side: Side) -> None:
        seen[side.server.name].append(await side.client.stream(message or leader_work()))

    samples = await bench.compare(sides, act, ours=count, peer=count, rounds=2, clients=clients)
    return [Seen(sample, seen[side.server.name]) for side, sample in zip(sides, samples, strict=True)]


def _long(name: str, seen: list[Seen]) -> list[Figure]:
    return [
        beside(f"{name}: CPU a stream", "ms", seen, lambda of: of.cpu, CPU),
        beside(f"{name}: events", "", seen, lambda of: of.last.events),
        beside(f"{name}: CPU an event", "ms", seen, lambda of: of.cpu / of.last.events),
        beside(f"{name}: sent", "kB", seen, lambda of: of.last.sent / 1000, SIZE),
        beside(f"{name}: sent an event", "B", seen, lambda of: of.last.sent / of.last.events),
        beside(f"{name}: unpacked", "kB", seen, lambda of: of.last.size / 1000),
    ]
