"""Replays of exported runs: what today's code does in place of what was recorded."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from musterd import (
    Agent,
    Budget,
    CompressionManager,
    Parallel,
    Settings,
    Step,
    StepInput,
    StepOutput,
    Team,
    Workflow,
    tool,
)
from musterd.testing import (
    AsyncTestClient,
    Call,
    ReplayDiffers,
    ReplayImpossible,
    TestClient,
    TestRun,
    Turn,
    delegate,
    replay,
    replay_async,
)

MODEL = "openai:gpt-5"
"""Whose key no test has."""
CALLED: list[str] = []


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    """Forget which tools were called."""
    CALLED.clear()


@tool
def get_weather(city: str) -> str:
    """Current weather in a city."""
    CALLED.append(city)
    return f"Sunny in {city}"


def weather_desk(
    instructions: str | None = None, member: dict[str, Any] | None = None, tools: Any = (get_weather,), **options: Any
) -> Team:
    """A team with a weather agent."""
    weather = Agent(id="weather", role="Knows the weather", tools=list(tools), **(member or {}))
    return Team(id="desk", members=[weather], model=MODEL, instructions=instructions, **options)


WEATHER = {
    "desk": [delegate("weather", "Oslo?"), "It is sunny."],
    "weather": [Call("get_weather", city="Oslo"), "Sunny in Oslo."],
}


def recorded(component: Any, script: Any, message: str = "How is the weather?", **options: Any) -> TestRun:
    """A run."""
    with TestClient(component, script=script) as client:
        return client.run(component, message, **options)


def difference(run: TestRun, component: Any) -> Any:
    """The first difference."""
    with pytest.raises(ReplayDiffers) as raised:
        replay(run.export, component)
    return raised.value.difference


def test_a_run_is_replayed_without_a_model_and_without_tools() -> None:
    run = recorded(weather_desk(), WEATHER)
    CALLED.clear()
    result = replay(run.export, weather_desk())
    assert (result.steps, result.notes) == (len(run.steps), ())
    assert CALLED == []


@pytest.mark.parametrize(
    ("changed", "path", "aspect", "lines"),
    [
        (weather_desk("Be kind."), "p", "instructions", ["+Be kind."]),
        (weather_desk(member={"instructions": "Be brief."}), "t0/c0/p", "instructions", ["+Be brief."]),
        (weather_desk(tools=[]), "p", "members", ["-  Tools: get_weather"]),
        (weather_desk(session_state={"a": 1}), "p", "state", ['+  "a": 1']),
        (weather_desk(additional_input=["Hi"]), "t0/m", "messages", ["+Hi"]),
        (weather_desk(pre_hooks=[lambda run_input: None]), "pre0", "additional", []),
        (weather_desk(member={"post_hooks": [lambda run_output: None]}), "t0/c0/post0", "additional", []),
    ],
    ids=["leader", "member", "members-tools", "state", "examples", "hook", "members-hook"],
)
def test_the_first_step_that_differs(changed: Team, path: str, aspect: str, lines: list[str]) -> None:
    first = difference(recorded(weather_desk(), WEATHER), changed)
    assert (first.path, first.aspect) == (path, aspect)
    assert set(lines) <= set(first.diff.splitlines())


def test_a_difference_is_readable() -> None:
    run = recorded(weather_desk("Be kind.", member={"instructions": "Be brief."}), WEATHER)
    first = difference(run, weather_desk("Be kind.", member={"instructions": "Be long."}))
    assert str(first) == (
        "the preparation of weather (step t0/c0/p): the instructions differ.\n"
        "--- recorded\n"
        "+++ today\n"
        "@@ -4,4 +4,4 @@\n"
        " \n"
        " <instructions>\n"
        "-Be brief.\n"
        "+Be long.\n"
        " </instructions>"
    )


def test_tools_that_the_model_is_offered() -> None:
    @tool(name="get_weather")
    def by_place(place: str) -> str:
        """Current weather in a place."""
        return place

    @tool
    def get_time() -> str:
        """The time."""
        return "noon"

    agent = Agent(id="solo", model=MODEL, tools=[get_weather])
    run = recorded(agent, {"solo": [Call("get_weather", city="Oslo"), "Sunny."]})
    first = difference(run, Agent(id="solo", model=MODEL, tools=[by_place, get_time]))
    assert (first.path, first.aspect) == ("p", "tools")
    assert first.summary == (
        "the tools that the model is offered differ: added get_time; changed parameters of get_weather; "
        "changed description of get_weather."
    )


def city_tool(description: str = "Current weather in a city.", about: str = "The city.", **options: Any) -> Any:
    """A tool as its file declares it today."""

    @tool(name="get_weather", description=description, **options)
    def get_weather_of(city: Annotated[str, Field(description=about)]) -> str:
        return f"Sunny in {city}"

    return get_weather_of


@pytest.mark.parametrize(
    ("changed", "aspect", "summary", "lines"),
    [
        (
            {"tools": [city_tool("Weather.")]},
            "tools",
            "the tools that the model is offered differ: changed description of get_weather.",
            ['-    "description": "Current weather in a city."', '+    "description": "Weather."'],
        ),
        (
            {"tools": [city_tool(about="A town.")]},
            "tools",
            "the tools that the model is offered differ: changed parameters of get_weather.",
            ['-          "description": "The city.",', '+          "description": "A town.",'],
        ),
        (
            {"tool_choice": "required"},
            "options",
            "tool_choice differs.",
            ["+required"],
        ),
        (
            {"output_schema": {"title": "Sky", "type": "object"}, "tools": [city_tool("Weather.")]},
            "tools",
            "the tools that the model is offered differ: changed description of get_weather; output_schema differs.",
            ['+  "title": "Sky",'],
        ),
    ],
    ids=["description", "parameters", "tool-choice", "several"],
)
def test_what_a_model_call_is_sent(changed: dict[str, Any], aspect: str, summary: str, lines: list[str]) -> None:
    run = recorded(weather_desk(tools=[city_tool()]), WEATHER)
    tools = changed.pop("tools", [city_tool()])
    first = difference(run, weather_desk(tools=tools, member=changed))
    assert (first.path, first.aspect, first.summary) == ("t0/c0/p", aspect, summary)
    assert set(lines) <= set(first.diff.splitlines())


def test_changes_of_members_are_named() -> None:
    def team(*members: Agent) -> Team:
        return Team(id="desk", model=MODEL, members=list(members))

    weather, news = Agent(id="weather", tools=[get_weather]), Agent(id="news", role="Knows the news")
    run = recorded(team(weather, news), {"desk": ["Hello."]})
    changed = Agent(id="weather", role="Knows the weather")
    first = difference(run, team(changed, Agent(id="sport")))
    assert (first.path, first.aspect, first.summary) == (
        "p",
        "members",
        "the members in the system message differ: tools and role of weather, news is removed, sport is added.",
    )


def test_members_with_unchanged_requests_do_not_differ() -> None:
    def team(**options: Any) -> Team:
        return Team(id="desk", model=MODEL, members=[Agent(id="weather", tools=[city_tool(**options)])])

    run = recorded(team(), {"desk": ["Hello."]})
    result = replay(run.export, team(description="Weather.", requires_confirmation=True))
    assert (result.steps, result.notes) == (len(run.steps), ())


def without_declared(export: Any) -> Any:
    """An export of a run that began in an older version of musterd."""
    for step in export["steps"]:
        (step["recorded"] or {}).pop("declared", None)
    return export


def test_an_older_export_has_only_digests() -> None:
    run = recorded(weather_desk(tools=[city_tool()]), WEATHER)
    export = without_declared(run.export)
    assert replay(export, weather_desk(tools=[city_tool()])).notes == ()
    notes = replay(export, weather_desk(tools=[city_tool("Weather.")])).notes
    assert any(note.startswith("weather is declared differently today.") for note in notes)
    with pytest.raises(ReplayDiffers, match="changed parameters of get_weather"):
        replay(export, weather_desk(tools=[city_tool(about="A town.")]))


def test_a_step_that_is_not_made_any_more() -> None:
    run = recorded(weather_desk(post_hooks=[lambda run_output: None]), WEATHER)
    first = difference(run, weather_desk())
    assert (first.path, first.aspect) == ("post0", "missing")


def test_an_answer_that_is_made_otherwise() -> None:
    def solo(**options: Any) -> Agent:
        return Agent(id="solo", model=MODEL, tools=[tool(get_weather.function, **options)])

    run = recorded(solo(), {"solo": [Call("get_weather", city="Oslo"), "Lovely."]})
    first = difference(run, solo(show_result=True))
    assert (first.path, first.aspect) == ("", "answer")
    assert "+Sunny in Oslo" in first.diff


def test_the_declared_model_does_not_matter_but_is_noted() -> None:
    run = recorded(Agent(id="solo", model=MODEL), {"solo": ["Hello."]})
    result = replay(run.export, Agent(id="solo", model="anthropic:claude-sonnet-4-5"))
    assert "solo called the model gpt-5, and calls claude-sonnet-4-5 today." in result.notes


def test_time_and_place_do_not_matter() -> None:
    agent = Agent(id="solo", model=MODEL, add_datetime_to_context=True, add_location_to_context=True)
    with TestClient(agent, script={"solo": ["Hello."]}, settings={"location": "Oslo"}) as client:
        run = client.run(agent, "hello")
        assert "Oslo" in client.requests[0].instructions
    assert replay(run.export, agent, settings=Settings(location="Rome")).steps == len(run.steps)


def test_the_history_of_the_session_is_in_the_export() -> None:
    def team(instructions: str = "") -> Team:
        member = Agent(id="writer", add_history_to_context=True)
        options: dict[str, Any] = {"add_history_to_context": True, "add_team_history_to_members": True}
        return Team(id="desk", members=[member], model=MODEL, instructions=instructions, **options)

    with TestClient(team(), script={"desk": lambda request: _answered(request)}) as client:
        client.run("desk", "one", session_id="s1")
        run = client.run("desk", "two", session_id="s1")
        assert "one" in str(client.requests[-1].messages)
    assert replay(run.export, team()).steps == len(run.steps)
    assert difference(run, team("Be kind.")).path == "p"


@pytest.mark.parametrize(
    ("options", "shows_two"), [({"add_history_to_context": False}, False), ({"num_history_runs": 1}, True)]
)
def test_less_history_of_the_session(options: dict[str, Any], shows_two: bool) -> None:
    first = difference(_with_history(), _remembering(**options))
    assert (first.path, first.aspect) == ("t0/m", "messages")
    lines = [line for line in first.diff.splitlines() if line[1:] in ("one", "two", "three")]
    assert lines == ["-one", *([" two"] if shows_two else []), "+three"]


def test_more_history_than_the_recording_has() -> None:
    run = _with_history()
    assert replay(run.export, _remembering()).notes == ()
    notes = replay(run.export, _remembering(num_history_runs=5)).notes
    assert "solo is shown up to 5 earlier runs today, but the recording has only 2." in notes


def test_less_history_of_a_member() -> None:
    def team(**options: Any) -> Team:
        return Team(id="desk", members=[Agent(id="writer", **options)], model=MODEL)

    with TestClient(team(add_history_to_context=True), script={"desk": lambda request: _answered(request)}) as client:
        for message in ("one", "two"):
            client.run("desk", message, session_id="s1")
        run = client.run("desk", "three", session_id="s1")
    first = difference(run, team(add_history_to_context=True, num_history_runs=1))
    assert (first.path, first.aspect) == ("t0/c0/t0/m", "messages")


def _remembering(**options: Any) -> Agent:
    """An agent that is shown earlier runs of the session."""
    return Agent(id="solo", model=MODEL, **{"add_history_to_context": True, "num_history_runs": 2, **options})


def _with_history() -> TestRun:
    """A run that was shown the two runs before it."""
    with TestClient(_remembering(), script={"solo": ["One.", "Two.", "Three."]}) as client:
        for message in ("one", "two"):
            client.run("solo", message, session_id="s1")
        return client.run("solo", "three", session_id="s1")


def test_the_summary_is_the_one_that_the_run_began_with() -> None:
    agent = Agent(id="solo", model=MODEL, enable_session_summaries=True, add_session_summary_to_context=True)
    script = {"solo": ["One.", "Two."], "solo/session_summary_model": ["They count.", "They have counted."]}
    with TestClient(agent, script=script) as client:
        client.run(agent, "1", session_id="s1")
        run = client.run(agent, "2", session_id="s1")
        assert "They count." in client.requests[2].instructions
    assert replay(run.export, agent).steps == len(run.steps)


def _answered(request: Any) -> Any:
    is_done = request.messages[-1]["role"] == "tool"
    return "Done." if is_done else delegate("writer", request.message)


def test_compressed_results_are_in_full_in_the_recording() -> None:
    @tool
    def look() -> str:
        """Look."""
        return "long " * 200

    agent = Agent(
        id="solo", model=MODEL, tools=[look], compression_manager=CompressionManager(compress_tool_results_limit=1)
    )
    script = {"solo": [Call("look"), Call("look"), "Done."], "solo/compression_model": ["one", "two"]}
    with TestClient(agent, script=script) as client:
        run = client.run(agent, "hello")
        assert "one" in str(client.requests[-1].messages)
    assert replay(run.export, agent).steps == len(run.steps)


def test_a_summary_for_which_a_budget_has_no_room_is_not_missed() -> None:
    agent = Agent(id="solo", model=MODEL, enable_session_summaries=True, budget=Budget(tokens=1000))
    with TestClient(agent, script={"solo": [Turn(text="Hello.", input_tokens=990)]}) as client:
        run = client.run(agent, "hello")
    assert (run.status, run.model_calls) == ("COMPLETED", 1)
    assert replay(run.export, agent).steps == len(run.steps)


# --- what is left out ----------------------------------------------------------------------------------


async def pass_on(function_call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """A hook around tool calls."""
    CALLED.append("hook")
    return await function_call(**arguments)


def test_members_behind_hooks_are_left_out() -> None:
    run = recorded(weather_desk(tool_hooks=[pass_on]), WEATHER)
    assert "hook" in CALLED
    CALLED.clear()
    result = replay(run.export, weather_desk(tool_hooks=[pass_on], member={"instructions": "Be long."}))
    assert "delegate_task_to_member at t0/c0 has hooks around it, so its members were not compared." in result.notes
    assert result.steps < len(run.steps)
    assert CALLED == []


def test_functions_of_the_declaration_are_not_called() -> None:
    def instructions() -> str:
        CALLED.append("instructions")
        return f"You were asked {len(CALLED)} times."

    agent = Agent(id="solo", model=MODEL, instructions=instructions)
    run = recorded(agent, {"solo": ["Hello."]})
    result = replay(run.export, agent)
    assert result.notes == (
        "Functions in the declaration of solo were not called; their results are the recorded ones.",
    )
    assert CALLED == ["instructions"]


def test_what_was_remembered_is_recorded() -> None:
    def solo(instructions: str = "") -> Agent:
        return Agent(id="solo", model=MODEL, update_memory_on_run=True, instructions=instructions)

    script = {"solo": ["Hello Ada.", "Hello again."]}
    with TestClient(solo(), script=script) as client:
        client.run("solo", "I am Ada.", user_id="ada", session_id="s1")
        run = client.run("solo", "I like tea.", user_id="ada", session_id="s2")
        assert "I am Ada" in client.requests[-2].instructions + client.requests[-1].instructions
    result = replay(run.export, solo())
    assert result.notes == ("Memories of solo are the recorded ones; its memory manager was not compared.",)
    first = difference(run, solo("Be kind."))
    changed = [line for line in first.diff.splitlines() if line.startswith(("+", "-"))]
    assert "+Be kind." in changed
    assert not [line for line in changed if "Ada" in line]


def test_memories_that_only_todays_code_reads() -> None:
    def solo(**options: Any) -> Agent:
        return Agent(id="solo", model=MODEL, **options)

    script = {"solo": ["Hello."]}
    first = difference(recorded(solo(), script, user_id="ada"), solo(update_memory_on_run=True))
    assert (first.path, first.aspect) == ("p/memories", "additional")
    run = recorded(solo(), script)
    assert replay(run.export, solo(update_memory_on_run=True)).steps == len(run.steps)


# --- decisions ----------------------------------------------------------------------------------------


def shop(**options: Any) -> Agent:
    """An agent whose tool waits for a person."""

    @tool(**options)
    def pay(amount: int) -> str:
        """Pay."""
        CALLED.append(str(amount))
        return f"paid {amount}"

    return Agent(id="shop", model=MODEL, tools=[pay])


PAY = {"shop": [Call("pay", amount=1), "Done."]}


@pytest.mark.parametrize(
    "decide",
    [
        lambda question: question.approve(),
        lambda question: question.approve({"amount": 2}),
        lambda question: question.reject("no"),
    ],
    ids=["approved", "changed", "rejected"],
)
def test_a_decision_is_part_of_the_recording(decide: Callable[[Any], Any]) -> None:
    agent = shop(requires_confirmation=True)
    with TestClient(agent, script=PAY) as client:
        paused = client.run(agent, "pay")
        done = client.decide(paused, decide(paused.requirements[0]))
    CALLED.clear()
    assert replay(done.export, agent).steps == len(done.steps)
    result = replay(paused.export, agent)
    assert result.notes == ("The recorded run had the status PAUSED; it was compared up to that point.",)
    assert CALLED == []


def test_a_call_that_waits_for_a_person_today() -> None:
    run = recorded(shop(), PAY, "pay")
    first = difference(run, shop(requires_confirmation=True))
    assert (first.path, first.aspect) == ("t0/c0", "approval")


@pytest.mark.parametrize("is_older", [False, True], ids=["new", "older"])
def test_a_call_about_which_no_person_is_asked_today(is_older: bool) -> None:
    agent = shop(requires_confirmation=True)
    with TestClient(agent, script=PAY) as client:
        paused = client.run(agent, "pay")
        done = client.decide(paused, paused.requirements[0].approve())
    export = without_declared(done.export) if is_older else done.export
    with pytest.raises(ReplayDiffers) as raised:
        replay(export, shop())
    first = raised.value.difference
    assert (first.path, first.aspect) == ("t0/c0", "approval")
    assert first.summary == (
        "a person is asked differently about the call of the tool pay: requires_confirmation was True and is not set "
        "today."
    )


def test_other_options_of_a_question() -> None:
    agent = shop(requires_confirmation=True, approval="audit")
    with TestClient(agent, script=PAY) as client:
        paused = client.run(agent, "pay")
    first = difference(paused, shop(requires_confirmation=True, approval="required"))
    assert first.summary.endswith("approval was 'audit' and is 'required' today.")


# --- ends ---------------------------------------------------------------------------------------------


def test_a_run_that_failed_is_compared_up_to_its_failure() -> None:
    run = recorded(weather_desk(), {**WEATHER, "weather": [Turn(error_status=400)]})
    assert run.status == "COMPLETED"
    assert replay(run.export, weather_desk()).steps == len(run.steps)
    run = recorded(weather_desk(), {**WEATHER, "desk": [delegate("weather", "Oslo?"), Turn(error_status=400)]})
    result = replay(run.export, weather_desk())
    assert result.notes == ("The recorded run had the status ERROR (model_error); it was compared up to that point.",)
    assert difference(run, weather_desk(member={"instructions": "Be brief."})).path == "t0/c0/p"


def test_a_run_that_fails_today() -> None:
    run = recorded(weather_desk(), WEATHER)
    first = difference(run, weather_desk(max_turns=1))
    assert (first.path, first.aspect) == ("", "failure")
    problem = "The limit of 1 model calls was reached before the answer. Raise max_turns or MUSTERD_MAX_TURNS."
    assert first.summary == f"it fails today: {problem}"


@pytest.mark.parametrize(
    ("changed", "path", "aspect"),
    [
        (weather_desk(pre_hooks=[lambda run_input: None]), "pre0", "additional"),
        (weather_desk(max_turns=1), "t1/m", "missing"),
    ],
    ids=["hook", "limit"],
)
def test_a_run_that_failed_does_not_reach_its_failure_today(changed: Team, path: str, aspect: str) -> None:
    script = {"desk": [delegate("weather", "Oslo?"), Call("x"), Turn(error_status=400)], "weather": WEATHER["weather"]}
    run = recorded(weather_desk(), script)
    assert run.status == "ERROR"
    first = difference(run, changed)
    assert (first.path, first.aspect) == (path, aspect)


def test_a_member_that_failed_has_a_hook_today() -> None:
    run = recorded(weather_desk(), {**WEATHER, "weather": [Turn(error_status=400)]})
    assert run.status == "COMPLETED"
    first = difference(run, weather_desk(member={"pre_hooks": [lambda run_input: None]}))
    assert (first.path, first.component_id, first.aspect) == ("t0/c0/pre0", "weather", "additional")


def test_a_run_that_waits_for_a_person_has_other_hooks_today() -> None:
    def team(hooks: Any = (), members_hooks: Any = ()) -> Team:
        weather = Agent(id="weather", role="Knows the weather", post_hooks=list(members_hooks))
        return Team(
            id="desk",
            members=[weather],
            model=MODEL,
            tools=shop(requires_confirmation=True).tools,
            pre_hooks=list(hooks),
        )

    script = {"desk": [delegate("weather", "Oslo?"), Call("pay", amount=1), "Done."], "weather": ["Sunny."]}
    hooks = [lambda **context: None]
    run = recorded(team(members_hooks=hooks), script)
    assert run.status == "PAUSED"
    assert replay(run.export, team(members_hooks=hooks)).steps == len(run.steps)
    first = difference(run, team(members_hooks=hooks, hooks=hooks))
    assert (first.path, first.aspect) == ("pre0", "additional")
    first = difference(run, team())
    assert (first.path, first.aspect) == ("t0/c0/post0", "missing")


def test_a_memory_manager_that_the_end_of_the_run_stopped_is_not_missed() -> None:
    agent = Agent(id="solo", model=MODEL, tools=shop(requires_confirmation=True).tools, update_memory_on_run=True)
    with TestClient(agent, script={"solo": [Call("pay", amount=1)], "solo/memory_model": ["Nothing."]}) as client:
        run = client.run(agent, "I am Ada.", user_id="ada")
    assert run.status == "PAUSED"
    assert replay(run.export, agent).notes == (
        "The recorded run had the status PAUSED; it was compared up to that point.",
    )


async def test_a_member_that_was_cancelled() -> None:
    begun = asyncio.Event()

    @tool
    async def wait_long() -> str:
        """Wait."""
        begun.set()
        await asyncio.Event().wait()
        return ""

    def team(instructions: str = "") -> Team:
        member = Agent(id="waiter", tools=[wait_long], instructions=instructions)
        return Team(id="desk", members=[member], model=MODEL)

    script = {"desk": [delegate("waiter", "wait"), "It was cancelled."], "waiter": [Call("wait_long")]}
    async with AsyncTestClient(team(), script=script) as client:
        started = await client.api.start("desk", "wait")
        await begun.wait()
        (member,) = (await client.api.runs.get(started)).raw["members"]
        await client.api.cancel(member["run_id"])
        run = await client.wait(started)
    assert run.content == "It was cancelled."
    assert (await replay_async(run.export, team())).steps == len(run.steps)
    with pytest.raises(ReplayDiffers, match="the preparation of waiter"):
        await replay_async(run.export, team("Be quick."))


def test_a_fork_has_the_steps_that_it_took_over() -> None:
    with TestClient(weather_desk(), script={**WEATHER, "desk": [*WEATHER["desk"], "Again."]}) as client:
        first = client.run("desk", "How is the weather?")
        fork = client.wait(client.api.fork(first, "t1/m"))
    assert fork.content == "Again."
    assert replay(fork.export, weather_desk()).steps == len(fork.steps)
    assert difference(fork, weather_desk("Be kind.")).path == "p"


# --- workflows ----------------------------------------------------------------------------------------


def article(sign_name: str = "sign", instructions: str = "", **writer: Any) -> Workflow:
    """A workflow of an agent and a function with a long result."""

    def sign(step_input: StepInput) -> StepOutput:
        CALLED.append("sign")
        return StepOutput(content=f"{step_input.previous_step_content} " + "long " * 20_000)

    draft = Agent(id="writer", model=MODEL, instructions=instructions, **writer)
    checks = [Step(name="check", agent=Agent(id="checker", model=MODEL)), Step(name="same", executor=sign)]
    return Workflow(
        id="article",
        steps=[Step(name="draft", agent=draft), Step(name=sign_name, executor=sign), Parallel(*checks, name="both")],
    )


ARTICLE = {"writer": ["Kettles whistle."], "checker": ["Fine."]}


def test_a_workflow_is_replayed_with_large_results() -> None:
    run = recorded(article(), ARTICLE, "kettles")
    assert run.status == "COMPLETED"
    CALLED.clear()
    assert replay(run.export, article()).steps == len(run.steps)
    assert CALLED == []


def test_a_step_of_a_workflow_that_differs() -> None:
    run = recorded(article(), ARTICLE, "kettles")
    assert difference(run, article("seal")).aspect == "plan"
    first = difference(run, article(instructions="Be brief."))
    assert (first.path, first.component_id, first.aspect) == ("s0/p", "writer", "instructions")


# --- files and messages -------------------------------------------------------------------------------


def test_files_are_in_the_export(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("Buy milk.")
    agent = Agent(id="solo", model=MODEL)
    with TestClient(agent, script={"solo": ["Milk."]}) as client:
        run = client.run(agent, "What do I buy?", files=[notes])
        assert "Buy milk." in client.requests[0].message
    assert replay(run.export, agent).steps == len(run.steps)


def test_files_that_are_gone_make_a_replay_impossible(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("Buy milk.")
    agent = Agent(id="solo", model=MODEL, store_media=False)
    with TestClient(agent, script={"solo": ["Milk."]}) as client:
        run = client.run(agent, "What do I buy?", files=[notes])
    with pytest.raises(ReplayImpossible, match=r"content of notes\.txt was no longer stored"):
        replay(run.export, agent)


async def test_messages_to_a_running_run_are_replayed() -> None:
    begun, goes_on = asyncio.Event(), asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        begun.set()
        await goes_on.wait()
        return "waited"

    agent = Agent(id="solo", model=MODEL, tools=[wait])
    async with AsyncTestClient(agent, script={"solo": [Call("wait"), "Done."]}) as client:
        started = await client.api.start("solo", "hello", kind="agent")
        await begun.wait()
        await client.api.steer(started, "Be brief.")
        goes_on.set()
        run = await client.wait(started)
        assert client.requests[-1].message == "Be brief."
    assert (await replay_async(run.export, agent)).steps == len(run.steps)


# --- what is no recording -----------------------------------------------------------------------------


def test_exports_as_files_bytes_and_objects(tmp_path: Path) -> None:
    run = recorded(weather_desk(), WEATHER)
    path = tmp_path / "run.json"
    run.save(path)
    sources: list[Any] = [path, str(path), path.read_bytes(), run.export]
    assert [replay(source, weather_desk()).steps for source in sources] == [len(run.steps)] * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda export: {"format": 1}, "This is not an export of a run"),
        (lambda export: {**export, "format": 2}, "The export has format 2, but this musterd reads only up to 1."),
        (lambda export: {name: export[name] for name in export if name != "replay"}, "A musterd without replays"),
    ],
    ids=["other", "newer", "older"],
)
def test_what_cannot_be_replayed(change: Callable[[Any], Any], message: str) -> None:
    run = recorded(weather_desk(), WEATHER)
    with pytest.raises(ReplayImpossible, match=message):
        replay(json.dumps(change(run.export)).encode(), weather_desk())


def test_another_team_is_named() -> None:
    run = recorded(weather_desk(), WEATHER)
    with pytest.raises(ReplayImpossible, match="The run is one of the team desk, but only shop is declared"):
        replay(run.export, shop())
    with pytest.raises(ReplayImpossible, match="but only news, sport are declared"):
        replay(run.export, Agent(id="news", model=MODEL), Agent(id="sport", model=MODEL))
