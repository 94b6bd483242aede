"""A model call outside a run's turns is recorded, counted, retried and corrected like a turn."""

from typing import Any

from musterd import Agent
from musterd.core.events import EventKind
from musterd.core.records import Output
from musterd.declare import models_of
from musterd.loop.side_calls import SideCall, answer_text, ask, ask_for_form, prompt_messages
from musterd.loop.structured_answers import AnswerForm
from musterd.wire.metrics import run_metrics
from tests.support.loop import Call, LoopHarness, TurnModel, failure

FORM = AnswerForm(name="city", schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})


def new_harness() -> LoopHarness:
    return LoopHarness(Agent(id="solo", model=TurnModel("done")))


def aside(model: TurnModel, **options: Any) -> SideCall:
    messages = prompt_messages("be short", "what?")
    return SideCall(place="parse", role="parser_model", model=model, messages=messages, **options)


async def test_it_is_a_step_that_is_told_and_counted() -> None:
    harness, model, texts = new_harness(), TurnModel("so"), list[str]()
    response, _ = await ask(
        harness.tree,
        harness.run,
        harness.loop.progress,
        aside(model, on_text=lambda text, reasoning: texts.append(text)),
    )
    assert (answer_text(response), texts) == ("so", ["so"])
    assert harness.steps.log == [("model", "parse/m")]
    assert [event.kind for event in harness.events] == [
        EventKind.MODEL_REQUEST_STARTED,
        EventKind.MODEL_REQUEST_COMPLETED,
    ]
    output = harness.loop.progress.output
    metrics = run_metrics(Output.from_json(output.as_json()), "m", "p")
    assert metrics["details"].keys() == {"parser_model"}
    assert metrics["total_tokens"] == metrics["details"]["parser_model"][0]["total_tokens"] > 0


async def test_text_of_a_try_that_failed_is_void() -> None:
    harness, voided = new_harness(), list[int]()
    model = TurnModel(["half", failure(503)], "whole")
    callbacks: dict[str, Any] = {"on_text": lambda text, reasoning: None, "on_void": lambda: voided.append(1)}
    await ask(harness.tree, harness.run, harness.loop.progress, aside(model, **callbacks))
    assert voided == [1]
    assert [event.kind for event in harness.events] == [
        EventKind.MODEL_REQUEST_STARTED,
        EventKind.MODEL_REQUEST_RETRIED,
        EventKind.RUN_CONTINUED,
        EventKind.MODEL_REQUEST_STARTED,
        EventKind.MODEL_REQUEST_COMPLETED,
    ]


async def test_a_value_that_has_not_the_form_is_corrected_under_its_own_path() -> None:
    harness, model = new_harness(), TurnModel(Call("final_result", {"n": "x"}), Call("final_result", {"n": 1}))
    value, _, _ = await ask_for_form(harness.tree, harness.run, harness.loop.progress, aside(model), FORM)
    assert value == {"n": 1}
    assert [path for _, path in harness.steps.log] == ["parse/m", "parse/1/m"]
    assert "Correct the answer" in str(model.seen[1][-1])


def test_its_model_is_made_ready_with_the_run() -> None:
    model = TurnModel()
    spec = Agent(id="solo", model="scripted", parser_model=model, output_model="test")
    assert models_of(LoopHarness(spec).run.component) == ["scripted", model, "test"]
