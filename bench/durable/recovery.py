"""A process that is killed during runs: when the runs continue and finish, and what is repeated.

Eight runs start one after the other. In each, a leader delegates to two members, which call a tool, so the kill
interrupts them at different steps. Steps that the journal held as completed at the kill must not be repeated.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.client import leader_work, new_session
from bench.deployment import Alone, Deployment, Front, ObservedCall, Worker, deployed
from bench.figures import Bar, Figure, beside
from bench.reader import Reader, read_all
from bench.servers import NoFigure, Server
from bench.stores import Postgres, Store, select
from bench.trial import Bench, Side

RUNS = 8
APART_SECONDS = 0.04
LEADER_MS, MEMBER_MS = 100, 150
RESTARTS, TAKE_OVERS = 5, 3
STORED = "SELECT root_id, path FROM journal WHERE state = 'completed' AND attempt = 1"
ATTEMPTS = "SELECT run_id, attempt FROM runs WHERE parent_id IS NULL"
DRIVEN = """SELECT run_id, pid FROM runs JOIN workers ON workers.id = runs.worker
            WHERE state = 'running' AND parent_id IS NULL"""
EVENTS = "SELECT root_id, first_index, payload FROM run_events ORDER BY root_id, first_index"
MAY_COME_AGAIN = ("content", "model_request_started", "model_request_retried", "run_continued")

Key = tuple[str, str, str]


@dataclass
class Kill:
    """What one kill did.

    :param from_kill: seconds from the kill to the first new step of a run that the killed process drove.
    :param from_start: the same from the start of the next process, where there was one.
    :param to_end: seconds from the kill to the end of the last of these runs.
    :param repeated: steps that were stored and were asked for again.
    :param in_flight: steps that were asked for again and were not stored.
    :param lost: events that were told, or stored, and were not told to the reader, or not as the same.
    :param doubled: events that a reader was told twice.
    """

    runs: int
    from_kill: float
    from_start: float
    to_end: float
    repeated: int
    in_flight: int
    lost: int
    doubled: int


async def measure(bench: Bench) -> list[Figure]:
    """Ours alone: the peer leaves such runs RUNNING for ever."""
    figures = []
    for store in bench.stores:
        if not isinstance(store, Postgres):
            kills = [await restart(bench, store) for _ in range(bench.times(RESTARTS))]
            name = f"kill -9 and a start, {store.name}"
            figures.append(
                beside(f"{name}: start of the process to first new step, longest", "ms", [kills], start_ms, SOON)
            )
            figures += rows(name, kills, SOON)
        kills = [await take_over(bench, store) for _ in range(bench.times(TAKE_OVERS))]
        figures += rows(
            f"kill -9, another process goes on, {store.name}", kills, Bar(at_most=6000) if is_far(store) else SOON
        )
    return figures


SOON = Bar(at_most=1000)
NONE = Bar(at_most=0)


def is_far(store: Store) -> bool:
    """Say whether processes can tell by their beats alone that another has died."""
    return isinstance(store, Postgres)


def start_ms(kills: Sequence[Kill]) -> float:
    return max(kill.from_start for kill in kills) * 1000


def rows(name: str, kills: Sequence[Kill], soon: Bar) -> list[Figure]:
    """Return the figures of one kind of recovery."""
    sides = [kills]

    def total(what: str) -> float:
        return float(sum(getattr(kill, what) for kill in kills))

    return [
        beside(f"{name}: kill to first new step, longest", "ms", sides, lambda of: longest(of, "from_kill"), soon),
        beside(f"{name}: kill to the last one's end, longest", "ms", sides, lambda of: longest(of, "to_end")),
        beside(f"{name}: runs cut off, all completed", "", sides, lambda _: total("runs")),
        beside(f"{name}: stored steps repeated", "", sides, lambda _: total("repeated"), NONE),
        beside(f"{name}: steps in flight made again", "", sides, lambda _: total("in_flight")),
        beside(f"{name}: events lost to a reader", "", sides, lambda _: total("lost"), NONE),
        beside(f"{name}: events told twice", "", sides, lambda _: total("doubled"), NONE),
    ]


def longest(kills: Sequence[Kill], what: str) -> float:
    return max(float(getattr(kill, what)) for kill in kills) * 1000


async def restart(bench: Bench, store: Store) -> Kill:
    """Kill the only process and start another one on its database."""
    async with deployed(bench, store) as deployment:
        first = await deployment.client_of(await deployment.start(Alone))
        scene = await begin(deployment, first)
        await scene.kill(first.server)
        await scene.reading  # their connections are lost
        second = await deployment.client_of(await deployment.start(Alone))
        await read_all(scene.readers, second.client)
        return await scene.judge(second, second.server.began)


async def take_over(bench: Bench, store: Store, environment: Mapping[str, str] | None = None) -> Kill:
    """Kill one of two workers; the readers are at a process that accepts."""
    async with deployed(bench, store, environment) as deployment:
        front = await deployment.client_of(await deployment.start(Front))
        workers = [await deployment.start(Worker) for _ in range(2)]
        await deployment.meet()
        scene = await begin(deployment, front)
        busiest = Counter(run["pid"] for run in await select(deployment.url, DRIVEN)).most_common(1)
        if not busiest:
            raise NoFigure("no run was at work when one was to be cut off")
        await scene.kill(next(worker for worker in workers if worker.process.pid == busiest[0][0]))
        await scene.reading
        return await scene.judge(front, None)


@dataclass
class Scene:
    """Runs at work, with a reader each."""

    deployment: Deployment
    readers: list[Reader]
    reading: "asyncio.Future[list[None]]"
    killed_at: float = 0.0
    before: list[ObservedCall] = field(default_factory=list)
    stored: set[tuple[str, str]] = field(default_factory=set)

    async def kill(self, server: Server) -> None:
        """Kill a process; look at what it leaves."""
        server.process.kill()
        self.killed_at = time.perf_counter()
        await asyncio.to_thread(server.process.wait)
        self.before = await self.deployment.calls.seen()
        self.stored = {(row["root_id"], row["path"]) for row in await select(self.deployment.url, STORED)}

    async def judge(self, side: Side, started_at: float | None) -> Kill:
        """Say what became of the runs, once they have ended."""
        attempts = {row["run_id"]: row["attempt"] for row in await select(self.deployment.url, ATTEMPTS)}
        cut_off = [reader for reader in self.readers if attempts[reader.run_id] > 1]
        if not cut_off:
            raise NoFigure("the killed process drove no run")
        for reader in self.readers:
            run = await side.client.get(reader.run_id, reader.session)
            if run["content"] != content(reader.run_id) or not reader.ended_at:
                raise NoFigure(f"a run ended {run['status']} with {str(run['content'])[:300]!r}")
        places = {what: place for reader in cut_off for what, place in steps(reader).items()}
        old = {call.what for call in self.before}
        seen = await self.deployment.calls.seen()
        anew = [call for call in seen if call.what in places and call not in self.before]
        first = anew[0].at if anew else max(reader.ended_at for reader in cut_off)
        repeated = sum(places[call.what] in self.stored for call in anew)
        lost, doubled = await self.compare()
        return Kill(
            runs=len(cut_off),
            from_kill=first - self.killed_at,
            from_start=first - started_at if started_at else 0.0,
            to_end=max(reader.ended_at for reader in cut_off) - self.killed_at,
            repeated=repeated,
            in_flight=sum(call.what in old for call in anew) - repeated,
            lost=lost,
            doubled=doubled,
        )

    async def compare(self) -> tuple[int, int]:
        """Return how many events readers were not told, or not as they are stored, and how many came twice."""
        stored: dict[str, dict[int, Key]] = {}
        for row in await select(self.deployment.url, EVENTS):
            keys = [(kind, run_id, place) for kind, run_id, _, _, place in json.loads(row["payload"])]
            stored.setdefault(row["root_id"], {}).update(enumerate(keys, row["first_index"]))
        lost = doubled = 0
        for reader in self.readers:
            mine = stored[reader.run_id]
            changed = sum(any(event != copies[0] for event in copies) for copies in reader.events_by_index.values())
            lost += len(mine.keys() ^ reader.events_by_index.keys()) + changed
            times = Counter(key for key in mine.values() if key[0] not in MAY_COME_AGAIN)
            doubled += reader.doubled + sum(often - 1 for often in times.values())
        return lost, doubled


async def begin(deployment: Deployment, side: Side) -> Scene:
    """Begin runs one after the other, each with a reader."""
    await side.client.run(leader_work())  # what loads with the first run is loaded
    await asyncio.to_thread(deployment.bench.model.reset)
    readers = [reader_of(new_session()) for _ in range(RUNS)]
    tasks = []
    for reader in readers:
        tasks.append(asyncio.ensure_future(reader.read(side.client)))
        await asyncio.sleep(APART_SECONDS)
    return Scene(deployment, readers, asyncio.gather(*tasks))


def task(name: str) -> str:
    """Return a member's work as the leader writes it."""
    return f'{name} <SLEEP {MEMBER_MS}><TOOL note {{"text": "{name}"}}>'


def reader_of(name: str) -> Reader:
    tasks = " || ".join(f"DELEGATE clerk: {task(name + part)}" for part in "ab")
    return Reader(name, f"{name} [[SLEEP {LEADER_MS}]][[{tasks}]]", name)


def content(name: str) -> str:
    """Return what the run answers."""
    return f"Done: Done: noted {name}a | Done: noted {name}b"


def steps(reader: Reader) -> dict[str, tuple[str, str]]:
    """Return the places of a run's calls in its journal, by what the model and the tool are asked."""
    name = reader.run_id
    places = {f"{reader.message}#0": "t0/m", f"{reader.message}#2": "t1/m"}
    for number, part in enumerate("ab"):
        work = task(name + part).replace("<", "[[").replace(">", "]]")
        places |= {f"{work}#0": f"t0/c{number}/t0/m", f"{work}#1": f"t0/c{number}/t1/m"}
        places[f"note {name}{part}"] = f"t0/c{number}/t0/c0"
    return {what: (name, path) for what, path in places.items()}
