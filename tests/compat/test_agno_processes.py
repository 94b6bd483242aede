"""Files that declare their agents and teams with Agno's own classes, in processes of their own."""

import json
import signal
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client_drivers import Driver
from tests.support.process import Deployment, Process, until

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


DESK = """
    import os
    from pathlib import Path

    from agno.agent import Agent
    from agno.db.sqlite import SqliteDb
    from agno.os import AgentOS
    from agno.team import Team
    from agno.tools import Toolkit, tool

    folder = Path(os.environ["MUSTERD_TEST_FOLDER"])


    def count(name):
        with (folder / "counts").open("a") as file:
            file.write(f"{name}\\n")


    class Ledger(Toolkit):
        def __init__(self):
            super().__init__(name="ledger", tools=[self.book])

        def book(self, order: str) -> str:
            "Book an order."
            count(f"book {order}")
            return f"booked {order}"


    @tool(requires_confirmation=True)
    def refund(order: str, euros: int) -> str:
        "Pay money back."
        count(f"refund {order}")
        return f"{euros} euros for {order} are on their way"


    def louder(run_output):
        run_output.content = run_output.content.upper()


    db = SqliteDb(db_file=str(folder / "agno.db"))
    clerk = Agent(id="clerk", role="Pays", tools=[refund])
    keeper = Agent(id="keeper", role="Books", tools=[Ledger()])
    desk = Team(id="desk", members=[clerk, keeper], post_hooks=[louder], db=db)
    app = AgentOS(teams=[desk], agents=[clerk]).get_app()
"""
REFUND = '<TOOL refund {"order": "A7", "euros": 20}>'
TEAM = {"$type": "SessionType", "value": "team"}


def test_a_team_that_is_killed_during_a_delegation_finishes_its_runs(deploy: Deploy, agentos: Driver) -> None:
    site = deploy(DESK)
    first = site.serve(model_override="scripted")

    def client(process: Process, name: str, **arguments: Any) -> Any:
        return agentos.at(str(process.http.base_url), name, **arguments)

    paused = client(first, "run_team", team_id="desk", message=f"[[DELEGATE clerk: {REFUND}]]", session_id="paused")
    solo = client(first, "run_agent", agent_id="clerk", message=f"[[{REFUND[1:-1]}]]", session_id="solo")
    booking = '<TOOL book {"order": "B1"}>'
    client(first, "run_team", team_id="desk", message=f"[[DELEGATE keeper: {booking}]]", session_id="booked")
    first.accepted("[[DELEGATE keeper: <WORDS 40 250>]]", "long", "teams/desk", "long")
    member = "SELECT state FROM runs WHERE parent_id = 'long' AND state = 'running'"
    until(lambda: site.select(member), "the member to begin")
    first.kill()

    second = site.serve(model_override="scripted")
    (requirement,) = second.ended(paused["run_id"], "teams/desk", "paused")["requirements"]
    requirement["confirmation"] = requirement["tool_execution"]["confirmed"] = True
    form = {"requirements": json.dumps([requirement]), "session_id": "paused", "stream": "false"}
    path = f"/teams/desk/runs/{paused['run_id']}/continue"
    answer = second.http.post(path, data=form).json()
    assert (answer["status"], answer["content"]) == ("COMPLETED", "DONE: DONE: 20 EUROS FOR A7 ARE ON THEIR WAY")
    second.http.post(path, data=form)
    tools = [{**call, "confirmed": True} for call in solo["tools"]]
    continued = client(
        second, "continue_agent_run", agent_id="clerk", run_id=solo["run_id"], tools=tools, session_id="solo"
    )
    assert (continued["status"], continued["content"]) == ("COMPLETED", "Done: 20 euros for A7 are on their way")
    assert second.ended("long", "teams/desk", "long")["status"] == "COMPLETED"
    assert site.run("long")["attempt"] == 2
    assert site.counts() == {"book B1": 1, "refund A7": 2}, "once for the team's run, once for the agent's"

    sessions = client(second, "get_sessions", session_type=TEAM)["data"]
    assert {session["session_id"] for session in sessions} == {"paused", "booked", "long"}
    for session_id in ("paused", "booked", "long"):
        member_run, run = client(second, "get_session_runs", session_id=session_id, session_type=TEAM)
        assert (member_run["status"], run["status"]) == ("COMPLETED", "COMPLETED")
        assert member_run["parent_run_id"] == run["run_id"]
        assert run["content"] == run["content"].upper(), "the hook was called after the restart, too"
