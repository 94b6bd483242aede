"""What a run's model is told: the options of the prompt, names in texts, functions of the declaration."""

from typing import Any

import pytest
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)

from musterd import Agent, RunContext, Team, ToolContext, tool
from musterd.core import clock
from musterd.core.errors import RunFailed
from musterd.declare import Registry
from musterd.loop.context import without_surroundings
from musterd.loop.conversation import earlier_messages
from musterd.loop.prompts import system_prompt
from tests.support.loop import Call, LoopHarness, TurnModel

SAYS = "Talk to {name} about {topic} and {nobody}."


def said(messages: list[ModelMessage]) -> list[tuple[str, str]]:
    """Who says what."""
    parts = []
    for part in (part for message in messages for part in message.parts):
        if isinstance(part, SystemPromptPart | UserPromptPart | TextPart):
            roles: dict[type, str] = {SystemPromptPart: "system", UserPromptPart: "user", TextPart: "assistant"}
            parts.append((roles[type(part)], str(part.content)))
    return parts


async def system_message(spec: Agent | Team, **options: Any) -> str:
    """The system message of one run; empty when there is none."""
    model = spec.model
    assert isinstance(model, TurnModel)
    await LoopHarness(spec, **options).drive()
    (messages,) = model.seen
    return next((text for role, text in said(messages) if role == "system"), "")


def agent(**options: Any) -> Agent:
    return Agent(id="solo", name="Solo", model=TurnModel("an answer"), **options)


# Texts of the declaration


async def test_the_options_of_the_prompt_stand_behind_the_instructions() -> None:
    spec = agent(
        description="You are Solo.",
        instructions=["Be short.", "Be kind."],
        markdown=True,
        add_name_to_context=True,
        expected_output="One line.\n",
        additional_context="It rains.",
    )
    assert await system_message(spec) == (
        "You are Solo.\n\n"
        "<instructions>\n- Be short.\n- Be kind.\n</instructions>\n\n"
        "<additional_information>\n- Use Markdown to format your answers.\n- Your name is Solo.\n"
        "</additional_information>\n\n"
        "<expected_output>\nOne line.\n</expected_output>\n\n"
        "<additional_context>\nIt rains.\n</additional_context>"
    )


async def test_instructions_without_tags() -> None:
    assert await system_message(agent(instructions=["Be short.", "Be kind."], use_instruction_tags=False)) == (
        "- Be short.\n- Be kind."
    )


async def test_markdown_is_not_asked_of_an_answer_that_has_a_form() -> None:
    spec = Agent(id="solo", model=TurnModel("{}"), markdown=True, output_schema={"type": "object"})
    assert await system_message(spec) == ""


async def test_a_system_message_replaces_all_else() -> None:
    spec = Team(
        id="t",
        model=TurnModel("an answer"),
        members=[Agent(id="a")],
        system_message="Only {this}.",
        instructions="Not this.",
        expected_output="Nor this.",
        add_datetime_to_context=True,
    )
    assert await system_message(spec, dependencies={"this": "that"}) == "Only that."


def test_what_does_not_change_is_one_text_for_all_runs() -> None:
    spec = agent(instructions="Be short.", markdown=True)
    component = Registry.of(agents=[spec]).agents["solo"]
    assert system_prompt(component) is system_prompt(component)


# Names in texts


async def test_names_are_filled_from_state_dependencies_metadata_and_the_user() -> None:
    spec = agent(instructions=SAYS + " {user_id} {list} {level}", metadata={"level": 3})
    text = await system_message(
        spec, state={"name": "Ada"}, dependencies={"topic": "{name}", "name": "no", "list": ["é"]}
    )
    assert 'Talk to Ada about {name} and {nobody}. somebody ["é"] 3' in text


async def test_names_stay_where_they_are_not_to_be_filled() -> None:
    text = await system_message(agent(instructions=SAYS, resolve_in_context=False), state={"name": "Ada"})
    assert "{name}" in text


async def test_the_users_message_stays_verbatim() -> None:
    spec = agent(instructions="Hello {name}")
    assert isinstance(spec.model, TurnModel)
    await LoopHarness(spec, "What is {name}?", state={"name": "Ada"}).drive()
    assert said(spec.model.seen[0])[-1] == ("user", "What is {name}?")


