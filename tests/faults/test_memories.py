"""A process is killed between the memory manager's call, its note and the end: the fact is remembered once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from musterd.store import events
from tests.support.crashes import check_each_event_once
from tests.support.process import Deployment, deployment_of
from tests.support.store import of_run

TASK = '[[TOOL update_user_memory {"task": "I like tea"}]]'
POINTS = [("asked", 1), ("asked", 2), ("settling", 1), ("settled", 1)]


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """A folder and a database, and the processes that serve the agents."""
    yield from deployment_of(database_url, tmp_path, Path(__file__).with_name("components_memories.py"))


@pytest.mark.parametrize(("point", "n"), POINTS)
def test_killed_while_the_message_is_read(site: Deployment, point: str, n: int) -> None:
    _check(site, "I like tea", "agents/solo", point, n)


@pytest.mark.parametrize(("point", "n"), [("asked", 2), ("performed", 1), ("recorded", 1), ("settling", 1)])
def test_killed_while_a_tool_changes_memories(site: Deployment, point: str, n: int) -> None:
    _check(site, TASK, "agents/asked", point, n)


@pytest.mark.parametrize(("point", "n"), [("asked", 2), ("settling", 1), ("settled", 1)])
def test_killed_while_a_profile_is_learned(site: Deployment, point: str, n: int) -> None:
    first = site.serve(fault=f"{point}:{n}:kill")
    first.post("My name is Ada", "r1", "agents/tutor", user_id="ada")
    first.died()
    view = site.serve().ended("r1", "agents/tutor")
    (field,) = site.select("SELECT memory_id, memory, profile_field FROM memories")
    assert view["memories"] == {"added": [field["memory_id"]]}
    assert (field["profile_field"], field["memory"]) == ("name", "Ada")


def _check(site: Deployment, message: str, to: str, point: str, n: int) -> None:
    first = site.serve(fault=f"{point}:{n}:kill")
    first.post(message, "r1", to, user_id="ada")
    first.died()
    second = site.serve()
    view = second.ended("r1", to)
    (memory,) = site.select("SELECT memory_id, memory, source_run_id, user_id FROM memories")
    assert view["status"] == "COMPLETED"
    assert view["memories"] == {"added": [memory["memory_id"]]}
    assert (memory["memory"], memory["source_run_id"], memory["user_id"]) == ("I like tea", "r1", "ada")
    check_each_event_once(site.do(of_run(events.all_events, "r1")))
