"""An answer that another model words, or brings into its form."""

import json
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai.messages import BinaryContent, ImageUrl
from pydantic_ai.profiles import ModelProfile

from musterd import Agent, Team
from musterd.core.errors import RunFailed
from musterd.core.events import EventKind
from tests.support.loop import Call, LoopHarness, TurnModel


class City(BaseModel):
    """A city."""

    name: str
    people: int


PARIS = {"name": "Paris", "people": 2}
FINAL = Call("final_result", PARIS)
ROUTED = Call("delegate_task_to_member", {"member_id": "one", "task": "t"})


def text(model: TurnModel, turn: int = -1) -> str:
    return "\n".join(str(getattr(part, "content", "")) for message in model.seen[turn] for part in message.parts)


async def test_a_parser_model_brings_the_text_into_the_form() -> None:
    own, parser = TurnModel("Paris has 2"), TurnModel(FINAL)
    spec = Agent(id="solo", model=own, output_schema=City, parser_model=parser, parser_model_prompt="Parse it.")
    harness = LoopHarness(spec)
    output = await harness.drive()
    assert (output.content, output.content_type) == (PARIS, "City")
    assert not own.offered[0].output_tools, "the run's own model answers freely"
    assert text(parser) == "Parse it.\nParis has 2"
    assert [path for what, path in harness.steps.log if what == "model"] == ["t0/m", "parse/m"]
    kinds = harness.kinds()
    first = kinds.index(EventKind.PARSER_MODEL_RESPONSE_STARTED)
    assert kinds[first : first + 4] == [
        EventKind.PARSER_MODEL_RESPONSE_STARTED,
        EventKind.MODEL_REQUEST_STARTED,
        EventKind.MODEL_REQUEST_COMPLETED,
        EventKind.PARSER_MODEL_RESPONSE_COMPLETED,
    ]


async def test_a_parser_that_never_gets_the_form_right_fails_the_run() -> None:
    wrong = Call("final_result", {"name": "Paris"})
    spec = Agent(id="solo", model=TurnModel("Paris"), output_schema=City, parser_model=TurnModel(wrong, wrong, wrong))
    with pytest.raises(RunFailed, match="does not have the requested format"):
        await LoopHarness(spec).drive()


async def test_without_a_form_there_is_nothing_to_parse() -> None:
    output = await LoopHarness(Agent(id="solo", model=TurnModel("Paris"), parser_model=TurnModel())).drive()
    assert output.content == "Paris"


async def test_an_output_model_words_the_answer_from_what_was_found_out() -> None:
    async def look_up() -> str:
        return "rain"

    own, other = TurnModel(Call("look_up"), "it rains"), TurnModel("Take an umbrella.")
    spec = Agent(
        id="solo",
        model=own,
        tools=[look_up],
        instructions="Look it up.",
        output_model=other,
        output_model_prompt="Be kind.",
    )
    harness = LoopHarness(spec, "weather?")
    output = await harness.drive()
    assert output.content == "Take an umbrella."
    assert "Be kind." in text(other)
    assert "weather?" in text(other)
    assert "rain" in text(other)
    assert "Look it up." not in text(other)
    assert "it rains" not in text(other)
    texts = [(event.kind, event.data.get("text")) for event in harness.events if event.data.get("text")]
    assert texts == [(EventKind.INTERMEDIATE_CONTENT, "it rains"), (EventKind.CONTENT, "Take an umbrella.")]
    assert [path for what, path in harness.steps.log if what == "model"] == ["t0/m", "t1/m", "output/m"]
    assert json.loads(harness.loop.progress.messages[-1])["parts"][0]["content"] == "Take an umbrella."


async def test_an_output_model_gives_the_answer_its_form() -> None:
    own = TurnModel("Paris has 2")
    output = await LoopHarness(Agent(id="solo", model=own, output_schema=City, output_model=TurnModel(FINAL))).drive()
    assert (output.content, output.content_type) == (PARIS, "City")
    assert not own.offered[0].output_tools


async def test_a_routed_answer_is_worded_too() -> None:
    member = Agent(id="one", model=TurnModel("as the member says"))
    spec: Any = {"id": "team", "model": TurnModel(ROUTED), "members": [member], "mode": "route"}
    harness = LoopHarness(Team(**spec, output_model=TurnModel("as the team says")))
    output = await harness.drive()
    assert output.content == "as the team says"
    own = [event.data["text"] for event in harness.events if event.kind is EventKind.CONTENT and event.run_id == "root"]
    assert own == ["as the team says"]


async def test_the_form_may_stand_in_the_prompt() -> None:
    own = TurnModel('```json\n{"name": "Paris", "people": 2}\n```')
    output = await LoopHarness(Agent(id="solo", model=own, output_schema=City, use_json_mode=True)).drive()
    assert output.content == PARIS
    parameters = own.offered[0].model_request_parameters
    assert (parameters.output_mode, parameters.output_tools) == ("prompted", [])
    assert parameters.output_object is not None
    assert '"people"' in (own.offered[0].instructions or "")


async def test_a_model_beside_the_turns_gets_the_media_that_it_reads() -> None:
    image, address = (
        BinaryContent(b"x", media_type="image/png", identifier="i"),
        ImageUrl("https://media.invalid/a.png"),
    )
    blind = TurnModel("worded")
    blind._profile = ModelProfile(supports_image_input=False)
    thinker = TurnModel(
        Call("final_result", {"reasoning_steps": [{"title": "a", "reasoning": "b", "next_action": "final_answer"}]})
    )
    spec = Agent(id="solo", model=TurnModel("so"), output_model=blind, reasoning_model=thinker)
    prompt: Any = ["look", image, address]
    await LoopHarness(spec, prompt).drive()
    assert "you cannot read images" in text(blind)
    assert "image/png" in text(thinker)
    for model in (blind, thinker):
        items = [item for message in model.seen[0] for part in message.parts for item in getattr(part, "content", ())]
        assert not any(isinstance(item, ImageUrl) for item in items), "this machine would fetch it"
