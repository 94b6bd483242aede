"""GET of one run in sessions of 1, 100 and 1,000 runs."""

import json
import sqlite3

from bench.client import leader_work, new_session
from bench.figures import Bar, Figure, beside
from bench.trial import Bench, Side, drive

SIZES = (1, 100, 1000)
PEER_READS = {1: 1000, 100: 400, 1000: 80}  # of the peer's, whose cost grows with the session


async def measure(bench: Bench) -> list[Figure]:
    figures = []
    async with bench.sides() as sides:
        for size in SIZES:
            figures += await one_size(bench, sides, size)
    return figures


async def one_size(bench: Bench, sides: list[Side], size: int) -> list[Figure]:
    """Read one run of a session with `size` runs."""
    targets: dict[str, tuple[str, str]] = {}
    for side in sides:
        fill = fill_ours if side.is_ours else fill_peer
        targets[side.server.name] = await fill(side, size)

    async def read(side: Side) -> None:
        run = await side.client.get(*targets[side.server.name])
        assert run["status"] == "COMPLETED"

    samples = await bench.compare(sides, read, ours=2000, peer=PEER_READS[size])
    name = f"GET of a run, {size:,} in its session"
    return [
        beside(f"{name}: CPU", "ms", samples, lambda of: of.cpu, Bar(at_most=0.4)),
        beside(f"{name}: p50", "ms", samples, lambda of: of.percentile(0.5)),
    ]


async def fill_ours(side: Side, size: int) -> tuple[str, str]:
    """Run `size` times in one session; return a run in its middle."""
    session = new_session()
    ids: list[str] = []

    async def run(_: Side) -> None:
        ids.append((await side.client.run(leader_work(), session))["run_id"])

    await drive(side, run, size, clients=8)
    return ids[size // 2], session


async def fill_peer(side: Side, size: int) -> tuple[str, str]:
    """Run once and copy that run in the session's row: a thousand runs there take minutes."""
    session = new_session()
    run_id = (await side.client.run(leader_work(), session))["run_id"]
    with sqlite3.connect(side.server.db) as db:
        (stored,) = db.execute("SELECT runs FROM agno_sessions WHERE session_id = ?", [session]).fetchone()
        copies = [stored.replace(run_id, new_session()) for _ in range(size - 1)]
        texts = [json.loads(text) for text in (*copies[: size // 2], stored, *copies[size // 2 :])]
        runs = [run for text in texts for run in (json.loads(text) if isinstance(text, str) else text)]
        column = json.dumps(json.dumps(runs) if isinstance(texts[0], str) else runs)
        db.execute("UPDATE agno_sessions SET runs = ? WHERE session_id = ?", [column, session])
    db.close()
    listed = await side.client.answer("GET", f"/sessions/{session}/runs", params={"type": "team"})
    assert len(listed) == size
    return run_id, session
