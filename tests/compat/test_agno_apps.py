"""Files that declare their agents and teams with Agno's own classes, served as they are."""

import contextlib
import json
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from musterd import Settings, create_app
from musterd.agno import AgnoReader
from musterd.cli import main
from musterd.cli.source import Source, load_source, require_declared_authorization
from musterd.core.errors import DeclarationError, StartError
from tests.support.app import copied_file, in_process, settings_for
from tests.support.http import ServerClient
from tests.support.process import Deployment, deployment_of, until

pytestmark = pytest.mark.usefixtures("importable_agno")

Load = Callable[..., Source]

SHOP = '''
from agno.agent import Agent
from agno.exceptions import CheckTrigger, InputCheckError
from agno.guardrails import PIIDetectionGuardrail
from agno.run import RunContext
from agno.team import Team
from agno.tools import Toolkit, tool
from pydantic import BaseModel


class Ticket(BaseModel):
    title: str
    priority: int


@tool(requires_confirmation=True)
def refund(order: str, euros: int) -> str:
    """Pay money back."""
    return f"{euros} euros for {order} are on their way"


def put(run_context: RunContext, agent: Agent, item: str) -> str:
    """Put an item into the cart."""
    run_context.session_state["cart"].append(item)
    return f"{agent.name}: {run_context.session_state['cart']}"


class Calculator(Toolkit):
    def __init__(self):
        super().__init__(name="calculator", tools=[self.multiply], instructions="Count.", add_instructions=True)

    async def multiply(self, a: float, b: float) -> str:
        """Multiply two numbers."""
        return str(a * b)


def no_passwords(run_input, agent):
    if "password" in run_input.input_content:
        raise InputCheckError(f"{agent.name}: no passwords", check_trigger=CheckTrigger.INPUT_NOT_ALLOWED)


async def louder(run_output, run_context):
    run_context.session_state["said"] = run_output.content
    run_output.content = run_output.content.upper()


def watched(function_name, function_call, arguments, agent):
    return f"<{agent.name}> {function_call(**arguments)}"


def instructions(agent, session_state):
    return f"You are {agent.name}, the cart is {session_state.get('cart')}."


orders = Agent(
    name="Orders",
    role="Finds and changes orders",
    model="openai:gpt-4o",
    instructions=instructions,
    tools=[refund, put, Calculator()],
    tool_hooks=[watched],
    pre_hooks=[no_passwords, PIIDetectionGuardrail(mask_pii=True)],
    post_hooks=[louder],
    session_state={"cart": []},
    retries=3,
    telemetry=False,
)
triage = Agent(output_schema=Ticket)
desk = Team(name="Support desk", mode="route", members=[orders, triage], retries=2)
'''


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Loads the text of a file, with every model scripted unless ``model_override`` says something else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def loading(text: str, name: str = "", **settings: Any) -> Source:
        (tmp_path / "shop.py").write_text(textwrap.dedent(text))
        sys.modules.pop("shop", None)
        return load_source(f"shop.py{name}", Settings(**{"model_override": "scripted", **settings}))

    yield loading
    for module in set(sys.modules) - before:
        if module == "shop":
            del sys.modules[module]


@contextlib.asynccontextmanager
async def serving(source: Source, database: Path) -> AsyncIterator[ServerClient]:
    settings = settings_for(database, model_override="scripted")
    async with in_process(create_app(registry=source.registry, settings=settings)) as client:
        yield client


@pytest.fixture
def database(template: Path, tmp_path: Path) -> Path:
    """The test's own database."""
    return copied_file(template, tmp_path)


def problem(load: Load, text: str) -> str:
    with pytest.raises(DeclarationError) as refused:
        load(text)
    return refused.value.message


def test_agents_and_teams_keep_their_ids_names_and_places(load: Load) -> None:
    loaded = load(SHOP)
    assert list(loaded.registry.teams) == ["support-desk"]
    assert list(loaded.registry.agents) == ["orders", "triage"]
    desk = loaded.registry.teams["support-desk"]
    assert (desk.name, desk.mode, [member.id for member in desk.members]) == (
        "Support desk",
        "route",
        ["orders", "triage"],
    )
    assert desk.members[1].answer_schema is not None
    assert desk.members[1].answer_schema[0] == "Ticket"
    lines = loaded.report.lines()
    assert lines[0].endswith("retries — the server retries model calls (MUSTERD_MODEL_TRIES)")
    first, second = lines[0].partition(": retries")[0].split(", ")
    text = SHOP.splitlines()
    assert text[int(first.partition(":")[2]) - 1] == "orders = Agent("
    assert text[int(second.partition(":")[2]) - 1].startswith("desk = Team(")
    assert "telemetry" in loaded.report.start_lines()[-1]


