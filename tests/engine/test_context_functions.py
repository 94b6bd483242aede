"""What functions of a declaration gave is the first attempt's: a later one does not ask them again."""

from typing import Any

import pytest

from musterd import Agent
from musterd.core.states import RunState
from tests.engine.conftest import Engines
from tests.engine.test_replay import killed_in_second_turn
from tests.support.held_model import HeldModel


async def test_functions_are_asked_once_a_run(engines: Engines, model: HeldModel) -> None:
    questions: list[str] = []

    async def instructions(session_state: dict[str, Any], dependencies: dict[str, Any]) -> str:
        questions.append(f"instructions {dependencies['tone']} {dependencies['client'] is not None}")
        session_state["visits"] = session_state.get("visits", 0) + 1
        return f"Visit {{visits}}, {dependencies['tone']}, asked {len(questions)} times."

    def tone() -> str:
        questions.append("tone")
        return "kind"

    def client() -> object:
        questions.append("client")
        return object()

    dependencies = {"tone": tone, "client": client}
    agents = [Agent(id="solo", model=model, instructions=instructions, dependencies=dependencies)]
    async with engines(agents=agents) as first:
        await first.run("an earlier run", "r0")
        questions.clear()
        await killed_in_second_turn(first, model, "[[TOOL nothing {}]] hello")
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
    assert view.row.state is RunState.COMPLETED
    assert questions == ["tone", "client", "instructions kind True", "client"], "what cannot be stored is made anew"
    assert view.messages is not None
    assert "Visit 2, kind, asked 3 times." in view.messages[0]["parts"][0]["content"]
    assert (view.output and view.output.session_state) == {"visits": 2}


@pytest.mark.parametrize("text", ["the system's own {state}"])
async def test_names_are_filled_with_the_state_of_the_session(engines: Engines, model: HeldModel, text: str) -> None:
    agents = [Agent(id="solo", model=model, instructions=text, session_state={"state": "first"})]
    async with engines(agents=agents) as harness:
        await harness.run("one", "r1", options={"session_state": {"state": "second"}})
        view = await harness.run("two", "r2")
    assert view.messages is not None
    assert "the system's own second" in view.messages[0]["parts"][0]["content"]
