"""The command line of the benchmarks."""

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path

from bench.figures import Figure, block, table, write_docs, write_json
from bench.measures import MEASURES
from bench.profile import Profiler
from bench.servers import NoFigure, install_peer
from bench.trial import Bench
from tests.support.model_server import ModelServer


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=sys.modules["bench"].__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}; all by default")
    parser.add_argument("--scale", type=float, default=1, help="do that share of the work, for a quick look")
    parser.add_argument("--alone", action="store_true", help="without the peer")
    parser.add_argument("--profile", action="store_true", help="musterd alone, sampled by py-spy")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--write-docs", action="store_true", help="rewrite the table of docs/performance.md")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(MEASURES):
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}")
    if chosen.write_docs and (chosen.names or chosen.alone or chosen.profile or chosen.scale != 1):
        parser.error("--write-docs takes everything, at full scale, beside the peer")
    return chosen


async def measure(bench: Bench, names: list[str]) -> list[Figure]:
    figures: list[Figure] = []
    for name in names:
        began = time.perf_counter()
        figures += await MEASURES[name](bench)
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
    with ModelServer() as model:
        bench = Bench(model, has_peer and not (chosen.alone or chosen.profile), profiler, chosen.scale)
        try:
            figures = asyncio.run(measure(bench, chosen.names or list(MEASURES)))
        except NoFigure as failure:
            print(f"No figures: {failure}", file=sys.stderr)
            return 2
    print(table(figures))
    if profiler:
        print(f"\n{profiler.report()}")
    if chosen.json:
        write_json(figures, chosen.json)
    if chosen.write_docs:
        write_docs(block(figures, "python -m bench --write-docs", load))
    missed = [figure.name for figure in figures if "MISSED" in figure.verdict]
    if missed:
        print("Missed: " + "; ".join(missed), file=sys.stderr)
    return 1 if missed and not profiler else 0


if __name__ == "__main__":
    sys.exit(main())
