"""Runs with tools of MCP servers: across a crash, and where the server goes."""

import importlib
import threading
from pathlib import Path
from types import ModuleType

import pytest
from structlog.testing import capture_logs

from musterd import Agent, MCPServer, Team, tool
from musterd.core.records import RunView
from musterd.core.requirements import Decision, Verdict
from musterd.core.states import RunState
from musterd.mcp import sdk
from musterd.service.run_ref import RunRef
from musterd.service.runs import DecisionResult
from tests.engine.conftest import Engines
from tests.engine.test_replay import killed_in_second_turn
from tests.support.engine import NOBODY
from tests.support.held_model import HeldModel
from tests.support.mcp_server import CONNECT_SECONDS, PROGRAM
from tests.support.odd_mcp_server import PROGRAM as ODD_PROGRAM

SEND = '[[TOOL send {"text": "x"}]]'


def desk(folder: Path) -> MCPServer:
    return MCPServer(name="desk", command=[*PROGRAM, str(folder)], connect_seconds=CONNECT_SECONDS)


def gone() -> MCPServer:
    return MCPServer(name="desk", command="no-such-program-anywhere")


def calls(folder: Path) -> list[str]:
    return [line.rpartition(" ")[0] for line in (folder / "calls").read_text().splitlines()]


def offered(model: HeldModel, call: int = -1) -> list[str]:
    return [offered_tool.name for offered_tool in model._parameters[call].function_tools]


def content(view: RunView) -> object:
    return view.output and view.output.content