async def test_tools_hooks_and_functions_get_agnos_objects(load: Load, database: Path) -> None:
    async with serving(load(SHOP), database) as client:
        run = await client.run('[[TOOL put {"item": "tea"}]]', to="agents/orders", session_id="s1")
        product = await client.run('[[TOOL multiply {"a": 3, "b": 4}]]', to="agents/orders", session_id="s2")
        refused = await client.run("my password is x", to="agents/orders")
    assert (run["status"], run["content"]) == ("COMPLETED", "DONE: <ORDERS> ORDERS: ['TEA']")
    assert run["session_state"] == {"cart": ["tea"], "said": "Done: <Orders> Orders: ['tea']"}
    assert product["tools"][0]["result"] == "<Orders> 12.0"
    assert (refused["status"], refused["content"]) == ("ERROR", "Orders: no passwords")


async def test_a_person_confirms_a_members_tool_across_a_restart(load: Load, database: Path) -> None:
    call = '[[DELEGATE orders: <TOOL refund {"order": "A7", "euros": 20}>]]'
    async with serving(load(SHOP), database) as client:
        run = await client.run(call, to="teams/support-desk", session_id="s1")
    (requirement,) = run["requirements"]
    assert (run["status"], requirement["tool_execution"]["tool_name"]) == ("PAUSED", "refund")
    requirement["confirmation"] = True
    requirement["tool_execution"]["confirmed"] = True
    async with serving(load(SHOP), database) as client:
        answer = await client.http.post(
            f"/teams/support-desk/runs/{run['run_id']}/continue",
            data={"requirements": json.dumps([requirement]), "session_id": "s1", "stream": "false"},
        )
    assert answer.json()["status"] == "COMPLETED"
    assert "20 EUROS FOR A7" in answer.json()["content"]


async def test_functions_for_tools_and_members_are_called_for_each_run(load: Load, database: Path) -> None:
    source = load(
        """
        from agno.agent import Agent
        from agno.team import Team

        def look() -> str:
            "Look."
            return "found"

        def tools_of(run_context):
            return [look] if run_context.user_id == "ann" else []

        def members_of(run_context):
            return [Agent(id="helper", role="Helps")]

        solo = Agent(tools=tools_of)
        crew = Team(members=members_of)
        """
    )
    async with serving(source, database) as client:
        run = await client.run("[[TOOL look {}]]", to="agents/solo", user_id="ann")
        team = await client.run("[[DELEGATE helper: hello]]", to="teams/crew")
    assert run["tools"][0]["result"] == "found"
    assert "Echo: hello" in team["content"]


WORKFLOWS = """
from agno.agent import Agent
from agno.workflow import Condition, Loop, Parallel, Router, Step, Steps, StepInput, StepOutput, Workflow


def shout(step_input: StepInput) -> StepOutput:
    return StepOutput(content=step_input.get_last_step_content().upper())


def count(step_input, run_context):
    run_context.session_state["count"] = run_context.session_state.get("count", 0) + 1
    return f"round {run_context.session_state['count']}"


async def words(step_input):
    yield "one "
    yield StepOutput(content="one two")


def is_long(step_input: StepInput) -> bool:
    return len(step_input.input) > 3


def route(step_input: StepInput):
    return [loud]


def done(outputs) -> bool:
    return outputs[-1].content == "round 2"


writer = Agent(name="Writer", instructions="Write.")
loud = Step(name="loud", executor=shout)
news = Workflow(
    name="News",
    steps=[
        Step(name="draft", agent=writer),
        Parallel(Step(name="left", executor=words), Step(name="right", executor=count), name="both"),
        Condition(name="long?", evaluator=is_long, steps=[loud]),
        Loop(name="again", steps=[count], end_condition=done, max_iterations=3),
        Router(name="choose", choices=[loud, Step(name="other", executor=count)], selector=route),
        Steps(name="last", steps=[Step(name="ask", executor=count, requires_confirmation=True)]),
    ],
    session_state={},
    store_events=True,
)
whole = Workflow(id="whole", steps=lambda workflow, execution_input: f"whole {execution_input.input}")
"""


