"""Steps of a workflow: what they get, what becomes of their results, and their tries."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai.messages import BinaryContent, UserPromptPart

from musterd import Agent, Media, Step, StepInput, StepOutput, ToolContext, Workflow
from musterd.core.errors import LimitReached, StepFailed
from musterd.core.events import Event, EventKind
from tests.support.flow import FlowHarness
from tests.support.loop_clock import LoopClock

WRITER = Agent(id="writer", name="Writer", model="scripted")


def shout(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"UP({step_input.previous_step_content or step_input.input})")


def fail(step_input: StepInput) -> StepOutput:
    raise ValueError("boom in step")


async def test_each_step_gets_the_content_of_the_one_before() -> None:
    flow = FlowHarness(Workflow(id="w", steps=[shout, Step(name="write", agent=WRITER), shout_again]))
    output = await flow.drive()
    assert output.content == "again(Echo: UP(hello))"
    assert [step["content"] for step in flow.step_results] == ["UP(hello)", "Echo: UP(hello)", output.content]


def shout_again(step_input: StepInput) -> str:
    return f"again({step_input.get_step_content('write')})"


async def test_the_events_of_a_row_stand_in_the_order_that_agentos_has() -> None:
    flow = FlowHarness(Workflow(id="w", steps=[Step(name="write", agent=WRITER), Step(name="shout", executor=shout)]))
    await flow.drive()
    assert flow.kinds() == [
        "step_started write",
        "step_completed write",
        "step_started shout",
        "step_output shout",
        "step_completed shout",
    ]
    started = next(data for data in flow.data(EventKind.RUN_STARTED) if data["component_kind"] == "agent")
    assert started["step"] == flow.data(EventKind.STEP_STARTED)[0]["step"]
    assert started["parent_id"] == "root"


async def test_the_result_of_an_agents_step_names_its_run_and_its_metrics() -> None:
    flow = FlowHarness(Workflow(id="w", steps=[Step(name="write", agent=WRITER)]))
    await flow.drive()
    (step,) = flow.step_results
    assert (step["executor_type"], step["executor_name"], step["step_type"]) == ("agent", "Writer", "Step")
    assert step["step_run_id"] == flow.steps.started[0].run_id
    assert step["metrics"]["total_tokens"] == 15


async def test_a_stop_ends_the_workflow_after_its_step() -> None:
    def stop(step_input: StepInput) -> StepOutput:
        return StepOutput(content="enough", stop=True)

    flow = FlowHarness(Workflow(id="w", steps=[stop, shout]))
    assert (await flow.drive()).content == "enough"
    assert [step["step_name"] for step in flow.step_results] == ["stop"]
    assert flow.kinds()[-1] == "step_completed stop"


async def test_plain_functions_do_not_block_the_event_loop() -> None:
    begun, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def wait(step_input: StepInput) -> str:
        loop.call_soon_threadsafe(begun.set)
        assert go.wait(30)
        return "done"

    flow = FlowHarness(Workflow(id="w", steps=[wait]))
    driving = asyncio.ensure_future(flow.drive())
    await begun.wait()
    go.set()
    assert (await driving).content == "done"


async def test_generators_amount_to_their_last_output_or_their_texts() -> None:
    def words(step_input: StepInput) -> Iterator[Any]:
        yield "a "
        yield StepOutput(content="whole")

    async def letters(step_input: StepInput) -> AsyncIterator[str]:
        yield "x"
        yield "y"

    flow = FlowHarness(Workflow(id="w", steps=[words, letters]))
    assert (await flow.drive()).content == "xy"
    assert flow.step_results[0]["content"] == "whole"


async def test_what_a_generator_yields_is_emitted_while_it_goes_on() -> None:
    emitted, go = asyncio.Event(), threading.Event()

    def words(step_input: StepInput) -> Iterator[Any]:
        yield "a "
        assert go.wait(30), "the first text is emitted before the second one exists"
        yield from ("", "b")
        yield StepOutput(content="whole")

    flow = FlowHarness(Workflow(id="w", steps=[words]))
    emit = flow.tree.emit

    def emit_and_tell(event: Event) -> None:
        emit(event)
        if event.kind is EventKind.STEP_CONTENT:
            emitted.set()

    flow.walk.tree = replace(flow.tree, emit=emit_and_tell)
    driving = asyncio.ensure_future(flow.drive())
    await emitted.wait()
    go.set()
    assert (await driving).content == "whole"
    texts = flow.data(EventKind.STEP_CONTENT)
    assert [(data["text"], data["path"], data["step"]["step_name"]) for data in texts] == [
        ("a ", "s0", "words"),
        ("b", "s0", "words"),
    ]


async def test_what_a_whole_workflow_yields_is_emitted_and_may_be_left_out() -> None:
    async def letters(workflow: Any, execution_input: Any) -> AsyncIterator[str]:
        yield "x"
        yield "y"

    flow = FlowHarness(Workflow(id="w", steps=letters))
    assert (await flow.drive()).content == "xy"
    assert flow.data(EventKind.STEP_CONTENT) == [{"path": "f", "text": "x"}, {"path": "f", "text": "y"}]
    quiet = FlowHarness(Workflow(id="w", steps=letters, stream_executor_events=False))
    assert (await quiet.drive()).content == "xy"
    assert quiet.data(EventKind.STEP_CONTENT) == []


class Topic(BaseModel):
    name: str


def topic(step_input: StepInput) -> Topic:
    return Topic(name="owls")


async def test_objects_are_passed_on_as_objects_and_shown_as_json() -> None:
    def name(step_input: StepInput) -> str:
        assert isinstance(step_input.previous_step_content, Topic)
        return step_input.previous_step_content.name

    flow = FlowHarness(Workflow(id="w", steps=[topic, name]))
    assert (await flow.drive()).content == "owls"
    assert flow.step_results[0]["content"] == {"name": "owls"}


async def test_an_object_can_be_the_result() -> None:
    output = await FlowHarness(Workflow(id="w", steps=[topic])).drive()
    assert (output.content, output.content_type) == ({"name": "owls"}, "Topic")


async def test_an_object_of_a_class_that_cannot_be_found_is_passed_on_as_json() -> None:
    class Local(BaseModel):
        name: str

    def local(step_input: StepInput) -> Local:
        return Local(name="owls")

    def name(step_input: StepInput) -> str:
        return str(step_input.previous_step_content["name"])

    assert (await FlowHarness(Workflow(id="w", steps=[local, name])).drive()).content == "owls"


async def test_an_agent_gets_an_object_as_json_and_can_insist_on_its_schema() -> None:
    strict = Agent(id="strict", model="scripted", input_schema=Topic)
    good = Workflow(id="w", steps=[topic, Step(name="tell", agent=strict, strict_input_validation=True)])
    assert '"name": "owls"' in str((await FlowHarness(good).drive()).content)
    bad = Workflow(id="w", steps=[shout, Step(name="tell", agent=strict, strict_input_validation=True)])
    with pytest.raises(StepFailed, match="The message is not JSON of Topic"):
        await FlowHarness(bad).drive()


def prompt_of(flow: FlowHarness) -> Any:
    """The parts of the first message to the model."""
    parts = flow.model.calls[0][0].parts
    return next(part.content for part in parts if isinstance(part, UserPromptPart))


async def test_an_agent_sees_the_media_of_the_request_and_of_the_step_before() -> None:
    def draw(step_input: StepInput) -> StepOutput:
        assert step_input.images is not None
        return StepOutput(content="drawn", images=[Media(content=b"new", mime_type="image/png")])

    of_request = BinaryContent(b"old", media_type="image/png")
    media = {"images": [Media(content=b"old", mime_type="image/png")]}
    flow = FlowHarness(Workflow(id="w", steps=[draw, WRITER]), ["hello", of_request], media=media)
    await flow.drive()
    text, *images = prompt_of(flow)
    assert text == "drawn"
    assert [image.data for image in images] == [b"new", b"old"]
    assert flow.step_results[0]["images"][0]["mime_type"] == "image/png"


async def test_a_schema_makes_the_message_an_object() -> None:
    def name(step_input: StepInput) -> str:
        return str(step_input.input.name)

    flow = FlowHarness(Workflow(id="w", input_schema=Topic, steps=[name]), '{"name": "owls"}')
    assert (await flow.drive()).content == "owls"


async def test_a_function_gets_the_context_of_a_tool_call() -> None:
    seen: list[ToolContext] = []

    def note(step_input: StepInput, run_context: ToolContext, session_state: dict[str, Any]) -> str:
        seen.append(run_context)
        session_state["n"] = session_state.get("n", 0) + 1
        return ""

    flow = FlowHarness(Workflow(id="w", steps=[note], session_state={"n": 10}))
    await flow.drive()
    assert seen[0].idempotency_key
    assert (seen[0].run_id, seen[0].user_id) == ("root", "somebody")
    assert flow.state == {"n": 11}


async def test_a_failed_step_is_tried_again_and_then_ends_the_run() -> None:
    flow = FlowHarness(Workflow(id="w", steps=[Step(name="bad", executor=fail, max_retries=2), shout]))
    with pytest.raises(StepFailed, match=r"^Step 'bad' failed: boom in step$") as failure:
        await flow.drive()
    assert failure.value.details == {"failed_steps": ["s0/r2"], "unknown_steps": []}
    errors = flow.data(EventKind.STEP_ERROR)
    assert [(error["try"], error["will_retry"]) for error in errors] == [(1, True), (2, True), (3, False)]
    assert {(error["error"], error["error_type"]) for error in errors} == {("boom in step", "ValueError")}


async def test_a_skipped_failure_is_shown_and_not_passed_on() -> None:
    steps = [shout, Step(name="bad", executor=fail, max_retries=0, on_error="skip"), Step(name="next", executor=shout)]
    flow = FlowHarness(Workflow(id="w", steps=steps))
    assert (await flow.drive()).content == "UP(UP(hello))"
    bad = flow.step_results[1]
    assert (bad["success"], bad["error"]) == (False, "boom in step")


async def test_a_step_that_returns_a_failure_is_not_tried_again() -> None:
    calls = 0

    def refuse(step_input: StepInput) -> StepOutput:
        nonlocal calls
        calls += 1
        return StepOutput(content="not good", success=False, error="it failed")

    flow = FlowHarness(Workflow(id="w", steps=[refuse]))
    with pytest.raises(StepFailed, match="it failed"):
        await flow.drive()
    assert calls == 1


async def test_a_failing_model_is_a_failed_step_and_never_content() -> None:
    steps = [Step(name="write", agent=WRITER, max_retries=0, on_error="skip"), shout]
    flow = FlowHarness(Workflow(id="w", steps=steps), "[[ERROR 400]]")
    assert (await flow.drive()).content == "UP([[ERROR 400]])"
    assert flow.step_results[0]["success"] is False


async def test_a_run_whose_error_is_final_is_not_tried_again() -> None:
    flow = FlowHarness(Workflow(id="w", steps=[Step(name="write", agent=WRITER)]), "[[ERROR 400]]")
    with pytest.raises(StepFailed):
        await flow.drive()
    (error,) = flow.data(EventKind.STEP_ERROR)
    assert (error["error_type"], error["will_retry"]) == ("model_error", False)


async def test_a_step_that_takes_too_long_is_stopped_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    loop_clock, calls = LoopClock(monkeypatch), 0

    async def hang(step_input: StepInput) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            loop_clock.put_forward(31)
            await asyncio.Event().wait()
        return "done"

    inner = Workflow(id="inner", steps=[Step(name="hang", executor=hang)])
    flow = FlowHarness(Workflow(id="w", steps=[Step(name="nested", workflow=inner, timeout_seconds=30)]))
    assert (await flow.drive()).content == "done"
    (error,) = flow.data(EventKind.STEP_ERROR)
    assert error["error"] == "No result after 30 s."


async def test_a_function_that_takes_too_long_is_tried_again_if_it_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    loop_clock, calls = LoopClock(monkeypatch), 0

    async def hang(step_input: StepInput) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            loop_clock.put_forward(31)
            await asyncio.Event().wait()
        return "done"

    step = Step(name="hang", executor=hang, retry_safe=True, timeout_seconds=30)
    flow = FlowHarness(Workflow(id="w", steps=[step]))
    assert (await flow.drive()).content == "done"
    (error,) = flow.data(EventKind.STEP_ERROR)
    assert (error["error_type"], error["will_retry"]) == ("TimeoutError", True)


async def test_the_number_of_steps_is_limited() -> None:
    flow = FlowHarness(Workflow(id="w", steps=[shout, shout_again]), settings={"max_workflow_steps": 1})
    with pytest.raises(LimitReached, match="1 steps"):
        await flow.drive()


async def test_the_plan_is_recorded_before_the_first_step() -> None:
    flow = FlowHarness(Workflow(id="w", steps=[Step(name="write", agent=WRITER)]))
    await flow.drive()
    (step,) = flow.steps.taken["p"]["plan"]
    assert (step["kind"], step["name"], step["executor_type"]) == ("step", "write", "agent")
    assert step["step_id"] == flow.step_results[0]["step_id"]


@pytest.mark.parametrize("is_generator", [False, True])
async def test_an_output_of_agno_fails_the_step(is_generator: bool) -> None:
    agnos = type("StepOutput", (), {"__module__": "agno.workflow.types", "success": False})

    def returns(step_input: StepInput) -> Any:
        return agnos()

    def yields(step_input: StepInput) -> Iterator[Any]:
        yield agnos()

    flow = FlowHarness(Workflow(id="w", steps=[yields if is_generator else returns]))
    with pytest.raises(StepFailed, match=r"a StepOutput of agno .*: import the class from musterd"):
        await flow.drive()
