"""Problems of a source are reported together: each with its place and one cure, none with the value of a variable."""

from __future__ import annotations

import asyncio

import pytest

from musterd import Settings
from musterd.core.errors import DeclarationError, StartError
from musterd.declare import Agent, load
from musterd.declare.problems import note, reported_together
from musterd.http.server import Server
from tests.unit.declare.conftest import Project, refusal

PYTHON = """
    from musterd import Agent, MCPServer, Team, Toolkit, tool

    @tool(retrys=3)
    def lookup(word: str) -> str:
        return word

    @tool
    def count(words) -> int:
        return 1

    kit = Toolkit(tools=[lookup], include_tool=["lookup"])
    writer = Agent(id="writer", model="opnai:gpt-5-mini", instruction="x", tools=[lookup, count])
    reader = Agent(id="reader", modell="scripted", max_turns=0, tools=[MCPServer(url="http://x", timout_seconds=1)])
    desk = Team(id="desk", mode="cordinate", members=[writer, "reader", writer])
"""
YAML = """
    agents:
      - id: a
        modle: scripted
        max_turns: lots
        tools: [7]
      - id: b
        model: opnai:gpt-5-mini
        role: ${NOT_SET_ANYWHERE}
        tools: ["json:lods"]
        output_schema: json:loads
    teams:
      - id: t
        model: scripted
        mode: cordinate
        members: [a, bb, b]
        budget: {toks: 1}
"""


def problems_of_start(source: str) -> list[str]:
    """What `musterd serve` reports of a source: the declarations' problems and those of their models."""
    with pytest.raises(DeclarationError) as caught, reported_together():
        Server(load(source), Settings(db="sqlite:///records.db"), ())
    return caught.value.message.splitlines()


def test_all_problems_of_a_python_file_are_reported_in_the_order_of_its_lines(project: Project) -> None:
    project("app.py", PYTHON)
    problems = problems_of_start("app.py")
    expected = [
        ("app.py:4: @tool has no option 'retrys'", "did you mean 'retries'?"),
        ("app.py:8: tool 'count': parameter 'words' has no type hint", "write its type"),
        ("app.py:12: a toolkit has no option 'include_tool'", "did you mean 'include_tools'?"),
        ("app.py:13: agent 'writer' has no field 'instruction'", "did you mean 'instructions'?"),
        ("app.py:13: agent 'writer': Model \"opnai:gpt-5-mini\"", 'Did you mean "openai"?'),
        ("app.py:14: this MCP server has no field 'timout_seconds'", "did you mean 'timeout_seconds'?"),
        ("app.py:14: agent 'reader' has no field 'modell'", "did you mean 'model'?"),
        ("app.py:14: agent 'reader': 'max_turns' is 0", "use a whole number, 1 or more"),
        ("app.py:15: team 'desk': 'mode' is 'cordinate'", "(did you mean 'coordinate'?)"),
        ("app.py:15: team 'desk': a member is a str", "list Agent(…) and Team(…) objects"),
        ("app.py:15: team 'desk' has two members with the id 'writer'", "list a member once"),
    ]  # that the team has no model is not among them: what a faulty declaration lacks may be due to its fault
    assert len(problems) == len(expected)
    for problem, (what, cure) in zip(problems, expected, strict=True):
        assert problem.startswith(what)
        assert cure in problem


