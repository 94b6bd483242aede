"""A rolling deploy: old and new processes side by side on one database, in any order; no run is lost or done twice."""

import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from musterd.store.schema import HEAD
from tests.support.postgres import EMPTY, PostgresServer
from tests.support.process import SOON_DEAD, Deployment, Process, deployment_of, until
from tests.support.schemas import NEXT

COMPONENTS = Path(__file__).with_name("components_versions.py")
OLD, NEW = {"test_version": "old"}, {"test_version": "new"}


@pytest.fixture
def fleet(database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """Processes that share a database without records; each is told its version."""
    yield from deployment_of(database_url, tmp_path, COMPONENTS, **SOON_DEAD)


@pytest.fixture(params=["sqlite", "postgres"])
def bare_fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    """The same on a database without tables."""
    with ExitStack() as left:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path / 'musterd.db'}"
        else:
            server: PostgresServer = request.getfixturevalue("postgres_server")
            url = left.enter_context(server.database(EMPTY))
        yield from deployment_of(url, tmp_path, COMPONENTS, **SOON_DEAD)


def tools(view: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(tool["result"], tool["tool_call_error"]) for tool in view["tools"]]


def model_inputs(fleet: Deployment) -> list[str]:
    """What models were told and offered."""
    return [line.removeprefix("told ") for line in fleet.counts().elements() if line.startswith("told ")]


# What one version knows and the other does not


def test_a_component_that_the_old_one_does_not_know(fleet: Deployment) -> None:
    old, front = fleet.serve(**OLD), fleet.serve("--no-worker", **NEW)
    front.accepted("[[SAY late]]", "r1", "agents/later", session_id="s1")
    front.accepted("[[SAY behind]]", "r2", "agents/solo", session_id="s1")
    front.accepted("[[SAY beside]]", "r3", "agents/solo", session_id="s2")
    until(lambda: fleet.run("r3")["state"] == "completed", "the old one drives what it knows")
    assert [(fleet.run(name)["state"], fleet.run(name)["attempt"]) for name in ("r1", "r2")] == [
        ("ready", 0),
        ("queued", 0),
    ]
    assert front.http.get("/agents/later/runs/r1?session_id=s1").json()["status"] == "PENDING"
    waiting, elsewhere = front.http.get("/-/ready"), old.http.get("/-/ready")
    assert waiting.status_code == 503
    assert "agent:later" in waiting.json()["detail"]
    assert (elsewhere.status_code, elsewhere.json()["not_served"]) == (200, ["agent:later"]), "it serves others"
    fleet.work(**NEW)
    view = front.ended("r1", "agents/later")
    assert (view["status"], view["content"], view["attempts"]) == ("COMPLETED", "late", 1)
    assert front.ended("r2")["content"] == "behind"
    assert [process.http.get("/-/ready").json().get("not_served") for process in (front, old)] == [None, None]


def test_a_run_goes_on_in_the_new_version_as_it_was_prepared_in_the_old(fleet: Deployment) -> None:
    old = fleet.serve(**OLD)
    old.accepted('[[TOOL mark {"n": 1}]] [[TOOL wait {"name": "go"}]]', "r1")
    fleet.reached("go")
    new = fleet.serve(**NEW)
    old.signal(signal.SIGTERM)
    until(old.is_closed, "it takes no more requests")
    fleet.release("go")
    assert old.exit_code() == 0
    view = new.ended("r1")
    assert (view["status"], view["content"]) == ("COMPLETED", "Done: marked 1 | waited go")
    assert (view["attempts"], fleet.run("r1")["crashes_in_all"]) == (2, 0)
    counts = fleet.counts()
    assert counts["wait go"] == 1, "it was let finish"
    assert [count for line, count in counts.items() if line.startswith("mark ")] == [1]
    of_this_run = ["the old way and offered gone,mark,wait", "the old way and offered added,mark,wait"]
    assert model_inputs(fleet) == of_this_run, "instructions are those of its beginning, tools those of who drives it"
    new.accepted("[[SAY next]]", "r2")
    assert new.ended("r2")["content"] == "next"
    assert model_inputs(fleet) == [*of_this_run, "the new way and offered added,mark,wait"]


