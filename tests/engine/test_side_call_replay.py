"""Model calls beside a run's turns, when a crash comes: what is stored is not asked again, what was cut off is void."""

from musterd import Agent, CompressionManager, tool
from musterd.core.events import EventKind
from musterd.core.states import RunState
from tests.engine.conftest import Engines
from tests.support.crashes import VisibleText, check_each_event_once
from tests.support.held_model import HeldModel


async def test_a_worded_answer_that_was_cut_off_comes_again_and_what_is_stored_does_not(
    engines: Engines, model: HeldModel
) -> None:
    other = HeldModel()
    agents = [Agent(id="solo", model=model, output_model=other)]
    hold = other.hold("[[WORDS 6]]", after=3)
    async with engines(agents=agents) as first:
        await first.start("[[WORDS 6]]", "r1")
        await hold.reached.wait()
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.CONTENT)
        await first.kill()
    hold.release()
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
        events = await second.stored("r1")
    assert (view.row.state, view.row.attempt) == (RunState.COMPLETED, 2)
    assert (len(model.calls), len(other.calls)) == (1, 2)
    words = " ".join(f"word{number}" for number in range(6))
    assert view.output is not None
    assert view.output.content == words
    assert [aside["role"] for aside in view.output.asides] == ["output_model"]
    check_each_event_once(events)
    visible = VisibleText()
    for index, event in events:
        visible.read(index, event)
    assert visible.text("r1") == words


async def test_a_parser_that_was_cut_off_is_asked_again_and_nobody_else_is(engines: Engines, model: HeldModel) -> None:
    parser, form = HeldModel(), {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    said = '[[SAY {"n": 1}]]'
    agents = [Agent(id="solo", model=model, output_schema=form, parser_model=parser)]
    hold = parser.hold("[[SAY {", after=1)
    async with engines(agents=agents) as first:
        await first.start(f"[[SAY {said}]]", "r1")
        await hold.reached.wait()
        await first.wait_for_event("r1", lambda event: event.place == "parse/m")
        await first.kill()
    hold.release()
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
        events = await second.stored("r1")
    assert view.output is not None
    assert view.output.content == {"n": 1}
    assert (len(model.calls), len(parser.calls)) == (1, 2)
    check_each_event_once(events)


async def test_thoughts_that_are_stored_are_not_thought_again(engines: Engines, model: HeldModel) -> None:
    steps = '{"reasoning_steps": [{"title": "a", "reasoning": "b", "next_action": "final_answer"}]}'
    message = f"[[SAY {steps}]]"
    agents = [Agent(id="solo", model=model, reasoning_model=(other := HeldModel()))]
    hold = model.hold("[[SAY", after=1)
    async with engines(agents=agents) as first:
        await first.start(message, "r1")
        await hold.reached.wait()
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.REASONING_COMPLETED)
        await first.kill()
    hold.release()
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
        events = await second.stored("r1")
    assert (len(model.calls), len(other.calls)) == (2, 1)
    assert view.output is not None
    assert [step["title"] for step in view.output.reasoning_steps] == ["a"]
    assert model.conversation(0) == model.conversation(1), "the same thoughts"
    check_each_event_once(events)


async def test_a_result_that_was_shortened_is_not_shortened_again(engines: Engines, model: HeldModel) -> None:
    @tool(retry_safe=True)
    async def look() -> str:
        """Look."""
        return "[[SAY short]] " + "long " * 100

    short = HeldModel()
    manager = CompressionManager(model=short, compress_tool_results_limit=1)
    agents = [Agent(id="solo", model=model, tools=[look], compression_manager=manager)]
    hold = model.hold("[[TOOL look {}]]", after=1)
    async with engines(agents=agents) as first:
        await first.start("[[TOOL look {}]]", "r1")
        await hold.reached.wait()  # in its answer
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.COMPRESSION_COMPLETED)
        await first.kill()
    hold.release()
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
        events = await second.stored("r1")
    assert len(short.calls) == 1
    assert model.conversation(-1)[-1]["content"] == "short"
    assert view.output is not None
    assert view.output.tools[0].result is not None
    assert view.output.tools[0].result.endswith("long ")
    assert model.conversation(-1) == model.conversation(-2)
    check_each_event_once(events)
