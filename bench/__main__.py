"""The command line of the benchmarks."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench.agno_file import AGNO_FILE
from bench.auth import AUTH
from bench.durable import DURABLE
from bench.figures import Figure, block, machine, table, write_docs, write_json
from bench.knowledge import KNOWLEDGE
from bench.knowledge_http import KNOWLEDGE_HTTP
from bench.lists import LISTS
from bench.measures import MEASURES, Measure
from bench.profile import Profiler
from bench.python_client import PYTHON_CLIENT
from bench.scale_out import SCALE_OUT
from bench.schedules import SCHEDULES
from bench.servers import NoFigure, install_peer
from bench.stores import Postgres, Sqlite
from bench.streams import STREAMS
from bench.teams import TEAMS
from bench.trial import Bench
from bench.webhooks import WEBHOOKS
from bench.workflows import WORKFLOWS
from tests.support.model_server import ModelServer

GROUPS: dict[str, tuple[str, Mapping[str, Measure]]] = {
    "durable": ("durability and scaling, on SQLite and Postgres", DURABLE),
    "scale-out": ("several processes on Postgres, with NATS and with the local bus", SCALE_OUT),
    "lists": ("lists of runs and of sessions, 10,000 of each", LISTS),
    "auth": ("the cost of authentication", AUTH),
    "schedules": ("schedules that are due at once, and their cost while idle", SCHEDULES),
    "knowledge": ("documents into an index, and searches in it", KNOWLEDGE),
    "knowledge-http": ("knowledge bases over HTTP: ingestion, searches, runs that search, memory", KNOWLEDGE_HTTP),
    "client": ("the Python client and the command line", PYTHON_CLIENT),
    "agno-file": ("an unchanged file of Agno: start and runs", AGNO_FILE),
    "webhooks": ("cost and speed of webhooks", WEBHOOKS),
    "streams": ("subscribers: cost, latency of events, many at once", STREAMS),
    "teams": ("every mode, runs that wait for a person, and memory", TEAMS),
    "workflows": ("every kind of workflow, and a kill at each step", WORKFLOWS),
}
"""Groups of measurements that run separately: description and measurements by option."""
OF_SEVERAL_PROCESSES = ("durable", "scale-out")
"""Those that start the processes themselves, on databases of the benchmark."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=sys.modules["bench"].__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    groups = ", ".join(f"with --{name} of {', '.join(group)}" for name, (_, group) in GROUPS.items())
    known = f"of {', '.join(MEASURES)}; {groups}; all by default"
    parser.add_argument("names", nargs="*", metavar="NAME", help=known)
    one = parser.add_mutually_exclusive_group()
    for name, (words, _) in GROUPS.items():
        one.add_argument(f"--{name}", dest="group", action="store_const", const=name, default="", help=words)
    parser.add_argument("--scale", type=float, default=1, help="fraction of the work, for a quick run")
    parser.add_argument("--alone", action="store_true", help="measure musterd only")
    parser.add_argument("--profile", action="store_true", help="profile musterd with py-spy")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    parser.add_argument("--write-docs", action="store_true", help="rewrite the group's table in docs/performance.md")
    chosen = parser.parse_args()
    chosen.measures = GROUPS[chosen.group][1] if chosen.group else MEASURES
    if unknown := set(chosen.names) - set(chosen.measures):
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}")
    if chosen.write_docs and (chosen.names or chosen.alone or chosen.profile or chosen.scale != 1):
        parser.error("--write-docs takes everything, at full scale, beside the peer")
    if chosen.group in OF_SEVERAL_PROCESSES and chosen.profile:
        parser.error(f"--profile is of one process: it does not go with --{chosen.group}")
    return chosen


async def measure(bench: Bench, measures: Mapping[str, Measure]) -> list[Figure]:
    figures: list[Figure] = []
    for name, taken in measures.items():
        began = time.perf_counter()
        figures += await taken(bench)
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return figures


def main() -> int:
    chosen = arguments()
    load = os.getloadavg()[0]
    has_peer = install_peer()
    if chosen.profile and not has_peer:
        print("py-spy comes with the peer: no profile.", file=sys.stderr)
        return 2
    profiler = Profiler() if chosen.profile else None
    measures = {name: chosen.measures[name] for name in chosen.names or chosen.measures}
    where = machine()
    with ExitStack() as stack:
        bench = Bench(
            model=stack.enter_context(ModelServer()),
            with_peer=has_peer and not (chosen.alone or chosen.profile),
            profiler=profiler,
            scale=chosen.scale,
        )
        if chosen.group in OF_SEVERAL_PROCESSES:
            postgres = stack.enter_context(Postgres())
            bench.stores = [Sqlite(), postgres] if chosen.group == "durable" else [postgres]
            where = f"{where}, {postgres.version}"
        try:
            figures = asyncio.run(measure(bench, measures))
        except NoFigure as failure:
            print(f"No figures: {failure}", file=sys.stderr)
            return 2
    print(table(figures))
    if profiler:
        print(f"\n{profiler.report()}")
    if chosen.json:
        write_json(figures, where, chosen.json)
    if chosen.write_docs:
        group, option = (f"bench {chosen.group}", f" --{chosen.group}") if chosen.group else ("bench", "")
        write_docs(group, block(figures, f"python -m bench{option} --write-docs", where, load))
    missed = [figure.name for figure in figures if "MISSED" in figure.verdict]
    if missed:
        print("Missed: " + "; ".join(missed), file=sys.stderr)
    return 1 if missed and not profiler else 0


if __name__ == "__main__":
    sys.exit(main())