def taken_over(fleet: Deployment, message: str, to: str, name: str) -> dict[str, Any]:
    """A run whose old process is killed while a tool waits, once the new one has ended it."""
    old, new = fleet.serve(**OLD), fleet.serve(**NEW)
    old.accepted(message, "r1", to)
    fleet.reached(name)
    old.kill()
    view = new.ended("r1", to)
    assert view["attempts"] == 2
    return view


def test_a_tool_that_is_gone(fleet: Deployment) -> None:
    view = taken_over(fleet, '[[TOOL mark {"n": 1}]] [[TOOL gone {"name": "never"}]]', "agents/solo", "never")
    assert view["status"] == "COMPLETED"
    marked, gone = tools(view)
    assert marked == ("marked 1", False)
    assert gone[1]
    assert "There is no tool 'gone'" in gone[0]


def test_a_member_that_is_gone(fleet: Deployment) -> None:
    message = '[[DELEGATE deep: <TOOL wait {"name": "never"}>]]'
    view = taken_over(fleet, message, "teams/shrinking", "never")
    assert view["status"] == "COMPLETED"
    ((result, is_error),) = tools(view)
    assert is_error
    assert "There is no member 'deep'" in result
    assert fleet.select("SELECT state FROM runs WHERE parent_id IS NOT NULL") == [{"state": "cancelled"}]


def test_something_else_under_a_stored_path(fleet: Deployment) -> None:
    message = '[[DELEGATE inner: <DELEGATE deep: <TOOL wait {"name": "never"}>>]]'
    view = taken_over(fleet, message, "teams/nested", "never")
    assert view["status"] == "ERROR"
    assert (view["error"]["code"], "step t0/c0/t0/c0 " in view["error"]["message"]) == ("replay_diverged", True)
    assert fleet.counts()["wait never"] == 1, "nothing is executed"


# The schema


def test_processes_that_start_at_once_on_an_empty_database(bare_fleet: Deployment) -> None:
    fleet, commands = bare_fleet, [("old", "serve"), ("new", "serve"), ("new", "worker")]
    random.shuffle(commands)
    port = {"serve": ["--port", "0"], "worker": []}
    begun = [fleet.begin(name, *port[name], test_version=version) for version, name in commands]
    started = [process.started() for process in begun]
    assert fleet.select("SELECT version_num FROM alembic_version") == [{"version_num": HEAD}]
    assert len(fleet.select("SELECT id FROM instance")) == 1
    assert len(fleet.select("SELECT id FROM workers")) == 3
    serving = started[commands.index(("old", "serve"))]
    serving.accepted("[[SAY hello]]", "r1")
    assert serving.ended("r1")["content"] == "hello"


def test_a_new_release_migrates_the_schema_while_the_old_one_works(fleet: Deployment, tmp_path: Path) -> None:
    old = fleet.serve(**OLD)
    old.accepted('[[TOOL wait {"name": "go"}]]', "r1")
    fleet.reached("go")
    folder = tmp_path / "next"
    folder.mkdir()
    new = fleet.serve(**NEW, test_schema=folder)
    assert fleet.select("SELECT version_num FROM alembic_version") == [{"version_num": NEXT}]
    assert fleet.select("SELECT added FROM sessions") == [{"added": None}]
    fleet.release("go")
    assert old.ended("r1")["content"] == "Done: waited go", "what runs goes on"
    for number, process in enumerate([old, new, fleet.serve(**OLD)]):
        process.accepted("[[SAY on]]", f"s{number}")
        assert process.ended(f"s{number}")["content"] == "on", "an old one may start again"


def test_a_schema_that_an_old_process_must_not_write(fleet: Deployment) -> None:
    fleet.serve(**OLD)
    fleet.execute("UPDATE alembic_version SET version_num = 'v9999'")
    fleet.execute("UPDATE instance SET oldest_writer = 'v9998'")
    for command in ("serve", "worker"):
        assert "newer musterd (schema v9999, this one writes" in refused(fleet.begin(command, **OLD))


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_database_of_a_development_version(fleet: Deployment, command: str) -> None:
    fleet.execute("UPDATE alembic_version SET version_num = '0004'")
    assert "made by a development version of musterd (schema 0004)" in refused(fleet.begin(command, **NEW))
    assert fleet.select("SELECT version_num FROM alembic_version") == [{"version_num": "0004"}]


def refused(process: Process) -> str:
    """The one line of a command that does not start."""
    assert process.exit_code() == 2
    (line,) = process.log.splitlines()
    return line
