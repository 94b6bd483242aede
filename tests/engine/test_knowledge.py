"""A search is made once: a run that goes on after a crash has the same documents, though the base has changed since."""

from collections.abc import Callable
from typing import Any

import pytest

from musterd import Agent, Knowledge
from musterd.app import FEATURES
from musterd.core.records import RunView
from musterd.core.states import RunState
from tests.engine.conftest import Engines
from tests.engine.test_replay import killed_in_second_turn
from tests.support.crashes import CountedModel, Fuse, check_each_event_once, end_before_death
from tests.support.engine import harness_on, running
from tests.support.held_model import HeldModel
from tests.support.knowledge import OSLO, Content, FakeBases

SEARCH = '[[TOOL search_knowledge_base {"query": "the capital"}]]'
CHANGED = Content(name="norway.md", text="Bergen is the capital.", metadata={"country": "no"})
BASE = Knowledge(id="docs")


@pytest.fixture
def bases(monkeypatch: pytest.MonkeyPatch) -> FakeBases:
    """The knowledge bases of every engine of the test."""
    bases = FakeBases(contents=[OSLO])
    monkeypatch.setattr("tests.support.engine.FEATURES", [bases.feature(), *FEATURES])
    return bases


def names_and_texts(view: RunView) -> list[tuple[str, str]]:
    assert view.output is not None
    return [(item["name"], item["content"]) for entry in view.output.references for item in entry["references"]]


async def test_the_tool_is_not_called_again(engines: Engines, model: HeldModel, bases: FakeBases) -> None:
    agents = [Agent(id="solo", model=model, knowledge=BASE)]
    async with engines(agents=agents) as first:
        await killed_in_second_turn(first, model, SEARCH)
    bases.contents = [CHANGED]
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
    assert (view.row.state, view.row.attempt) == (RunState.COMPLETED, 2)
    assert len(bases.searches) == 1
    assert names_and_texts(view) == [("norway.md", OSLO.text)]
    assert OSLO.text in str(model.conversation()), "what the model reads in the second attempt"
    assert view.output is not None
    assert [entry["query"] for entry in view.output.references] == ["the capital"]


async def test_the_search_before_the_first_turn_is_not_made_again(
    engines: Engines, model: HeldModel, bases: FakeBases
) -> None:
    agents = [Agent(id="solo", model=model, knowledge=BASE, add_knowledge_to_context=True, update_knowledge=True)]
    message = '[[TOOL add_to_knowledge {"query": "a", "result": "b"}]] the capital'
    async with engines(agents=agents) as first:
        await killed_in_second_turn(first, model, message)
    bases.contents = [CHANGED]
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
    assert (view.row.state, view.row.attempt) == (RunState.COMPLETED, 2)
    assert len(bases.searches) == 1
    assert len(bases.added) == 1
    assert names_and_texts(view) == [("norway.md", OSLO.text)]
    assert OSLO.text in str(model.conversation())
    assert CHANGED.text not in str(model.conversation())


@pytest.mark.parametrize("moment", range(1, 12, 2))
async def test_what_the_model_read_is_what_the_run_names(
    new_database: Callable[[], str], fuse: Fuse, bases: FakeBases, moment: int
) -> None:
    url, model = new_database(), CountedModel(fuse)
    agent = Agent(id="solo", model=model, knowledge=BASE, add_knowledge_to_context=True)
    options: dict[str, Any] = {"agents": [agent], "delta_seconds": 0}
    message = f"{SEARCH} the capital"
    async with running(harness_on(url, **options)) as first:
        fuse.between = first.stored_so_far
        fuse.arm(moment)
        await first.start(message, "r1")
        view = await end_before_death(fuse, first)
    bases.contents = [CHANGED]
    async with running(harness_on(url, **options)) as second:
        view = view or await second.end_of("r1")
        events = await second.stored("r1")
    assert view.row.state is RunState.COMPLETED
    assert view.messages is not None
    prompt, result = view.messages[0]["parts"][-1]["content"], view.messages[2]["parts"][0]["content"]
    (_, in_prompt), (_, in_result) = names_and_texts(view)
    assert in_prompt in prompt
    assert in_result in result
    check_each_event_once(events)
    (ended,) = [event for _, event in events if event.kind.value == "tool_call_completed"]
    assert view.output is not None
    assert ended.data["references"] == view.output.references[1:]
