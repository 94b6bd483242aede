"""Hooks are steps: what one has done is not done again, and what it changed stays."""

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from musterd import Agent, tool
from musterd.core.states import RunState
from musterd.guards import OutputCheckError, RunInput, RunOutput
from tests.engine.conftest import Engines
from tests.engine.test_run_forks import fork
from tests.support.held_model import HeldModel


class Hooks:
    """Hooks whose calls are counted."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.refuses = False

    def pre(self, run_input: RunInput, session_state: dict[str, Any]) -> None:
        self.calls["pre"] += 1
        run_input.input_content = f"[[SAY {run_input.input_content} {self.calls['pre']}]]"
        session_state["pre"] = self.calls["pre"]

    async def post(self, run_output: RunOutput, session_state: dict[str, Any]) -> None:
        self.calls["post"] += 1
        if self.refuses:
            raise OutputCheckError("Not now.")
        run_output.content = f"{run_output.content}!"
        session_state["post"] = True

    def agent(self, model: HeldModel) -> Agent:
        return Agent(id="solo", model=model, pre_hooks=[self.pre], post_hooks=[self.post])


async def test_a_hook_that_is_done_is_not_called_again(engines: Engines, model: HeldModel) -> None:
    hooks = Hooks()
    hold = model.hold("[[SAY hi")
    async with engines(agents=[hooks.agent(model)]) as first:
        await first.start("hi", "r1")
        await hold.reached.wait()
        await first.kill()
    hold.release()
    async with engines(agents=[hooks.agent(model)]) as second:
        view = await second.end_of("r1")
        steps = await second.records.select("SELECT path, kind, attempt FROM journal ORDER BY started_at, path")
        (session,) = await second.records.select("SELECT state FROM sessions")
        events = [event.kind.value for _, event in await second.stored("r1")]
    assert (view.row.state, view.row.attempt) == (RunState.COMPLETED, 2)
    assert view.output is not None
    assert view.output.content == "hi 1!"
    assert hooks.calls == {"pre": 1, "post": 1}
    assert [(step["path"], step["kind"], step["attempt"]) for step in steps] == [
        ("pre0", "hook", 1),
        ("p", "prepare", 2),
        ("t0/m", "model", 2),
        ("post0", "hook", 2),
    ]
    assert session == {"state": '{"pre":1,"post":true}'}
    assert view.input.message == "[[SAY hi 1]]", "what it was asked in the end"
    assert Counter(events)["pre_hook_completed"] == 1


async def test_a_refused_answer_can_be_continued(engines: Engines, model: HeldModel) -> None:
    hooks = Hooks()
    hooks.refuses = True
    async with engines(agents=[hooks.agent(model)]) as harness:
        failed = await harness.run("hi", "r1")
        assert (failed.row.state, failed.row.error_code) == (RunState.ERROR, "output_check_error")
        hooks.refuses = False
        await fork(harness)
        view = await harness.end_of("r2")
    assert view.output is not None
    assert view.output.content == "hi 1!"
    assert hooks.calls == {"pre": 1, "post": 2}
    assert len(model.calls) == 1


def exits() -> str:
    """Exit."""
    sys.exit(3)


async def exits_at_once() -> str:
    """Exit."""
    sys.exit(3)


def stays() -> str:
    """Stay."""
    return "still here"


def calls(function_call: Callable[..., Any]) -> Any:
    return function_call()


@pytest.mark.parametrize(
    ("declared", "state"),
    [
        ({"instructions": exits}, RunState.ERROR),
        ({"instructions": exits_at_once}, RunState.ERROR),
        ({"pre_hooks": [exits]}, RunState.ERROR),
        ({"tools": [tool(name="leave")(exits_at_once)], "tool_hooks": [calls]}, RunState.COMPLETED),
        ({"tools": [tool(name="leave")(exits)], "tool_hooks": [calls]}, RunState.COMPLETED),
        ({"tools": [tool(name="leave", post_hook=exits)(stays)]}, RunState.COMPLETED),
    ],
)
async def test_code_that_exits_fails_and_the_process_goes_on(
    engines: Engines, model: HeldModel, declared: dict[str, Any], state: RunState
) -> None:
    async with engines(agents=[Agent(id="solo", model=model, **declared), Agent(id="other", model=model)]) as harness:
        view = await harness.run("[[TOOL leave {}]]", "r1")
        assert view.row.state is state
        assert (await harness.run("hi", "r2", "s2", of="other")).row.state is RunState.COMPLETED