def test_all_problems_of_a_yaml_file_are_reported_in_the_order_of_its_lines(project: Project) -> None:
    project("teams.yaml", YAML)
    problems = problems_of_start("teams.yaml")
    expected = [
        ("teams.yaml:4: agent 'a' has no field 'modle'", "did you mean 'model'?"),
        ("teams.yaml:5: agent 'a': 'max_turns' is not valid", "not 'lots'"),
        ("teams.yaml:6: agent 'a': 'tools' is not valid", "not 7"),
        ("teams.yaml:7: agent 'b': Model", 'Did you mean "openai"?'),
        ("teams.yaml:9: the environment variable NOT_SET_ANYWHERE is not set", "set it, or write"),
        ("teams.yaml:10: 'json:lods': there is no 'lods' in json", "did you mean 'loads'?"),
        ("teams.yaml:11: 'json:loads' is not an output schema", "use a pydantic model class"),
        ("teams.yaml:15: team 't': 'mode' is not valid", "(did you mean 'coordinate'?)"),
        ("teams.yaml:16: there is no agent or team 'bb'", "did you mean 'b'?"),
        ("teams.yaml:17: team 't' has no field 'toks'", "did you mean 'tokens'?"),
    ]
    assert len(problems) == len(expected)
    for problem, (what, cure) in zip(problems, expected, strict=True):
        assert problem.startswith(what)
        assert cure in problem


def test_a_misspelt_list_of_a_yaml_file_does_not_hide_the_problems_of_its_entries(project: Project) -> None:
    project(
        "teams.yaml",
        """
        agnets:
          - {id: writer, model: opnai:gpt-5-mini, rol: Writes}
        teams:
          - {id: desk, model: scripted, members: [writer, reader]}
        x-notes: for people
        """,
    )
    problems = problems_of_start("teams.yaml")
    expected = [
        "teams.yaml:2: the file has no field 'agnets' — did you mean 'agents'?",
        "teams.yaml:3: agent 'writer' has no field 'rol' — did you mean 'role'?",
        'teams.yaml:3: agent \'writer\': Model "opnai:gpt-5-mini": unknown provider "opnai". Did you mean "openai"?',
        "teams.yaml:5: there is no agent or team 'reader' — ",
        "teams.yaml:6: the file has no field 'x-notes' — it may have 'version', ",
    ]
    assert [start for start, line in zip(expected, problems, strict=True) if line.startswith(start)] == expected


FAULTY_IDS = """
    agents:
      - id: 5
        role: x
        tools: [nowhere:lookup]
      - just a text
      - id: ${NOT_SET_ANYWHERE}
        model: opnai:gpt-5-mini
      - id: writer
        model: scripted
        knowledge: handbook
    teams:
      - name: [desk]
        members: [writer]
        max_turns: 0
      - id: other
        model: scripted
        budget: {tokens: 0}
        members: [the-five, writr]
      - [a, list]
    knowledge:
      - id: 7
"""


def test_an_entry_without_a_valid_id_does_not_hide_the_other_problems(project: Project) -> None:
    project("teams.yaml", FAULTY_IDS)
    assert [line.partition(" — ")[0] for line in problems_of_start("teams.yaml")] == [
        "teams.yaml:3: agent '5': 'id' is not valid",
        "teams.yaml:5: there is no module 'nowhere'",
        "teams.yaml:6: agent 2: 'agents' is not valid",
        "teams.yaml:7: the environment variable NOT_SET_ANYWHERE is not set",
        'teams.yaml:7: agent \'line-7-2\': Model "opnai:gpt-5-mini": unknown provider "opnai". Did you mean "openai"?',
        "teams.yaml:13: team '['desk']': 'name' is not valid",
        "teams.yaml:13: team 'line-13-0': 'max_turns' is 0",
        "teams.yaml:18: budget: 'tokens' is 0",
        "teams.yaml:19: there is no agent or team 'writr'",
        "teams.yaml:20: team 3: 'teams' is not valid",
        "teams.yaml:22: knowledge '7': 'id' is not valid",
    ]


@pytest.mark.parametrize("text", ["agents: 5\n", "agents: [[1]]\n", "agens:\n- id: ${NOT_SET}\n"])
def test_a_list_that_is_none_does_not_hide_the_problems_of_others(project: Project, text: str) -> None:
    project("teams.yaml", f"{text}teams:\n- id: a\n  model: scripted\n  members: [b]\n  max_turns: 0\n")
    *_, last = problems_of_start("teams.yaml")
    assert "'max_turns' is 0" in last


