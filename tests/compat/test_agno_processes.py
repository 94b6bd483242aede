"""Files that declare their agents and teams with Agno's own classes, in processes of their own."""

import signal
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.process import Deployment

Deploy = Callable[[str], Deployment]
"""Puts the text of a file in place; its processes serve that file."""


@pytest.fixture
def deploy(importable_agno: Path, tmp_path: Path, database: Path) -> Iterator[Deploy]:
    """Processes that serve a file. Before its text is only the path to Agno, which they have not installed."""
    path = tmp_path / "shop.py"

    def put(text: str) -> Deployment:
        path.write_text(f"import sys\nsys.path.append({str(importable_agno)!r})\n{textwrap.dedent(text)}")
        return deployment

    deployment = Deployment(tmp_path, f"sqlite:///{database}", path)
    yield put
    deployment.close()


OPENED = """
    import os
    from contextlib import asynccontextmanager
    from pathlib import Path

    from agno.agent import Agent
    from agno.os import AgentOS

    is_open = False


    @asynccontextmanager
    async def lifespan(app):
        global is_open
        is_open = True
        yield
        Path(os.environ["MUSTERD_TEST_FOLDER"], f"closed by {os.getpid()}").touch()


    def look() -> str:
        "Look."
        return f"open: {is_open}"


    solo = Agent(id="solo", tools=[look])
    system = AgentOS(agents=[solo], lifespan=lifespan, a2a_interface=True)
"""


def test_a_worker_treats_a_file_as_serve_does(deploy: Deploy) -> None:
    site = deploy(OPENED)
    worker = site.work(model_override="scripted")
    front = site.serve("--no-worker", model_override="scripted")
    front.accepted("[[TOOL look {}]]", "one")
    assert front.ended("one")["content"] == "Done: open: True"
    for process in (worker, front):
        assert "every agent and team uses the model scripted (MUSTERD_MODEL_OVERRIDE)" in process.log
        assert "such as agent.run() in a tool, still call the declared models" in process.log
        assert "AgentOS(a2a_interface=…) is not served" in process.log
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert (site.folder / f"closed by {worker.popen.pid}").exists()