async def test_workflows_run_with_their_functions_and_wait_for_a_person(load: Load, database: Path) -> None:
    loaded = load(WORKFLOWS)
    assert list(loaded.registry.workflows) == ["news", "whole"]
    assert list(loaded.registry.agents) == ["writer"]
    async with serving(loaded, database) as client:
        run = await client.run("hello", to="workflows/news", session_id="s1")
        (question,) = run["step_requirements"]
        decision = json.dumps([{"id": question["id"], "confirmed": True}])
        answer = await client.http.post(
            f"/workflows/news/runs/{run['run_id']}/continue",
            data={"session_id": "s1", "stream": "false", "step_requirements": decision},
        )
        other = await client.run("x", to="workflows/whole")
    assert run["status"] == "PAUSED"
    contents = {step["step_name"]: step["content"] for step in run["step_results"] if step.get("steps") is None}
    assert contents["draft"] == "Echo: hello"
    nested = {part["step_name"]: part["content"] for step in run["step_results"] for part in step.get("steps") or ()}
    assert (nested["left"], nested["right"], nested["count"]) == ("one two", "round 1", "round 2")
    assert nested["loud"] == "ROUND 2"
    assert (answer.json()["status"], answer.json()["content"]) == ("COMPLETED", "round 3")
    assert other["content"] == "whole x"


async def test_knowledge_is_searched_through_agnos_object(load: Load, database: Path) -> None:
    loaded = load(
        """
        from agno.agent import Agent
        from agno.filters import EQ
        from agno.knowledge.document import Document

        class Shelf:
            max_results = 3

            async def aretrieve(self, query, max_results=None, filters=None):
                said = f"{query} {max_results} {[expression.to_dict() for expression in filters]}"
                return [Document(name="tea", content=said)]

        reader = Agent(name="Reader", knowledge=Shelf(), knowledge_filters=[EQ("kind", "tea")])
        """
    )
    async with serving(loaded, database) as client:
        run = await client.run('[[TOOL search_knowledge_base {"query": "green"}]]', to="agents/reader")
    (found,) = run["references"][0]["references"]
    assert (found["name"], found["content"]) == ("tea", "green 3 [{'op': 'EQ', 'key': 'kind', 'value': 'tea'}]")


@pytest.fixture
def shop(importable_agno: Path, tmp_path: Path, database: Path) -> Iterator[Deployment]:
    """Processes that serve the shop. Before its text is only the path to Agno, which they have not installed."""
    text = f"import sys\nsys.path.append({str(importable_agno)!r})\n{SHOP}"
    (tmp_path / "shop.py").write_text(text)
    yield from deployment_of(f"sqlite:///{database}", tmp_path, tmp_path / "shop.py")


def test_a_killed_process_loses_no_run_of_a_file_of_agno(shop: Deployment) -> None:
    first = shop.serve(model_override="scripted")
    first.accepted('[[TOOL refund {"order": "A7", "euros": 20}]]', "paused", "agents/orders")
    waiting = first.ended("paused", "agents/orders")
    first.accepted("[[WORDS 20 100]]", "long", "agents/orders", "s2")
    until(lambda: shop.state("long") == "running", "the long run to begin")
    first.kill()
    second = shop.serve(model_override="scripted")
    (requirement,) = waiting["requirements"]
    requirement["confirmation"] = requirement["tool_execution"]["confirmed"] = True
    form = {"requirements": json.dumps([requirement]), "session_id": "s1", "stream": "false"}
    answer = second.http.post("/agents/orders/runs/paused/continue", data=form).json()
    assert (answer["status"], answer["content"]) == ("COMPLETED", "DONE: <ORDERS> 20 EUROS FOR A7 ARE ON THEIR WAY")
    assert second.ended("long", "agents/orders", "s2")["status"] == "COMPLETED"
    assert shop.run("long")["attempt"] == 2


def test_agent_os_says_what_is_served_and_creates_nothing(load: Load) -> None:
    source = """
        from agno.agent import Agent
        from agno.os import AgentOS

        served, other = Agent(name="Served"), Agent(name="Other")
        system = AgentOS(agents=[served], interfaces=[object()], tracing=True, cors_allowed_origins=["http://a.example"])
        app = system.get_app()
        system.serve(app="shop:app")
    """
    for name in ("", ":system", ":app"):
        loaded = load(source, name)
        assert list(loaded.registry.agents) == ["served"]
    assert loaded.report.start_lines() == [
        "shop.py:6: AgentOS(interfaces=…) is not served — musterd has no interfaces to other services",
        "different here: AgentOS(cors_allowed_origins=…), AgentOS(tracing=…) (musterd inspect says how)",
    ]
    assert list(load(source, ":other").registry.agents) == ["other"]


