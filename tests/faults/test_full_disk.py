"""The volume of a SQLite file is full for a while: what is at work waits for room, and nothing is done twice."""

import contextlib
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.fleet import Fleet, fleet
from tests.support.http import problem, read_stream
from tests.support.process import Process, until

BIG = "x" * 200_000


class Volume:
    """A small volume of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "musterd.db"

    def fill(self, room: int = 0) -> None:
        """Leave ``room`` bytes free."""
        reserve = self.folder / "reserve"
        reserve.write_bytes(bytes(room))
        for size in (1 << 16, 1 << 12, 1):
            with (self.folder / f"filler{size}").open("wb", buffering=0) as file:
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue
        reserve.unlink()

    def free(self) -> None:
        """Make room again."""
        for filler in self.folder.glob("filler*"):
            filler.unlink()


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    folder = tmp_path / "volume"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("needs the right to mount a volume")
    yield Volume(folder)
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def place(volume: Volume, template: Path, tmp_path: Path) -> Iterator[Fleet]:
    components = Path(__file__).with_name("components.py")
    url = f"sqlite:///{shutil.copy(template, volume.database)}"
    with fleet(tmp_path, url, components) as deployment:
        yield deployment


def read(front: Process) -> str:
    form = {"message": "[[WORDS 60 250]]", "run_id": "words", "session_id": "words"}
    with front.http.stream("POST", "/agents/solo/runs", data=form, timeout=60) as answer:
        return "".join(answer.iter_text())


@pytest.mark.timeout(300)
def test_runs_wait_for_room(place: Fleet, volume: Volume) -> None:
    front = place.serve()
    place.work()
    front.accepted('[[TOOL hold {"name": "a"}]]', "hold", session_id="line")
    front.accepted("[[SAY next]]", "next", session_id="line")
    front.accepted('[[DELEGATE helper: <TOOL hold {"name": "b"}>]]', "team", "teams/desk", "team")
    for name in ("a", "b"):
        until((place.folder / f"{name}.reached").exists, "the tools are at work")
    with ThreadPoolExecutor(1) as clients:
        reading = clients.submit(read, front)
        until(lambda: place.number("SELECT count(*) AS n FROM run_events WHERE root_id = 'words'") > 3, "it streams")
        volume.fill()
        for _ in range(2):
            answer = front.post(BIG, "refused", session_id="refused")
            assert answer is not None
            problem(answer, 503, "UNAVAILABLE")
            assert int(answer.headers["retry-after"]) > 0
        polled = front.http.get("/agents/solo/runs/hold", params={"session_id": "line"})
        assert (polled.status_code, polled.json()["status"]) == (200, "RUNNING"), "reading goes on"
        for name in ("a", "b"):
            (place.folder / name).touch()
        until(lambda: {"hold", "team", "words"} <= waiting(front), "all that is at work waits")
        assert "the disk is full" in front.log
        volume.free()
        events = read_stream(reading.result())
    ended = "SELECT count(*) AS n FROM runs WHERE parent_id IS NULL AND state = 'completed'"
    until(lambda: place.number(ended) == 4, "all have ended")
    assert place.number("SELECT count(*) AS n FROM runs WHERE parent_id IS NULL") == 4, "nothing else was stored"
    text = "".join(event["content"] for event in events if event["event"] == "RunContent")
    assert len(text.split()) == 60, "who reads along misses nothing"
    assert set(Counter(place.calls()).values()) == {1}, "nothing was called twice"
    assert place.number("SELECT max(attempt) AS n FROM runs") == 1, "and nobody was taken for dead"


@pytest.mark.parametrize("room", [0, 40_000, 60_000])
def test_a_start_without_room_says_so(place: Fleet, volume: Volume, room: int) -> None:
    first = place.serve()
    first.accepted('[[TOOL hold {"name": "a"}]]', "hold")
    until((place.folder / "a.reached").exists, "the tool is at work")
    first.kill()
    with contextlib.closing(sqlite3.connect(volume.database)) as connection:  # no room is left in its WAL either
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    volume.fill(room)
    second = place.begin("serve", "--port", "0")
    assert second.exit_code() == 2
    said = second.log.splitlines()
    assert said[-1].startswith("musterd: ")
    assert said[-1].endswith("the disk is full — free space on its volume")
    assert "Traceback" not in second.log
    volume.free()
    assert place.serve().ended("hold")["status"] == "PAUSED"


def waiting(process: Process) -> set[str]:
    """The runs that have something to store, and wait."""
    lines = [line for line in process.log.splitlines() if "waiting for the database" in line]
    return {word.removeprefix("run_id=") for line in lines for word in line.split() if word.startswith("run_id=")}
