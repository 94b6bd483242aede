"""Lists: pages of a session of 10,000 runs, pages of 10,000 sessions of one run, and a single run of each."""

import json
import sqlite3
from collections.abc import Mapping

from bench.client import RUNS, leader_work, new_session
from bench.figures import Figure, beside
from bench.measures import Measure
from bench.measures.reads import fill_ours, fill_peer
from bench.servers import NoFigure
from bench.trial import Bench, Side, drive

SIZE = 10_000
PEER_RUNS = 1_000
"""Runs in the peer's session: it reads and sends all of them, at 10,000 for seconds."""
PAGE = 20
OURS, PEERS = 400, 16


async def of_a_session(bench: Bench) -> list[Figure]:
    """Read the last page of a session's runs, by each way there is to ask for it, and one run of it."""
    figures = []
    async with bench.sides() as sides:
        sessions, runs = {}, {}
        for side in sides:
            fill, size = (fill_ours, bench.times(SIZE)) if side.is_ours else (fill_peer, bench.times(PEER_RUNS))
            runs[side.server.name], sessions[side.server.name] = await fill(side, size)
        at = f"{bench.times(SIZE):,} runs in it"
        beyond = f"; agno: all of {bench.times(PEER_RUNS):,}" if bench.with_peer else ""
        figures += await _read(bench, sides, f"runs of a session, {at}{beyond}", "/sessions/{session}/runs", sessions)
        figures += await _read(
            bench, sides, f"runs of a team in it{beyond}", f"{RUNS}?session_id={{session}}", sessions
        )
        figures += await _read(
            bench, sides[:1], "previews of a page of it", "/sessions/{session}/run-previews", sessions
        )
        figures += await _read(
            bench, sides[:1], "what is active in it", "/sessions/{session}/active", sessions, count=0
        )
        ours = sides[0].server.name
        one = f"/sessions/{{session}}/runs/{runs[ours]}"
        figures += await _read(bench, sides[:1], "one run of it", one, sessions, count=None)
    return figures


async def of_sessions(bench: Bench) -> list[Figure]:
    """Read a page of many sessions, and of the runs of all of them."""
    figures = []
    async with bench.sides() as sides:
        for side in sides:
            await (_fill_ours if side.is_ours else _fill_peer)(side, bench.times(SIZE))
        at = f"{bench.times(SIZE):,} sessions"
        query = "type=team&component_id=demo-team"
        figures += await _read(bench, sides, f"a page of {at}", f"/sessions?{query}")
        figures += await _read(bench, sides, "the same, of any team", "/sessions?type=team")
        figures += await _read(bench, sides, "the same, by name", f"/sessions?{query}&session_name=hello")
        figures += await _read(bench, sides[:1], "a page of their runs", "/runs?status=completed")
    return figures


LISTS: dict[str, Measure] = {"runs": of_a_session, "sessions": of_sessions}


async def _read(
    bench: Bench,
    sides: list[Side],
    name: str,
    path: str,
    sessions: Mapping[str, str] | None = None,
    *,
    count: int | None = PAGE,
) -> list[Figure]:
    """Ask for one list again and again.

    :param count: how many our answer must hold; None: it is one thing.
    """

    async def act(side: Side) -> None:
        limit = {"limit": str(PAGE)} if count else {}
        where = path.format(session=(sessions or {}).get(side.server.name))
        body = await side.client.answer("GET", where, params=limit)
        listed = body["data"] if isinstance(body, dict) and "data" in body else body
        if side.is_ours and count is not None and len(listed) != min(count, bench.times(SIZE)):
            raise NoFigure(f"{where} holds {len(listed)}")

    samples = await bench.compare(sides, act, ours=OURS, peer=PEERS, clients=1)
    return [
        beside(f"{name}: CPU", "ms", samples, lambda of: of.cpu),
        beside(f"{name}: p50", "ms", samples, lambda of: of.percentile(0.5)),
    ]


async def _fill_ours(side: Side, size: int) -> None:
    async def run(_: Side) -> None:
        await side.client.run(leader_work())

    await drive(side, run, size, clients=8)


async def _fill_peer(side: Side, size: int) -> None:
    """Run once and copy the session's row."""
    session = new_session()
    await side.client.run(leader_work(), session)
    with sqlite3.connect(side.server.db) as db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(agno_sessions)")]
        stored = db.execute("SELECT * FROM agno_sessions WHERE session_id = ?", [session]).fetchone()
        template = dict(zip(columns, stored, strict=True))
        marks = ", ".join("?" for _ in columns)
        rows = [
            [template[name] if name != "session_id" else new_session() for name in columns] for _ in range(size - 1)
        ]
        db.executemany(f"INSERT INTO agno_sessions ({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608 - own names
    db.close()
    listed = await side.client.answer("GET", "/sessions", params={"type": "team", "limit": "1"})
    if listed["meta"]["total_count"] != size:
        raise NoFigure(f"the peer has {json.dumps(listed['meta'])}")