def test_authorization_is_never_lost(load: Load) -> None:
    loaded = load(
        """
        from agno.agent import Agent
        from agno.os import AgentOS
        system = AgentOS(agents=[Agent(name="Served")], authorization=True)
        """
    )
    with pytest.raises(StartError, match=r"^shop.py:4: AgentOS\(authorization=True\), but neither a key nor"):
        require_declared_authorization(loaded.report, Settings())
    require_declared_authorization(loaded.report, Settings(security_key="secret"))


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ("Agent(save_response_to_file='a.txt')", "sets save_response_to_file='a.txt', which is not supported — the"),
        ("Agent(build_context=False)", "sets build_context=False, which is not supported — the prompt is always built"),
        ("Agent(tools=[{'type': 'web_search_preview'}])", "a tool is the provider's own (web_search_preview) — list"),
        ("Agent(learning=LearningMachine(entity_memory=True))", "learning sets entity_memory, which is not supported"),
        ("Changed()", "is a subclass with its own run or arun — use tools and hooks"),
        ("Team(members=[RemoteAgent('http://a.example', 'b')])", "there is a RemoteAgent of agno"),
        ("AgentOS(agents=[Agent()], base_app=FastAPI(), authorization=True)", "would serve the routes without a token"),
        ("AgentOS(agents=[], knowledge=[object()])", "there are only knowledge, which are not served"),
    ],
)
def test_what_would_change_a_run_is_refused_with_its_place(load: Load, declared: str, says: str) -> None:
    text = f"""
        from agno.agent import Agent, RemoteAgent
        from agno.learn.machine import LearningMachine
        from agno.os import AgentOS
        from agno.team import Team
        from fastapi import FastAPI

        class Changed(Agent):
            def run(self, *args, **options):
                return None

        it = {declared}
    """
    message = problem(load, text)
    assert says in message
    assert message.startswith("shop.py:12: ")


def test_all_problems_are_reported_together(load: Load) -> None:
    lines = problem(
        load,
        """
        from agno.agent import Agent
        one = Agent(save_response_to_file="a.txt", parse_response=False)
        two = Agent(tools=[{"type": "web_search"}])
        """,
    ).splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["shop.py:3", "shop.py:3", "shop.py:4"]


OWN_ROUTES = """
    from contextlib import asynccontextmanager
    from agno.agent import Agent
    from agno.os import AgentOS
    from fastapi import FastAPI

    begun = []

    @asynccontextmanager
    async def lifespan(app):
        begun.append(app)
        yield

    {app}

    @app.get("/extra")
    async def extra():
        return {{"begun": len(begun)}}

    @app.get("/health")
    async def health():
        return {{"status": "mine"}}
"""
SERVED = 'agents=[Agent(name="Served")]'


@pytest.mark.parametrize(
    ("app", "health"),
    [
        (f"system = AgentOS({SERVED}, lifespan=lifespan); app = system.get_app()", "ok"),
        (f"app = FastAPI(lifespan=lifespan); system = AgentOS({SERVED}, base_app=app)", "ok"),
        (
            f"app = FastAPI(lifespan=lifespan); "
            f"system = AgentOS({SERVED}, base_app=app, on_route_conflict='preserve_base_app')",
            "mine",
        ),
    ],
)
async def test_musterd_is_served_inside_a_files_own_application(
    load: Load, database: Path, app: str, health: str
) -> None:
    loaded = load(OWN_ROUTES.format(app=app))
    assert loaded.report.host is not None
    inner = create_app(registry=loaded.registry, settings=settings_for(database, model_override="scripted"))
    async with in_process(loaded.report.host.serve_inside(inner)) as client:
        run = await client.run("hello", to="agents/served")
        assert run["content"] == "Echo: hello"
        assert await client.get("/extra") == {"begun": 1}
        assert (await client.get("/health"))["status"] == health
        assert (await client.http.get("/nowhere")).json()["error_code"] == "NOT_FOUND"


