"""What tools leave behind holds up no stop, and keeps nothing that the next process needs."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import ALL_LIVE, Deployment, Process, deployment_of, until


@pytest.fixture
def site(sqlite_file: Path, tmp_path: Path) -> Iterator[Deployment]:
    """A folder and a database, and the processes that share them."""
    yield from deployment_of(f"sqlite:///{sqlite_file}", tmp_path, Path(__file__).with_name("components_leftovers.py"))


def driving(site: Deployment, command: str) -> tuple[Process, Process]:
    """A process that accepts runs, and one that drives them: itself, or a worker."""
    if command == "serve":
        front = site.serve(drain_seconds=0.1, **ALL_LIVE)
        return front, front
    return site.serve("--no-worker", **ALL_LIVE), site.work(drain_seconds=0.1, **ALL_LIVE)


def process_state(pid: int) -> str:
    """The state of a process as /proc has it: "Z" after its end, until its parent asks for its exit code."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_stop_ends_with_tools_that_do_not(site: Deployment, command: str) -> None:
    front, driver = driving(site, command)
    front.accepted("[[TOOL litter {}]]", "r1")
    assert front.ended("r1")["status"] == "COMPLETED"
    front.accepted("[[TOOL stay {}]]", "r2")
    site.reached("stay")
    driver.signal(signal.SIGTERM)
    assert driver.exit_code() == 0
    assert "exiting although tools left tasks or threads running" in driver.log
    run = site.run("r2")
    assert (run["state"], run["crashes"], run["worker"]) == ("ready", 0, None), "its run was handed over before"


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_stop_ends_a_process_whose_event_loop_is_blocked(site: Deployment, command: str) -> None:
    front, driver = driving(site, command)
    front.accepted("[[TOOL hang {}]]", "r1")
    site.reached("hang")
    driver.signal(signal.SIGTERM)
    assert driver.exit_code() == 1
    assert "the stop is not complete after 8.1 s" in driver.log


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_signal_ends_a_child_that_a_tool_forked(site: Deployment, command: str) -> None:
    front, driver = driving(site, command)
    front.accepted("[[TOOL fork {}]]", "r1")
    child = int(front.ended("r1")["tools"][0]["result"])
    os.kill(child, signal.SIGTERM)
    until(lambda: process_state(child) == "Z", "the child has ended; its parent has not asked for its exit code")
    assert driver.popen.poll() is None


@pytest.mark.parametrize("way", ["child", "fork"])
def test_a_child_of_a_tool_keeps_neither_port_nor_files(site: Deployment, way: str) -> None:
    first = site.serve()
    port = first.http.base_url.port
    assert port is not None
    first.accepted(f"[[TOOL {way} {{}}]]", "r1")
    child = int(first.ended("r1")["tools"][0]["result"])
    try:
        worker = site.select("SELECT id FROM workers")[0]["id"]
        held = {os.readlink(f"/proc/{child}/fd/{number}") for number in os.listdir(f"/proc/{child}/fd")}
        assert not [path for path in held if path.endswith(f".worker-{worker}")]
        if way == "child":  # a fork has the database open: it holds no lock of it
            assert not [path for path in held if ".db" in path or path.startswith("socket:")]
        first.kill()
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", port))
            again.listen()
        second = site.serve()
        assert "run reassigned from a dead worker" not in second.log, "nothing was left at work"
        until(lambda: [row["id"] for row in site.select("SELECT id FROM workers")] != [worker], "its lock is free")
    finally:
        os.kill(child, signal.SIGKILL)
