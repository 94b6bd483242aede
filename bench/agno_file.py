"""A file of Agno, unchanged: served by musterd, and by AgentOS."""

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Bar, Figure
from bench.measures import Measure, runs, start
from bench.servers import PEER_VENV, Musterd, NoFigure, Peer
from bench.trial import Bench

# Agno comes after musterd's own packages, so that both find theirs.
PROGRAM = "import sys; sys.path.append({!r}); from musterd.cli import main; sys.exit(main())"


class AgnoFile(Musterd):
    """musterd, serving the peer's own file."""

    source = "bench/peer/app.py"

    def launcher(self) -> list[str]:
        packages = list(PEER_VENV.glob("lib/python*/site-packages"))
        if not packages:
            raise NoFigure("a file of Agno needs Agno")
        return [sys.executable, "-c", PROGRAM.format(str(packages[0]))]

    def surroundings(self) -> dict[str, str]:
        declared_db = Path(self.folder.name) / "agno.db"  # the file names one; musterd does not use it
        return {**super().surroundings(), "BENCH_DB": str(declared_db), "AGNO_TELEMETRY": "false"}


async def measure_start(bench: Bench) -> Sequence[Figure]:
    kinds = [AgnoFile, Peer] if bench.with_peer else [AgnoFile]
    return await start.compare(bench, kinds)


async def measure_runs(bench: Bench) -> Sequence[Figure]:
    figures: list[Figure] = []
    for name, (act, _) in runs.SHAPES.items():
        async with bench.sides(ours=AgnoFile) as sides:
            samples = await bench.compare(sides, act, ours=600, peer=400)
        figures += runs.shape(name, Bar(ratio=0.35), samples)
    return figures


AGNO_FILE: dict[str, Measure] = {"start": measure_start, "runs": measure_runs}