def test_inspect_prints_the_report_and_its_exit_code_says_whether_all_is_served(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(SHOP)
    assert main(["inspect", "shop.py"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "team support-desk · gpt-4o · route · members: orders, triage"
    assert "retries — the server retries model calls" in lines[4]
    (tmp_path / "shop.py").write_text(
        "from agno.agent import Agent\nfrom agno.os import AgentOS\n"
        "system = AgentOS(agents=[Agent(name='A')], a2a_interface=True, authorization=True)\n"
    )
    sys.modules.pop("shop")
    assert main(["inspect", "shop.py"]) == 1
    printed = capsys.readouterr().out
    assert "shop.py:3: AgentOS(a2a_interface=…) is not served — musterd does not speak A2A" in printed
    assert "AgentOS(authorization=True): needs JWT_VERIFICATION_KEY or OS_SECURITY_KEY to start" in printed


def test_agno_is_as_before_after_the_import(load: Load) -> None:
    load(SHOP)
    from agno.agent import Agent
    from agno.os import AgentOS

    assert "_musterd_declared_at" not in vars(Agent(name="later"))
    assert AgentOS(agents=[Agent(name="later")], telemetry=False).get_app().routes


def test_a_file_without_agno_imports_nothing_of_it(load: Load) -> None:
    from musterd.agno import watching

    forgotten = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "agno"}
    try:
        loaded = load("from musterd import Agent\nsolo = Agent(id='solo', model='scripted')\n")
        assert "agno" not in sys.modules
    finally:
        sys.modules.update(forgotten)
    assert list(loaded.registry.agents) == ["solo"]
    assert loaded.report.lines() == []
    assert not any(isinstance(finder, watching._Finder) for finder in sys.meta_path)


def test_mcp_tools_become_servers_whatever_version_of_the_sdk_is_installed(load: Load) -> None:
    loaded = load(
        """
        from agno.agent import Agent
        from agno.tools.mcp import MCPTools, MultiMCPTools, StreamableHTTPClientParams

        params = StreamableHTTPClientParams(url="http://127.0.0.1:9/a", headers={"X": "1"})
        solo = Agent(
            tools=[
                MCPTools(command="uvx 'mcp server' --now", env={"A": "b"}, include_tools=["time"]),
                MCPTools(url="http://127.0.0.1:9/mcp", transport="streamable-http", tool_name_prefix="web"),
                MCPTools(server_params=params, transport="streamable-http"),
                MultiMCPTools(commands=["one", "two"], timeout_seconds=3),
            ]
        )
        """
    )
    servers: Any = loaded.registry.agents["solo"].spec.tool_sources
    assert servers[0].command == ["uvx", "mcp server", "--now"]
    assert servers[0].env["A"] == "b"
    assert list(servers[0].include_tools) == ["time"]
    assert (servers[1].url, servers[1].tool_name_prefix) == ("http://127.0.0.1:9/mcp", "web")
    assert (servers[2].url, dict(servers[2].headers)) == ("http://127.0.0.1:9/a", {"X": "1"})
    assert [server.command for server in servers[3:]] == [["one"], ["two"]]
    assert [server.timeout_seconds for server in servers] == [10.0, 10.0, 10.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        (
            "MCPTools('one', requires_confirmation_tools=['a'])",
            "MCPTools(requires_confirmation_tools=…) is not supported",
        ),
        ("MCPTools(url='http://a.example', transport='sse')", "MCPTools uses SSE — use the transport streamable-http"),
    ],
)
def test_mcp_tools_that_musterds_servers_are_not_are_refused(load: Load, tool: str, says: str) -> None:
    text = f"from agno.agent import Agent\nfrom agno.tools.mcp import MCPTools\nsolo = Agent(tools=[{tool}])\n"
    assert says in problem(load, text)


def test_models_with_options_become_models_of_pydantic_ai(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    loaded = load(
        """
        from agno.agent import Agent
        from agno.models.openai import OpenAIChat, OpenAIResponses
        from agno.models.openai.like import OpenAILike

        plain = Agent(model=OpenAIChat(id="gpt-5-mini"))
        warm = Agent(model=OpenAIChat(id="gpt-5-mini", temperature=0.2, stop="END", max_completion_tokens=9, audio={}))
        other = Agent(model=OpenAIResponses(id="gpt-5-mini", reasoning_effort="low"))
        own = Agent(model=OpenAILike(id="small", base_url="http://127.0.0.1:9/v1"))
        none = Agent()
        """,
        model_override=None,
    )
    models: dict[str, Any] = {name: component.model for name, component in loaded.registry.agents.items()}
    assert (models["plain"], models["none"]) == ("openai-chat:gpt-5-mini", "openai-chat:gpt-4o")
    assert models["warm"].settings == {"temperature": 0.2, "stop_sequences": ["END"], "max_tokens": 9}
    assert models["other"].settings == {"openai_reasoning_effort": "low"}
    assert (models["own"].model_name, str(models["own"].base_url)) == ("small", "http://127.0.0.1:9/v1/")
    (lost,) = [remark for remark in loaded.report.remarks if remark.kind == "not served"]
    assert lost.option == "OpenAIChat(audio=…)"


def test_the_reader_leaves_musterds_own_declarations_alone(load: Load) -> None:
    loaded = load(
        """
        from agno.agent import Agent as AgnoAgent
        from musterd import Agent
        theirs, ours = AgnoAgent(name="theirs"), Agent(id="ours", model="scripted")
        """
    )
    assert list(loaded.registry.agents) == ["ours"]
    assert AgnoReader(Settings()).report.lines() == []