async def test_a_member_fills_its_own_texts_from_the_shared_state() -> None:
    model = TurnModel([Call("delegate_task_to_member", {"member_id": "a", "task": "x"})], "member's", "leader's")
    team = Team(id="t", model=model, members=[Agent(id="a", instructions="For {name}.")])
    await LoopHarness(team, state={"name": "Ada"}).drive()
    assert "For Ada." in said(model.seen[1])[0][1]


# What is the run's own


async def test_time_place_dependencies_and_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: 1_764_100_000.0)
    spec = agent(
        add_datetime_to_context=True,
        timezone_identifier="Europe/Berlin",
        add_location_to_context=True,
        add_dependencies_to_context=True,
        add_session_state_to_context=True,
        dependencies={"limit": 3},
    )
    text = await system_message(spec, state={"name": "Ada"}, settings={"location": "Lisbon, Portugal"})
    assert text == (
        "The current time is Tuesday, 2025-11-25 20:46:40 CET (Europe/Berlin).\n\n"
        "The user's approximate location is Lisbon, Portugal.\n\n"
        '<dependencies>\n{\n  "limit": 3\n}\n</dependencies>\n\n'
        '<session_state>\n{\n  "name": "Ada"\n}\n</session_state>'
    )
    assert (
        await system_message(agent(add_datetime_to_context=True))
        == "The current time is Tuesday, 2025-11-25 19:46:40 UTC."
    )


@pytest.mark.parametrize("instructions", [None, "The current time is important."])
async def test_a_replay_ignores_time_and_place(instructions: str | None) -> None:
    options: dict[str, Any] = {"instructions": instructions, "add_session_state_to_context": True}
    here = agent(add_datetime_to_context=True, add_location_to_context=True, **options)
    text = await system_message(here, state={"a": 1}, settings={"location": "Lisbon, Portugal"})
    assert "Lisbon" in text
    assert without_surroundings(text) == await system_message(agent(**options), state={"a": 1})


async def test_without_a_place_nothing_is_said_of_it() -> None:
    assert await system_message(agent(add_location_to_context=True)) == ""


# Functions


async def test_instructions_from_a_function() -> None:
    async def instructions(run_context: RunContext, session_state: dict[str, Any], agent: Agent) -> list[str]:
        session_state["visits"] = session_state.get("visits", 0) + 1
        return [f"Serve {run_context.user_id} as {agent.name}.", "Visit {visits}."]

    harness = LoopHarness(agent(instructions=instructions), state={"visits": 1})
    await harness.drive()
    model = harness.run.component.spec.model
    assert isinstance(model, TurnModel)
    assert said(model.seen[0])[0][1] == ("<instructions>\n- Serve somebody as Solo.\n- Visit 2.\n</instructions>")
    assert harness.run.state == {"visits": 2}
    assert harness.steps.log[:2] == [("prepare", "p/functions"), ("prepare", "p")]


async def test_a_system_message_from_a_plain_function() -> None:
    assert (
        await system_message(
            agent(system_message=lambda dependencies: f"Use {dependencies['tone']}."), dependencies={"tone": "irony"}
        )
        == "Use irony."
    )


async def test_dependencies_from_functions_reach_texts_and_tools() -> None:
    class Client:
        """No JSON value."""

    client, seen = Client(), []

    @tool
    def look(context: ToolContext) -> str:
        """Look."""
        seen.append(context.dependencies)
        return "seen"

    async def weather() -> dict[str, int]:
        return {"degrees": 7}

    spec = Agent(
        id="solo",
        model=TurnModel([Call("look")], "done"),
        tools=[look],
        instructions="It is {weather}.",
        dependencies={"weather": weather, "client": lambda: client, "fixed": 1},
    )
    harness = LoopHarness(spec, dependencies={"asked": True})
    await harness.drive()
    assert seen == [{"weather": {"degrees": 7}, "client": client, "fixed": 1, "asked": True}]
    assert isinstance(spec.model, TurnModel)
    assert 'It is {"degrees": 7}.' in said(spec.model.seen[0])[0][1]
    assert harness.steps.taken["p/functions"]["dependencies"] == {"weather": {"degrees": 7}}, "a client is not stored"


