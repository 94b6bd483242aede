"""How a worker gets a ready run: by claiming rows, as musterd does, or through jobs of procrastinate.

python -m bench.dispatch                    2,000 dispatches for each method and number of accepters, three rounds
python -m bench.dispatch --count 500 --rounds 1

musterd: acceptance; a worker that sees that the database has changed claims rows with FOR UPDATE SKIP LOCKED.
procrastinate: the same acceptance with a job deferred in its transaction; procrastinate's worker passes the job
to a task, which claims the run by its id. Runs are not executed: the measurement ends when a worker has the run.

One process accepts and another claims, both with default settings and the usual background work of a server:
heartbeats and listening for changes. Postgres belongs to the benchmark and has fsync and synchronous commits on. CPU is
read from outside and covers whole processes, including all processes of Postgres. A wait lasts from the last statement
of the acceptance to the return of the claim.
"""

import argparse
import contextlib
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bench.figures import formatted, machine
from bench.parts import PATIENCE_SECONDS, Part
from bench.servers import ROOT, WORK, NoFigure, cpu_seconds
from bench.stores import Postgres
from musterd.store.postgres_upgrade import upgrade_postgres

try:
    import procrastinate
except ImportError:
    sys.exit("The comparison needs the other side: .venv/bin/python -m pip install 'procrastinate>=3.10,<4'")
from bench.dispatch_sides import AT_ONCE, WAYS

ACCEPTERS = {"1, 50 ms apart": (1, 0.05, 0.1), "1": (1, 0.0, 1.0), "16": (16, 0.0, 1.0)}
"""How many accept at once, how long each waits between two, and which share of the dispatches is made so."""
SETTLE_SECONDS = 0.5
INTRODUCTION_SECONDS = 1.5  # a process looks once a second who else is there
JOBS = "SELECT count(*) FROM procrastinate_jobs"
ROWS = """SELECT COALESCE(sum(n_tup_ins), 0)::int, COALESCE(sum(n_tup_upd), 0)::int, COALESCE(sum(n_tup_del), 0)::int
          FROM pg_stat_user_tables"""
DEAD = """SELECT relname, n_dead_tup, pg_total_relation_size(relid) / 1000 FROM pg_stat_user_tables
          WHERE relname IN ('runs', 'procrastinate_jobs', 'procrastinate_events') ORDER BY 1"""


@dataclass
class Counters:
    """Where the counters stand."""

    accept_cpu: float
    take_cpu: float
    postgres_cpu: float
    wal: int

    @classmethod
    def now(cls, postgres: Postgres, accepter: Part, taker: Part) -> "Counters":
        row = postgres.admin.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
        assert row is not None
        return cls(cpu_seconds(accepter.pid), cpu_seconds(taker.pid), postgres.cpu(), int(row[0]))


@dataclass
class Outcome:
    """One round, for each dispatch where nothing else is said."""

    per_second: float
    accepted_per_second: float
    accept_ms: float
    take_ms: float
    postgres_ms: float
    p50_ms: float
    p99_ms: float
    wal_bytes: float
    rows: tuple[int, int, int]
    commits: float
    connections: int
    threads: int
    take_mb: float
    tables: list[tuple[str, int, int]] = field(default_factory=list)


def one(postgres: Postgres, way: str, clients: int, apart_seconds: float, count: int) -> Outcome:
    """Dispatch so many runs over a fresh database."""
    with postgres.fresh() as url, contextlib.ExitStack() as stack:
        upgrade_postgres(url)
        if way != "ours":
            make_jobs(url)
        taker = Part("bench.dispatch_sides", "take", way, url, count)
        stack.callback(taker.end)
        accepter = Part("bench.dispatch_sides", "accept", way, url, count, clients, apart_seconds)
        stack.callback(accepter.end)
        assert (taker.receive(), accepter.receive()) == ("ready", "ready")
        taker.go()
        time.sleep(INTRODUCTION_SECONDS)
        postgres.admin.execute("CHECKPOINT")
        before = Counters.now(postgres, accepter, taker)
        accepter.go()
        assert taker.receive() == "taken"
        looked_at = {"connections": connections(postgres, url), "threads": taker.status("Threads")}
        looked_at["take_mb"] = round(taker.status("VmRSS") / 1000)
        deferred = accepter.receive()
        if way != "ours":
            until_no_jobs(url)
        after = Counters.now(postgres, accepter, taker)
        taken = taker.receive()
        return outcome(url, before, after, deferred, taken, looked_at)


def outcome(
    url: str, before: Counters, after: Counters, deferred: dict[str, float], taken: dict[str, float], looked: Any
) -> Outcome:
    """Say what it took; the two processes have gone, and told the server's statistics."""
    count = len(deferred)
    waits = sorted(taken[run_id] - at for run_id, at in deferred.items())
    seconds = max(taken.values()) - min(deferred.values())
    time.sleep(SETTLE_SECONDS)
    with psycopg.connect(url) as connection:
        rows = connection.execute(ROWS).fetchone()
        commits = connection.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        row = commits.fetchone()
        tables = connection.execute(DEAD).fetchall()
    assert rows is not None
    assert row is not None
    return Outcome(
        per_second=count / seconds,
        accepted_per_second=count / (max(deferred.values()) - min(deferred.values())),
        accept_ms=(after.accept_cpu - before.accept_cpu) * 1000 / count,
        take_ms=(after.take_cpu - before.take_cpu) * 1000 / count,
        postgres_ms=(after.postgres_cpu - before.postgres_cpu) * 1000 / count,
        p50_ms=waits[int(0.5 * (count - 1))] * 1000,
        p99_ms=waits[int(0.99 * (count - 1))] * 1000,
        wal_bytes=(after.wal - before.wal) / count,
        rows=(rows[0], rows[1], rows[2]),
        commits=row[0] / count,
        tables=[(str(name), int(dead), int(size)) for name, dead, size in tables],
        **looked,
    )


