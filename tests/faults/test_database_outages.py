"""The database goes and comes back while runs are at work and requests come in: nothing is lost, nothing done twice."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from musterd.core.errors import StoreUnavailable
from tests.support.fleet import Fleet, fleet
from tests.support.http import problem, read_stream
from tests.support.own_postgres import OwnPostgres, own_postgres
from tests.support.process import ALL_LIVE, Process, until

PATIENCE_SECONDS = 60.0


@pytest.fixture
def server() -> Iterator[OwnPostgres]:
    with own_postgres() as postgres:
        yield postgres


@pytest.fixture
def place(server: OwnPostgres, tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path, server.url, Path(__file__).with_name("components.py"), **ALL_LIVE) as deployment:
        yield deployment


def states(place: Fleet) -> dict[str, str]:
    try:
        return {row["run_id"]: row["state"] for row in place.select("SELECT run_id, state FROM runs")}
    except StoreUnavailable:
        return {}


def read(http: httpx2.Client, form: dict[str, str]) -> str:
    """A stream from its start to its end, or to where it breaks off."""
    text = ""
    with (
        contextlib.suppress(httpx2.TransportError),
        http.stream("POST", "/agents/solo/runs", data=form, timeout=PATIENCE_SECONDS) as answer,
    ):
        if answer.status_code == 200:
            for piece in answer.iter_text():
                text += piece
    return text


def read_on(http: httpx2.Client, form: dict[str, str]) -> str:
    """A whole stream: where it breaks off it is asked for again."""
    problems: list[str] = []

    def is_whole() -> bool:
        problems.append(read(http, form))
        return "event: RunCompleted\n" in problems[-1]

    until(is_whole, "a whole stream", PATIENCE_SECONDS)
    return problems[-1]


def words(stream: str) -> int:
    """How many words a reader of this stream was told."""
    events = read_stream(stream)
    return len("".join(event["content"] for event in events if event["event"] == "RunContent").split())


def form(message: str, run_id: str) -> dict[str, str]:
    return {"message": message, "run_id": run_id, "session_id": run_id}


@pytest.mark.timeout(300)
def test_postgres_is_stopped_and_started(place: Fleet, server: OwnPostgres) -> None:
    front, side = place.serve(), place.serve("--no-worker")
    place.work()
    front.accepted('[[TOOL hold {"name": "a"}]]', "hold", session_id="line")
    front.accepted("[[SAY next]]", "next", session_id="line")
    side.accepted('[[DELEGATE helper: <TOOL wait {"name": "b"}>]]', "wait", "teams/desk", "wait")
    for name in ("a", "b"):
        until((place.folder / f"{name}.reached").exists, "the tools are at work")
    with ThreadPoolExecutor(4) as clients:
        direct = clients.submit(read, front.http, form("[[WORDS 60 250]]", "direct"))
        beside = clients.submit(read_on, side.http, form("[[WORDS 61 250]]", "beside"))
        for run_id in ("direct", "beside"):
            until(lambda run_id=run_id: len(place.stored_events(run_id)) > 5, "streams are told")  # type: ignore[misc]
        server.stop()
        refused_while_it_is_away(front, side)
        for name in ("a", "b"):
            (place.folder / name).touch()
        until(lambda: place.log.count("waiting for the database") >= 4, "all that is at work waits")
        server.start()
        texts = [direct.result(), beside.result()]
    until(lambda: set(states(place).values()) == {"completed"}, "all have ended", PATIENCE_SECONDS)
    assert set(states(place)) >= {"hold", "next", "wait", "direct", "beside"}
    assert "refused" not in states(place)
    until(lambda: front.http.get("/-/ready").status_code == 200, "it can be asked again")
    assert [words(text) for text in texts] == [60, 61], "who reads along misses nothing"
    assert set(Counter(place.calls()).values()) == {1}, "nothing was called twice"
    attempts = place.select("SELECT DISTINCT attempt FROM runs WHERE parent_id IS NULL")
    assert attempts == [{"attempt": 1}], "and nobody was taken for dead"


def refused_while_it_is_away(*processes: Process) -> None:
    """Requests are told to come again, and so is whoever asks whether the process is ready."""
    for process in processes:
        answers = [
            process.http.post("/agents/solo/runs", data=form("[[SAY never]]", "refused")),
            process.http.get("/agents/solo/runs/hold", params={"session_id": "line"}),
            process.http.post("/agents/solo/runs/hold/cancel"),
            process.http.get("/sessions"),
            process.http.get("/-/ready"),
        ]
        for answer in answers:
            problem(answer, 503, "UNAVAILABLE")
            assert int(answer.headers["retry-after"]) > 0
        assert process.http.get("/-/live").status_code == 200
