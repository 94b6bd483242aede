"""Processes connected through NATS: if one is killed or suspended, another continues its runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import test_several_processes as several_processes
from tests.support.nats import NatsServer
from tests.support.process import Deployment, deployment_of, until


@pytest.fixture
def site(postgres_url: str, tmp_path: Path, nats_program: str, nats_server: NatsServer) -> Iterator[Deployment]:
    """A folder, a database and NATS, with the processes that share them."""
    settings = {"bus": nats_server.url, "bus_prefix": nats_server.prefix()}
    yield from deployment_of(postgres_url, tmp_path, Path(__file__).with_name("components.py"), **settings)


def test_the_runs_of_the_process_that_did_upkeep_are_reassigned(site: Deployment) -> None:
    processes = {process.popen.pid: process for process in (site.serve(), site.serve(), site.serve())}
    workers = {row["id"]: processes[row["pid"]] for row in site.select("SELECT id, pid FROM workers")}
    first = min(workers)  # the smallest id does upkeep
    workers[first].accepted("[[SLEEP 60000]]", "r1")
    until(lambda: site.run("r1")["worker"] == first, "it drives the run")
    workers[first].kill()
    until(lambda: site.run("r1")["attempt"] == 2 and site.run("r1")["state"] == "running", "another goes on")
    assert {row["id"] for row in site.select("SELECT id FROM workers")} == workers.keys() - {first}


def test_a_suspended_process_writes_nothing_for_a_run_that_it_lost(site: Deployment) -> None:
    several_processes.test_one_that_comes_back_from_the_dead_writes_nothing(site, "recording:1")


def test_a_process_with_a_blocked_event_loop_is_alive(site: Deployment) -> None:
    several_processes.test_a_process_with_a_blocked_event_loop_is_alive(site)
