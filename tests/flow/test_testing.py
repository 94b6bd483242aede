"""``musterd.testing``: runs with scripted models, as users write tests of their teams."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import musterd
from musterd import Agent, Budget, MemoryManager, Settings, Step, StepInput, StepOutput, Team, Workflow, tool
from musterd.client import NotFound
from musterd.testing import AsyncTestClient, Call, Request, Script, ScriptEnded, TestClient, ToolCall, Turn, delegate

SOURCE = Path(musterd.__file__).parents[1]


@tool
def get_weather(city: str) -> str:
    """Current weather in a city."""
    return f"Sunny in {city}"


@tool(requires_confirmation=True)
def publish(title: str, copies: int = 1) -> str:
    """Publish an article."""
    return f"{copies} copies of {title}"


def desk(**options: Any) -> Team:
    """A team of two, whose model needs an account."""
    weather = Agent(id="weather", role="Knows the weather", tools=[get_weather], instructions="Be brief.")
    writer = Agent(id="writer", role="Writes articles", tools=[publish])
    return Team(id="desk", members=[weather, writer], **{"model": "openai:gpt-5", **options})


WEATHER = {
    "desk": [delegate("weather", "How is the weather in Oslo?"), "It is sunny."],
    "weather": [Call("get_weather", city="Oslo"), "Sunny in Oslo."],
}
ARTICLE = {
    "desk": [delegate("writer", "Publish Rain."), "Done."],
    "writer": [Call("publish", title="Rain"), "Published."],
}


def test_what_a_team_did() -> None:
    team = desk()
    with TestClient(team, script=WEATHER) as client:
        run = client.run(team, "What is the weather in Oslo?")
    assert (run.status, run.content) == ("COMPLETED", "It is sunny.")
    assert run.members == ["weather"]
    assert run.tasks("weather") == ["How is the weather in Oslo?"]
    assert run.calls("get_weather") == [{"city": "Oslo"}]
    assert run.tool_calls[1] == ToolCall(
        component_id="weather",
        name="get_weather",
        arguments={"city": "Oslo"},
        result="Sunny in Oslo",
        is_error=False,
    )
    assert [step["kind"] for step in run.steps].count("model") == run.model_calls == 4


def test_what_the_models_read() -> None:
    with TestClient(desk(), script=WEATHER) as client:
        client.run("desk", "What is the weather in Oslo?")
        first, second, *_ = client.requests
    assert (first.component_id, first.role, first.message) == ("desk", "turn", "What is the weather in Oslo?")
    assert first.tool_names == ["delegate_task_to_member"]
    assert (second.component_id, second.message) == ("weather", "How is the weather in Oslo?")
    assert "Be brief." in second.instructions


def test_tokens_have_the_price_of_the_declared_model() -> None:
    agent = Agent(id="solo", model="openai:gpt-5")
    with TestClient(agent, script={"solo": [Turn(text="Hello.", input_tokens=1_000_000, output_tokens=0)]}) as client:
        run = client.run(agent, "hello")
    assert run.tokens == 1_000_000
    assert run.cost == pytest.approx(1.25)


def test_a_budget_stops_a_run() -> None:
    agent = Agent(id="solo", model="openai:gpt-5", tools=[get_weather], budget=Budget(tokens=1000))
    script = {"solo": [Turn(calls=[Call("get_weather", city="Oslo")], input_tokens=900), "Sunny."]}
    with TestClient(agent, script=script) as client:
        run = client.run(agent, "hello")
    assert run.status == "ERROR"
    assert run.error is not None
    assert run.error.code == "budget_tokens"


@pytest.mark.parametrize(
    ("decide", "result"),
    [
        (lambda question: question.approve(), "1 copies of Rain"),
        (lambda question: question.approve({"copies": 2}), "2 copies of Rain"),
        (lambda question: question.reject("Not today."), "Not today."),
    ],
    ids=["approved", "changed", "rejected"],
)
def test_a_run_waits_for_a_person(decide: Callable[[Any], Any], result: str) -> None:
    with TestClient(desk(), script=ARTICLE) as client:
        run = client.run("desk", "Publish an article")
        (question,) = run.requirements
        assert (run.status, question.name, question.arguments) == ("PAUSED", "publish", {"title": "Rain"})
        run = client.decide(run, decide(question))
    assert run.status == "COMPLETED"
    assert [call.result for call in run.tool_calls if call.name == "publish"] == [result]


def test_a_function_may_say_what_a_model_says() -> None:
    def say(request: Request) -> str:
        return request.message.upper()

    agent = Agent(id="echo", model="openai:gpt-5")
    with TestClient(agent, script={"echo": say}) as client:
        assert [client.run(agent, text).content for text in ("one", "two")] == ["ONE", "TWO"]


def test_without_a_script_a_model_follows_the_scripted_one() -> None:
    with TestClient(desk()) as client:
        run = client.run("desk", "What is the weather in Oslo?")
    assert (run.content, run.calls("get_weather")) == ("Sunny in Oslo", [{"city": "Oslo"}])


def test_a_script_that_is_too_short_fails_the_test() -> None:
    with TestClient(desk(), script={"desk": []}) as client, pytest.raises(ScriptEnded) as raised:
        client.run("desk", "hello")
    assert str(raised.value) == 'The script of "desk" has 0 turns, and the run asks for one more: hello'


def test_an_error_of_the_provider_is_tried_again() -> None:
    agent = Agent(id="solo", model="openai:gpt-5")
    with TestClient(agent, script={"solo": [Turn(error_status=503), "Hello."]}) as client:
        assert client.run(agent, "hello").content == "Hello."


def test_calls_beside_the_turns_have_a_script_of_their_own() -> None:
    agent = Agent(
        id="solo", model="openai:gpt-5", update_memory_on_run=True, memory_manager=MemoryManager(model="openai:gpt-5")
    )
    script = {"solo": ["Hello Ada."], "solo/memory_model": [Call("add_memory", memory="The user is Ada."), "Done."]}
    with TestClient(agent, script=script) as client:
        run = client.run(agent, "I am Ada.", user_id="ada")
        memories = client.http.get("/memories", params={"user_id": "ada"}).json()["data"]
    assert run.content == "Hello Ada."
    assert [memory["memory"] for memory in memories] == ["The user is Ada."]


def test_a_workflow_runs_with_its_functions() -> None:
    def sign(step_input: StepInput) -> StepOutput:
        return StepOutput(content=f"{step_input.previous_step_content} The editors")

    writer = Agent(id="writer", model="openai:gpt-5")
    article = Workflow(id="article", steps=[Step(name="draft", agent=writer), Step(name="sign", executor=sign)])
    with TestClient(article, script={"writer": ["Kettles whistle."]}) as client:
        run = client.run(article, "kettles")
    assert (run.content, run.tasks("writer")) == ("Kettles whistle. The editors", ["kettles"])


def test_a_run_that_has_called_nothing_has_used_nothing() -> None:
    writer = Agent(id="writer", model="openai:gpt-5")
    article = Workflow(id="article", steps=[Step(name="draft", agent=writer, requires_confirmation=True)])
    with TestClient(article) as client:
        run = client.run(article, "kettles")
    assert (run.status, run.tokens, run.model_calls) == ("PAUSED", 0, 0)


def test_the_client_has_all_calls_of_a_client() -> None:
    with TestClient(desk(), script=Script({"desk": ["One.", "Two."]})) as client:
        first = client.run("desk", "1", session_id="s1")
        assert [event.name for event in client.api.stream(first)][-1] == "TeamRunCompleted"
        second = client.wait(client.api.rerun(first))
        assert (second.session_id, second.content) == ("s1", "Two.")
        with pytest.raises(NotFound):
            client.api.runs.get("no-run")


def test_what_is_not_served_is_named() -> None:
    message = "^tesk is not served; this client serves desk$"
    with TestClient(desk()) as client, pytest.raises(LookupError, match=message):
        client.run("tesk", "hello")


def test_what_is_no_turn_is_refused() -> None:
    with pytest.raises(TypeError, match=r"not 3$"):
        Script({"desk": ["One.", 3]})
    with pytest.raises(TypeError, match=r'^the script of "desk" must be a list of turns'):
        Script({"desk": "One."})


@pytest.mark.parametrize("name", ["wether", "wether/memory_model"])
def test_a_misspelt_id_in_a_script_is_named(name: str) -> None:
    message = '^The script names "wether", but no agent or team has this id. Did you mean "weather"'
    with pytest.raises(LookupError, match=message):
        TestClient(desk(), script={name: ["Hello."]})


def test_members_that_a_function_returns_have_a_script_too() -> None:
    team = Team(id="desk", model="openai:gpt-5", members=lambda: [Agent(id="late")])
    script = {"desk": [delegate("late", "hello"), "Done."], "late": ["Here."]}
    with TestClient(team, script=script) as client:
        assert client.run(team, "hello").tasks("late") == ["hello"]


async def test_async_code_awaits_the_same_calls() -> None:
    team = desk()
    async with AsyncTestClient(team, script=ARTICLE) as client:
        run = await client.run(team, "Publish an article")
        run = await client.decide(run, run.requirements[0].approve())
        assert [request.component_id for request in client.requests] == ["desk", "writer", "writer", "desk"]
    assert (run.content, run.calls("publish")) == ("Done.", [{"title": "Rain"}])


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_SECURITY_KEY", "secret")
    monkeypatch.setenv("MUSTERD_DB", "postgresql://nowhere.invalid/production")
    monkeypatch.setenv("MUSTERD_MAX_TURNS", "1")
    assert Settings().security_key == "secret"
    with TestClient(desk(), script=WEATHER) as client:
        assert client.run("desk", "hello").status == "COMPLETED"


def test_settings_of_a_test() -> None:
    with TestClient(desk(), script=WEATHER, settings={"max_turns": 1}) as client:
        run = client.run("desk", "hello")
    assert run.error is not None
    assert run.error.code == "max_turns"


def test_a_database_may_be_named(database_url: str) -> None:
    with TestClient(desk(), script=WEATHER, db=database_url) as client:
        client.run("desk", "hello", run_id="r1")
    with TestClient(desk(), db=database_url) as client:
        assert client.wait("r1").content == "It is sunny."


def test_two_clients_know_nothing_of_each_other() -> None:
    first, second = (TestClient(desk(), script={"desk": [text]}) for text in ("One.", "Two."))
    with first, second:
        answers = [client.run("desk", "hello", run_id="r1").content for client in (first, second)]
    assert answers == ["One.", "Two."]


def test_pytest_finds_the_fixture_and_imports_no_server(tmp_path: Path) -> None:
    (tmp_path / "test_desk.py").write_text(
        "import sys\n"
        "def test_nothing_is_imported():\n"
        "    assert 'musterd.app' not in sys.modules\n"
        "def test_desk(musterd_client):\n"
        "    from musterd import Agent\n"
        "    solo = Agent(id='solo', model='openai:gpt-5')\n"
        "    assert musterd_client(solo, script={'solo': ['Hi.']}).run(solo, 'hello').content == 'Hi.'\n"
    )
    options = ["-q", "-p", "musterd.testing.plugin", "-p", "no:cacheprovider"]
    # Without the options of the pytest that runs this test: they may name plugins that are not installed.
    changes = {"PYTHONPATH": str(SOURCE), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_desk.py"],
        cwd=tmp_path,
        env={**os.environ, **changes},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