def test_what_was_noted_before_a_file_fails_is_reported_with_the_failure(project: Project) -> None:
    project("app.py", "from musterd import Agent\nwriter = Agent(id='w', max_turns=0)\nother = writr\n")
    with pytest.raises(DeclarationError) as caught:
        load("app.py")
    first, second = caught.value.message.splitlines()
    assert first.startswith("app.py:2: agent 'w': 'max_turns' is 0")
    assert second == (
        "app.py:3: app.py cannot be imported (NameError: name 'writr' is not defined) — did you mean 'writer'?"
    )


def test_one_cause_is_reported_once_for_all_components_that_have_it(project: Project) -> None:
    project(
        "app.py",
        """
        from musterd import Agent, Team
        first = Agent(id="first")
        second = Agent(id="second", model="opnai:x")
        desk = Team(id="desk", model="opnai:x", members=[first, second])
        """,
    )
    (problem,) = problems_of_start("app.py")
    assert problem.startswith("app.py:5: team 'desk': Model")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("from musterd import Agnt", "Agent"),
        ("from musterd import Agent, tol", "tool"),
        ("import musterd\nx = musterd.Tem(id='x')", "Team"),
    ],
)
def test_a_misspelt_class_names_the_right_one(project: Project, text: str, meant: str) -> None:
    project("app.py", text)
    said = refusal("app.py")
    assert said.startswith(f"app.py:{len(text.splitlines())}: app.py cannot be imported (")
    assert said.endswith(f" — did you mean '{meant}'?")


@pytest.mark.parametrize(
    ("declaration", "meant"),
    [
        ("Agent(id='a', modle='scripted')", "did you mean 'model'?"),
        ("Team(id='a', model='scripted', mode='cordinate')", "(did you mean 'coordinate'?)"),
        ("Agent(id='a', model='scripted', budget=Budget(tokns=4))", "did you mean 'tokens'?"),
        ("Agent(id='a', model='scripted', tools=[MCPServer(comand='x')])", "did you mean 'command'?"),
        ("Knowledge(id='k', search_type='hybird')", "(did you mean 'hybrid'?)"),
        ("Knowledge(id='k', foldr='x')", "did you mean 'folder'?"),
        ("Workflow(id='w', steps=[Step(name='x', agnt=None)])", "did you mean 'agent'?"),
        ("Workflow(id='w', steps=[Condition(evaluator='previous_step_contnt == 1')])", "'previous_step_content'?"),
        ("Agent(id='a', model='opnai:x')", 'Did you mean "openai"?'),
        ("Agent(id='a', model='antropic:x')", 'Did you mean "anthropic"?'),
        ("Agent(id='a', model='scriptd')", 'Did you mean "scripted"?'),
        ("Schedule('s', run=agent, message='m', cron='@daily', timezone='Europe/Olso')", "mean 'Europe/Oslo'?"),
    ],
)
def test_a_misspelt_name_of_any_kind_names_the_right_one(project: Project, declaration: str, meant: str) -> None:
    project("app.py", f"from musterd import *\nagent = Agent(id='x', model='scripted')\nwrong = {declaration}\n")
    problems = problems_of_start("app.py")
    assert all(problem.startswith("app.py:3: ") for problem in problems)
    assert any(problem.endswith(meant) for problem in problems), problems


def test_a_misspelt_module_names_the_one_in_the_folder(project: Project) -> None:
    project("desk.py", "")
    assert refusal("deks") == "there is no module 'deks' — did you mean 'desk'?"


def test_all_problems_of_a_schedule_are_reported(project: Project) -> None:
    project("app.py", "from musterd import Schedule\ns = Schedule('s', cron='61 * * * *', timezone='Nowhere')\n")
    with pytest.raises(DeclarationError) as caught:
        load("app.py")
    expected = ["run= is missing", "it has no message", "Invalid timezone: Nowhere", "Invalid cron expression"]
    lines = [line for line in caught.value.message.splitlines() if line.startswith("app.py:2: schedule 's': ")]
    assert [words for words, line in zip(expected, lines, strict=True) if words in line] == expected