def make_jobs(url: str) -> None:
    """Make procrastinate's tables."""
    app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=url))
    with app.open():
        app.schema_manager.apply_schema()


def until_no_jobs(url: str) -> None:
    """Wait until every job is finished, and deleted."""
    deadline = time.perf_counter() + PATIENCE_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while (row := connection.execute(JOBS).fetchone()) is not None and row[0]:
            if time.perf_counter() > deadline:
                raise NoFigure(f"{row[0]} jobs are left")
            time.sleep(0.01)


def connections(postgres: Postgres, url: str) -> int:
    """Return how many both processes hold together."""
    name = url.partition("@/")[2].partition("?")[0]
    row = postgres.admin.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [name]).fetchone()
    assert row is not None
    return int(row[0])


def shown_row(way: str, accepters: str, count: int, rounds: list[Outcome]) -> str:
    """Return a line of the table: medians of the rounds."""

    def middle(name: str, digits: int = 2) -> str:
        return formatted(statistics.median(getattr(each, name) for each in rounds), digits)

    python = statistics.median(each.accept_ms + each.take_ms for each in rounds)
    last = rounds[-1]
    rows = "/".join(formatted(number / count) for number in last.rows)
    cells = [way, accepters, middle("accepted_per_second"), middle("per_second"), formatted(python, 2)]
    cells += [middle("accept_ms"), middle("take_ms")]
    cells += [middle("postgres_ms"), middle("p50_ms"), middle("p99_ms"), rows, middle("commits", 1)]
    cells += [middle("wal_bytes"), str(last.connections), str(last.threads), formatted(last.take_mb)]
    return f"| {' | '.join(cells)} |"


HEAD = [
    "way",
    "accepters",
    "accepted/s",
    "dispatched/s",
    "Python CPU ms",
    "of it accepting",
    "of it taking",
    "Postgres CPU ms",
    "p50 ms",
    "p99 ms",
    "rows ins/upd/del",
    "commits",
    "WAL bytes",
    "connections",
    "threads of the taker",
    "MB of the taker",
]


def measured(postgres: Postgres, count: int, rounds: int) -> Iterator[str]:
    """Yield the table line by line, then what the tables look like at the end."""
    yield f"| {' | '.join(HEAD)} |"
    yield f"|---|{'--:|' * (len(HEAD) - 1)}"
    tables = []
    for accepters, (clients, apart_seconds, share) in ACCEPTERS.items():
        part = max(1, round(count * share))
        outcomes: dict[str, list[Outcome]] = {way: [] for way in WAYS}
        for turn in range(rounds):
            for way in WAYS if turn % 2 else WAYS[::-1]:
                outcomes[way].append(one(postgres, way, clients, apart_seconds, part))
        for way in WAYS:
            yield shown_row(way, accepters, part, outcomes[way])
            sizes = "; ".join(
                f"{name} {dead:,} dead rows, {size:,} kB" for name, dead, size in outcomes[way][-1].tables
            )
            tables.append(f"{way}, accepters: {accepters}, at the end: {sizes}")
    yield ""
    yield from tables


IMPORT = """
import resource, time
import psycopg_pool, musterd.http.server, musterd.app
def now(): return time.process_time(), int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6
cpu, mb = now()
import procrastinate
procrastinate.App(connector=procrastinate.PsycopgConnector())
cpu, mb = now()[0] - cpu, now()[1] - mb
print(f'{cpu * 1000:.0f} ms of CPU, {mb:.1f} MB')
"""


def import_cost() -> str:
    """Say what procrastinate adds to a server's process before it does anything."""
    import_times = [
        subprocess.run([sys.executable, "-c", IMPORT], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    ]
    return f"importing procrastinate {procrastinate.__version__} into a server: {import_times[-1].strip()}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.dispatch", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--count", type=int, default=2000, help="dispatches in each round")
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many is shown")
    chosen = parser.parse_args()
    logging.getLogger("procrastinate").setLevel(logging.ERROR)  # it advises against apps in a main module
    WORK.mkdir(exist_ok=True)
    load = os.getloadavg()[0]
    with Postgres() as postgres:
        print(f"{machine()}; {postgres.version}; load before the start {load:.1f}.")
        print(f"{chosen.count} dispatches, the median of {chosen.rounds} rounds; {AT_ONCE} at once are taken.\n")
        try:
            for line in measured(postgres, chosen.count, chosen.rounds):
                print(line, flush=True)
        except NoFigure as failure:
            sys.exit(f"No figures: {failure}")
    print(import_cost())


if __name__ == "__main__":
    main()
