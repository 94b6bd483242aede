"""Processes connected through NATS: if one is killed or suspended, another continues its runs."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults import test_several_processes as several_processes
from tests.support.nats import NatsServer
from tests.support.process import SOON_DEAD, Deployment, Process, deployment_of, until


@pytest.fixture
def site(postgres_url: str, tmp_path: Path, nats_program: str, nats_server: NatsServer) -> Iterator[Deployment]:
    """A folder, a database and NATS, with the processes that share them."""
    settings = {**SOON_DEAD, "bus": nats_server.url, "bus_prefix": nats_server.prefix()}
    yield from deployment_of(postgres_url, tmp_path, Path(__file__).with_name("components.py"), **settings)


def is_driven(site: Deployment, run_id: str) -> bool:
    return site.run(run_id)["worker"] is not None


def run_driven_by(site: Deployment, process: Process, worker: str) -> str:
    """The id of a run that this process accepted and drives. One that has not imported everything leaves its first runs
    to others."""
    for run_id in map(str, range(20)):
        process.accepted("[[SLEEP 60000]]", run_id, session_id=run_id)  # one that waits for no other
        until(partial(is_driven, site, run_id), "a process drives it")
        if site.run(run_id)["worker"] == worker:
            return run_id
    raise AssertionError("the process drives none of the runs that it accepted")


def test_the_runs_of_the_process_that_did_upkeep_are_reassigned(site: Deployment) -> None:
    processes = {process.popen.pid: process for process in (site.serve(), site.serve(), site.serve())}
    workers = {row["id"]: processes[row["pid"]] for row in site.select("SELECT id, pid FROM workers")}
    first = min(workers)  # the smallest id does upkeep
    run_id = run_driven_by(site, workers[first], first)
    workers[first].kill()
    until(lambda: site.run(run_id)["attempt"] == 2 and site.run(run_id)["state"] == "running", "another goes on")
    assert {row["id"] for row in site.select("SELECT id FROM workers")} == workers.keys() - {first}


def test_a_suspended_process_writes_nothing_for_a_run_that_it_lost(site: Deployment) -> None:
    several_processes.test_one_that_comes_back_from_the_dead_writes_nothing(site, "recording:1")


def test_a_process_with_a_blocked_event_loop_is_alive(site: Deployment) -> None:
    several_processes.test_a_process_with_a_blocked_event_loop_is_alive(site)