def test_a_misspelt_file_names_the_one_beside_it(project: Project) -> None:
    project("team.py", "")
    assert refusal("tema.py") == "tema.py: the file does not exist — did you mean 'team.py'?"


def test_a_setting_that_cannot_be_served_does_not_hide_the_problems_of_the_source(project: Project) -> None:
    project("app.py", "from musterd import Agent\na = Agent(id='a', model='scripted', max_turns=0)\n")

    def start() -> None:
        with reported_together():
            load("app.py")
            raise StartError("MUSTERD_MEMORY_MODEL: unknown")

    with pytest.raises(DeclarationError) as caught:
        start()
    assert caught.value.message.splitlines() == [
        "app.py:2: agent 'a': 'max_turns' is 0 — use a whole number, 1 or more",
        "MUSTERD_MEMORY_MODEL: unknown",
    ]


def test_nothing_is_collected_after_the_problems_were_reported() -> None:
    async def declare_late() -> asyncio.Task[None]:
        async def declare() -> None:
            Agent(id="a", max_turns=0)

        with reported_together():
            return asyncio.create_task(declare())  # it keeps this context and runs after it

    async def wait() -> None:
        await (await declare_late())

    with pytest.raises(DeclarationError, match="max_turns"):
        asyncio.run(wait())


def test_outside_a_load_a_problem_is_raised_at_once() -> None:
    with pytest.raises(DeclarationError, match="broken"):
        note(DeclarationError("broken"))


SECRET = "topsecret-sk-live"


@pytest.mark.parametrize(
    "field",
    [
        "max_turns: ${VARIABLE}",
        'max_turns: "${VARIABLE}"',
        "markdown: ${VARIABLE}",
        "mode: ${VARIABLE}",
        "output_schema: ${VARIABLE}",
        "tools: ${VARIABLE}",
        'tools: ["${VARIABLE}"]',
        'tools: ["${VARIABLE}:x"]',
        'tools: ["json:${VARIABLE}"]',
        "tools: [{mcp: {url: http://x, timeout_seconds: '${VARIABLE}'}}]",
        'members: ["${VARIABLE}"]',
        "timezone_identifier: ${VARIABLE}",
        "name: a/${VARIABLE}\n  max_turns: 0",
        "model: ${VARIABLE}",
        "budget: {tokens: '${VARIABLE}'}",
        "budget: ${VARIABLE}",
    ],
)
@pytest.mark.parametrize("value", [SECRET, f"{SECRET}:{SECRET}", f"{SECRET}\n'x' {SECRET}", f"{SECRET}." * 30])
def test_no_problem_shows_the_value_of_a_variable(
    project: Project, monkeypatch: pytest.MonkeyPatch, field: str, value: str
) -> None:
    monkeypatch.setenv("VARIABLE", value)
    project("teams.yaml", f"teams:\n- {field}\n  id: ${{VARIABLE}}/\n")
    problems = problems_of_start("teams.yaml")
    assert problems
    assert all(SECRET not in problem and "opsecret" not in problem for problem in problems)
    assert any("${VARIABLE" in problem or "variable" in problem for problem in problems)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            "agents: " + "[" * 1500 + "]" * 1500,
            "t.yaml:1: this is not valid YAML (it is nested deeper than 100 levels)",
        ),
        ("x:\n" + "\n".join(f"{' ' * n}- " for n in range(1, 300)) + "1", "t.yaml:10"),
        ("a0: &a0 [1]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 300)), "t.yaml:"),
        ("agents: &a [*a]", "t.yaml:1: this is not valid YAML (an alias contains itself)"),
        ("#" * (4 * 1024 * 1024 + 1), "t.yaml: the file is larger than 4 MiB — shorten it"),
    ],
)
def test_a_file_that_is_too_deep_or_too_large_is_an_error_in_words(project: Project, text: str, what: str) -> None:
    project("t.yaml", text)
    assert refusal("t.yaml").startswith(what)