async def test_the_sdk_is_not_imported_on_the_event_loop(
    engines: Engines, model: HeldModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its import takes half a second, in which no other run would go on."""
    threads: list[threading.Thread] = []
    load = importlib.import_module

    def noted(name: str) -> ModuleType:
        if name.startswith("musterd.mcp.sdk"):
            threads.append(threading.current_thread())
        return load(name)

    sdk.installed.cache_clear()
    monkeypatch.setattr(importlib, "import_module", noted)
    async with engines(agents=[Agent(id="solo", model=model, tools=[desk(tmp_path)])]) as harness:
        assert content(await harness.run(SEND, "r1")) == "Done: sent x"
    assert threads
    assert threading.main_thread() not in threads


async def test_a_later_attempt_offers_the_same_tools_though_the_server_is_gone(
    engines: Engines, model: HeldModel, tmp_path: Path
) -> None:
    agent = Agent(id="solo", model=model, tools=[desk(tmp_path)])
    async with engines(agents=[agent]) as first:
        await killed_in_second_turn(first, model, SEND)
    async with engines(agents=[Agent(id="solo", model=model, tools=[gone()])]) as second:
        view = await second.end_of("r1")
    assert (view.row.state, view.row.attempt, content(view)) == (RunState.COMPLETED, 2, "Done: sent x")
    assert calls(tmp_path) == ["send x"], "a stored result needs no server"
    assert offered(model, 0) == offered(model) == ["add", "send", "fail", "desk_report", "learn"]


async def test_a_server_that_dies_in_a_call_pauses_the_run_and_a_person_has_it_made_again(
    engines: Engines, model: HeldModel, tmp_path: Path
) -> None:
    (tmp_path / "die").touch()
    async with engines(agents=[Agent(id="solo", model=model, tools=[desk(tmp_path)])]) as harness:
        view = await harness.run(SEND, "r1")
        assert view.row.state is RunState.PAUSED
        assert view.output is not None
        (requirement,) = view.output.requirements
        decided: DecisionResult = await harness.runs.decide(
            RunRef(harness.component(), "r1", "s1", NOBODY), [Decision(key=requirement["id"], verdict=Verdict.RUN)]
        )
        assert decided.run.run_id == "r1"
        view = await harness.end_of("r1")
    assert (view.row.state, content(view)) == (RunState.COMPLETED, "Done: sent x")
    keys = {line.rpartition(" ")[2] for line in (tmp_path / "calls").read_text().splitlines()}
    assert (calls(tmp_path), len(keys)) == (["send x", "send x"], 1)


async def test_a_run_goes_without_a_server_that_is_not_there_and_its_model_is_told(
    engines: Engines, model: HeldModel
) -> None:
    @tool
    def own() -> str:
        """Do."""
        return "own"

    with capture_logs() as lines:
        async with engines(agents=[Agent(id="solo", model=model, tools=[own, gone()])]) as harness:
            view = await harness.run("[[TOOL own {}]]", "r1")
    assert content(view) == "Done: own"
    assert offered(model) == ["own"]
    system = model.conversation()[0]["content"]
    assert "The MCP server 'desk' cannot be reached" in system
    assert "Its tools are not available in this run." in system
    (logged,) = [line for line in lines if line["event"] == "a run goes on without the tools of an MCP server"]
    assert (logged["run_id"], logged["server"], logged["log_level"]) == ("r1", "desk", "warning")


async def test_a_tool_that_a_server_has_no_more_is_a_failed_result(
    engines: Engines, model: HeldModel, tmp_path: Path
) -> None:
    narrow = MCPServer(
        name="desk",
        command=[*PROGRAM, str(tmp_path)],
        include_tools=["add"],
        tool_name_prefix="calc",
        connect_seconds=CONNECT_SECONDS,
    )
    async with engines(agents=[Agent(id="solo", model=model, tools=[narrow])]) as harness:
        sum_ = await harness.run('[[TOOL calc_add {"a": 1, "b": 2}]]', "r1")
        wrong = await harness.run('[[TOOL calc_add {"a": "x"}]]', "r2")
        unknown = await harness.run(SEND, "r3")
    assert (content(sum_), offered(model)) == ("Done: 3", ["calc_add"])
    assert "Wrong arguments for calc_add" in str(content(wrong))
    assert "There is no tool 'send'. Tools: calc_add." in str(content(unknown))
    assert calls(tmp_path) == [""], "a wrong call is not made"


async def test_a_call_that_changes_nothing_is_made_again_where_the_server_died_in_it(
    engines: Engines, model: HeldModel, tmp_path: Path
) -> None:
    (tmp_path / "die").touch()
    async with engines(agents=[Agent(id="solo", model=model, tools=[desk(tmp_path)])]) as harness:
        view = await harness.run('[[TOOL add {"a": 1, "b": 2}]]', "r1")
    assert content(view) == "Done: 3"
    assert (tmp_path / "calls").read_text().split() == ["add", "add"]


async def test_members_that_a_function_gives_share_a_server_that_they_declare_alike(
    engines: Engines, model: HeldModel, tmp_path: Path
) -> None:
    def experts() -> list[Agent]:
        return [Agent(id="one", tools=[desk(tmp_path)])]

    async with engines(teams=[Team(id="team", model=model, members=experts)]) as harness:
        for run_id in ("r1", "r2"):
            view = await harness.run(f"[[DELEGATE one: <{SEND.strip('[]')}>]]", run_id)
            assert content(view) == "Done: Done: sent x"
    assert (tmp_path / "started").read_text() == "."


async def test_an_error_of_a_servers_own_does_not_pause_the_run(engines: Engines, model: HeldModel) -> None:
    server = MCPServer(name="desk", command=[*ODD_PROGRAM, "error -32000"], connect_seconds=CONNECT_SECONDS)
    async with engines(agents=[Agent(id="solo", model=model, tools=[server])]) as harness:
        view = await harness.run("[[TOOL odd {}]]", "r1")
    assert (view.row.state, content(view)) == (RunState.COMPLETED, 'Done: {"error":"Connection closed"}')


async def test_a_run_has_the_tools_that_can_be_used_and_its_model_knows_of_the_others(
    engines: Engines, model: HeldModel
) -> None:
    server = MCPServer(name="desk", command=[*ODD_PROGRAM, "odd tools"], connect_seconds=CONNECT_SECONDS)
    async with engines(agents=[Agent(id="solo", model=model, tools=[server])]) as harness:
        view = await harness.run("[[TOOL plain {}]]", "r1")
    assert (view.row.state, content(view)) == (RunState.COMPLETED, "Done: fine")
    assert "Some tools of the MCP server 'desk' cannot be used: " in model.conversation()[0]["content"]