async def test_members_get_what_their_leader_has() -> None:
    seen = []

    @tool
    def look(context: ToolContext) -> str:
        """Look."""
        seen.append((context.dependencies, context.metadata))
        return "seen"

    model = TurnModel([Call("delegate_task_to_member", {"member_id": "a", "task": "x"})], "leader's")
    member = Agent(
        id="a",
        model=TurnModel([Call("look")], "member's"),
        tools=[look],
        instructions="{tone} {own} {level}",
        dependencies={"tone": "harsh", "own": lambda: "mine"},
        metadata={"level": 1},
    )
    team = Team(id="t", model=model, members=[member], dependencies={"tone": lambda: "kind"}, metadata={"level": 2})
    await LoopHarness(team, metadata={"asked": 3}).drive()
    assert seen == [({"tone": "kind", "own": "mine"}, {"level": 2, "asked": 3})]
    assert isinstance(member.model, TurnModel)
    assert "kind mine 2" in said(member.model.seen[0])[0][1]


@pytest.mark.parametrize(
    "options, why",
    [
        ({"instructions": lambda: 1 / 0}, "the function in instructions failed"),
        ({"instructions": lambda: 3}, "the function in instructions returned a int, not a string"),
        ({"dependencies": {"x": lambda: [][0]}}, r"the function in dependencies\['x'\] failed"),
    ],
)
async def test_a_function_that_fails_ends_the_run_in_words(options: dict[str, Any], why: str) -> None:
    with pytest.raises(RunFailed, match=why) as caught:
        await LoopHarness(agent(**options)).drive()
    assert caught.value.code == "context_failed"


async def test_a_members_function_that_fails_is_the_leaders_to_read() -> None:
    model = TurnModel([Call("delegate_task_to_member", {"member_id": "a", "task": "x"})], "leader's")
    team = Team(id="t", model=model, members=[Agent(id="a", instructions=lambda: 1 / 0)])
    output = await LoopHarness(team).drive()
    assert output.content == "leader's"
    assert model.tool_results() == [
        "a failed: Agent 'a' could not start: the function in instructions failed; see the server's log."
    ]


# Messages before the user's


async def test_examples_stand_before_the_question_and_are_no_history() -> None:
    spec = agent(
        instructions="Be short.",
        additional_input=["2+2?", {"role": "assistant", "content": "4"}, ModelRequest(parts=[UserPromptPart("1+1?")])],
    )
    harness = LoopHarness(spec, "3+3?")
    await harness.drive()
    assert isinstance(spec.model, TurnModel)
    assert [text for _, text in said(spec.model.seen[0])][1:] == ["2+2?", "4", "1+1?", "3+3?"]
    stored = "[" + ",".join(harness.loop.progress.messages) + "]"
    assert said(earlier_messages(stored)) == [("user", "3+3?"), ("assistant", "an answer")]


async def test_the_first_run_of_a_session_shows_the_introduction() -> None:
    spec = Agent(id="solo", model=TurnModel("an answer", "another"), introduction="Hello {name}")
    harness = LoopHarness(spec, opens_session=True, state={"name": "Ada"})
    await harness.drive()
    assert isinstance(spec.model, TurnModel)
    assert all(not isinstance(message, ModelResponse) for message in spec.model.seen[0]), "providers want a user first"
    assert "<introduction>\nHello Ada\n</introduction>" in said(spec.model.seen[0])[0][1]
    assert "Hello Ada" in harness.loop.progress.messages[0]
    later = LoopHarness(spec, state={"name": "Ada"})
    await later.drive()
    assert "Hello Ada" not in later.loop.progress.messages[-2].split("<introduction>")[0]
    assert len(later.loop.progress.messages) == 2


async def test_a_member_opens_no_session() -> None:
    model = TurnModel([Call("delegate_task_to_member", {"member_id": "a", "task": "x"})], "member's", "leader's")
    team = Team(id="t", model=model, members=[Agent(id="a", introduction="Hello")])
    await LoopHarness(team, opens_session=True).drive()
    assert said(model.seen[1]) == [("user", "x")]
