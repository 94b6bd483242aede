"""Measures events of runs that one process drives and another one reads: latency, and the CPU of both processes.

python -m bench.readers_elsewhere               20 runs of 100 words, 50 ms apart, on each bus, three rounds
python -m bench.readers_elsewhere --runs 5 --rounds 1 --readers 0

One process accepts and drives the runs, on the `scripted` model; the other one has the readers. Latency is the time
from the return of the commit that stored an event until a reader has it, and counts only events that were stored after
the reader came. CPU is measured from outside, from the time when all readers are reading until the last end. It
includes other work of the processes, so compare the buses, not the absolute figures. The benchmark has its own
Postgres, with fsync and synchronous commits on.
"""

import argparse
import contextlib
import os
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from bench.figures import formatted, machine
from bench.parts import Part
from bench.servers import NoFigure, cpu_seconds
from bench.stores import Postgres
from musterd.store.postgres_upgrade import upgrade_postgres
from tests.support.nats import NatsServer, binary

SIDES = "bench.readers_elsewhere_sides"
HEAD = [
    "bus",
    "events read",
    "p50 ms",
    "p99 ms",
    "driving, CPU µs an event",
    "reading, CPU µs an event",
    "Postgres, CPU µs an event",
    "NATS, CPU µs an event",
    "transactions an event",
]


@dataclass
class Outcome:
    """One round: latencies in seconds, and the costs of an event."""

    latencies: list[float]
    count: int
    drive_us: float
    read_us: float
    postgres_us: float
    nats_us: float
    transactions: float

    def part(self, share: float) -> float:
        """Return this quantile of the latencies, in ms."""
        return self.latencies[int(share * (len(self.latencies) - 1))] * 1000 if self.latencies else 0.0


@dataclass
class Counters:
    """The values of the counters at one time."""

    drive: float
    read: float
    postgres: float
    nats: float
    transactions: int


def counters(postgres: Postgres, nats: NatsServer | None, drive: Part, read: Part) -> Counters:
    row = postgres.admin.execute(
        "SELECT sum(xact_commit + xact_rollback)::bigint FROM pg_stat_database WHERE datname LIKE 'bench%'"
    ).fetchone()
    assert row is not None
    nats_cpu = 0.0 if nats is None else cpu_seconds(nats.pid)
    return Counters(cpu_seconds(drive.pid), cpu_seconds(read.pid), postgres.cpu(), nats_cpu, int(row[0] or 0))


def one(postgres: Postgres, nats: NatsServer | None, runs: int, words: int, readers: int) -> Outcome:
    """Measure one round on a fresh database."""
    bus = "" if nats is None else nats.url
    prefix = "bench" if nats is None else nats.prefix()
    with postgres.fresh() as url, contextlib.ExitStack() as stack:
        upgrade_postgres(url)
        read = Part(SIDES, "read", url, bus, prefix, runs, words, readers)
        stack.callback(read.end)
        drive = Part(SIDES, "drive", url, bus, prefix, runs, words, readers)
        stack.callback(drive.end)
        assert (read.receive(), drive.receive()) == ("ready", "ready")
        drive.go()
        read.go(drive.receive())
        assert read.receive() == "reading"
        before = counters(postgres, nats, drive, read)
        stored: dict[str, float] = drive.receive()
        received: dict[str, float] = read.receive()
        after = counters(postgres, nats, drive, read)
    count = len(stored)
    latencies = sorted(at - stored[event] for event, at in received.items() if event in stored)
    return Outcome(
        latencies,
        len(latencies),
        (after.drive - before.drive) * 1e6 / count,
        (after.read - before.read) * 1e6 / count,
        (after.postgres - before.postgres) * 1e6 / count,
        (after.nats - before.nats) * 1e6 / count,
        (after.transactions - before.transactions) / count,
    )


def shown_row(bus: str, rounds: list[Outcome]) -> str:
    """Return a line of the table: medians of the rounds."""

    def middle(values: list[float], digits: int = 2) -> str:
        return formatted(statistics.median(values), digits)

    cells = [bus, middle([each.count for each in rounds])]
    cells += [middle([each.part(share) for each in rounds]) for share in (0.5, 0.99)]
    cells += [middle([each.drive_us for each in rounds], 0), middle([each.read_us for each in rounds], 0)]
    cells += [middle([each.postgres_us for each in rounds], 0), middle([each.nats_us for each in rounds], 0)]
    return f"| {' | '.join([*cells, middle([each.transactions for each in rounds])])} |"


def measured(postgres: Postgres, nats: NatsServer | None, chosen: argparse.Namespace) -> Iterator[str]:
    """Yield the table line by line."""
    yield f"| {' | '.join(HEAD)} |"
    yield f"|---|{'--:|' * (len(HEAD) - 1)}"
    buses: dict[str, NatsServer | None] = {"local": None} if nats is None else {"local": None, "NATS": nats}
    outcomes: dict[str, list[Outcome]] = {bus: [] for bus in buses}
    for _ in range(chosen.rounds):
        for bus, server in buses.items():
            outcomes[bus].append(one(postgres, server, chosen.runs, chosen.words, chosen.readers))
    for bus, rounds in outcomes.items():
        yield shown_row(bus, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.readers_elsewhere", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--runs", type=int, default=20, help="runs at once")
    parser.add_argument("--words", type=int, default=100, help="words of each run, 50 ms apart")
    parser.add_argument("--readers", type=int, default=1, help="readers of each run in the other process")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds, of which the median is shown")
    chosen = parser.parse_args()
    load = os.getloadavg()[0]
    with Postgres() as postgres, contextlib.ExitStack() as stack:
        nats = NatsServer() if binary() else None
        if nats is not None:
            stack.callback(nats.close)
        print(f"{machine()}; {postgres.version}; load before the start {load:.1f}.")
        print(f"{chosen.runs} runs, {chosen.words} words each, {chosen.readers} readers of each.\n")
        try:
            for line in measured(postgres, nats, chosen):
                print(line, flush=True)
        except NoFigure as failure:
            sys.exit(f"No figures: {failure}")


if __name__ == "__main__":
    main()
