"""Files that declare their agents and teams with Agno's own classes: their runs."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from musterd import Team, create_app
from musterd.declare import RunContext
from tests.support.agno_apps import SHOP, Load, serving
from tests.support.app import in_process, settings_for
from tests.support.process import Deployment, deployment_of, until


async def test_tools_hooks_and_functions_get_agnos_objects(load: Load, database: Path) -> None:
    async with serving(load(SHOP), database) as client:
        run = await client.run('[[TOOL put {"item": "tea"}]]', to="agents/orders", session_id="s1")
        product = await client.run('[[TOOL multiply {"a": 3, "b": 4}]]', to="agents/orders", session_id="s2")
        refused = await client.run("my password is x", to="agents/orders")
    assert (run["status"], run["content"]) == ("COMPLETED", "DONE: <ORDERS> ORDERS: ['TEA']")
    assert run["session_state"] == {"cart": ["tea"], "said": "Done: <Orders> Orders: ['tea']"}
    assert product["tools"][0]["result"] == "<Orders> 12.0"
    assert (refused["status"], refused["content"]) == ("ERROR", "Orders: no passwords")


async def test_parallel_calls_that_change_the_same_list_keep_both_changes(load: Load, database: Path) -> None:
    calls = '[[TOOL put {"item": "tea"}]] [[TOOL put {"item": "milk"}]]'
    async with serving(load(SHOP), database) as client:
        run = await client.run(calls, to="agents/orders", session_id="s1")
    assert run["session_state"]["cart"] == ["tea", "milk"]


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


async def test_each_run_has_the_members_that_were_made_for_it(load: Load) -> None:
    source = load(
        """
        from agno.agent import Agent
        from agno.team import Team

        def members_of(run_context):
            return [Agent(id="helper", instructions=f"You help {run_context.user_id}.")]

        crew = Team(members=members_of)
        """
    )
    spec = source.registry.teams["crew"].spec
    assert isinstance(spec, Team)
    assert spec.member_function is not None
    for user_id in map(str, range(10)):
        (helper,) = await spec.member_function(run_context=SimpleNamespace(user_id=user_id))
        assert f"You help {user_id}." in str(helper.instructions)


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
state = Workflow(id="state", steps=lambda session_state: f"state {session_state['a']}", session_state={"a": 1})
swapped = Workflow(id="swapped", steps=lambda execution_input, workflow: f"{workflow.id} {execution_input.input}")
"""


async def test_workflows_run_with_their_functions_and_wait_for_a_person(load: Load, database: Path) -> None:
    loaded = load(WORKFLOWS)
    assert list(loaded.registry.workflows) == ["news", "whole", "state", "swapped"]
    assert list(loaded.registry.agents) == ["writer"]
    async with serving(loaded, database) as client:
        run = await client.run("hello", to="workflows/news", session_id="s1")
        (question,) = run["step_requirements"]
        decision = json.dumps([{"id": question["id"], "confirmed": True}])
        answer = await client.http.post(
            f"/workflows/news/runs/{run['run_id']}/continue",
            data={"session_id": "s1", "stream": "false", "step_requirements": decision},
        )
        others = [await client.run("x", to=f"workflows/{name}") for name in ("whole", "state", "swapped")]
    assert run["status"] == "PAUSED"
    contents = {step["step_name"]: step["content"] for step in run["step_results"] if step.get("steps") is None}
    assert contents["draft"] == "Echo: hello"
    nested = {part["step_name"]: part["content"] for step in run["step_results"] for part in step.get("steps") or ()}
    assert (nested["left"], nested["right"], nested["count"]) == ("one two", "round 1", "round 2")
    assert nested["loud"] == "ROUND 2"
    assert (answer.json()["status"], answer.json()["content"]) == ("COMPLETED", "round 3")
    assert [other["content"] for other in others] == ["whole x", "state 1", "swapped x"]


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
    first.accepted("[[WORDS 20 500]]", "long", "agents/orders", "s2")
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


AFTERWARDS = """
from agno.agent import Agent
from agno.eval.base import BaseEval
from agno.knowledge.knowledge import Knowledge


class Judge(BaseEval):
    def pre_check(self, run_input):
        print("before", run_input.input_content)

    def post_check(self, run_output):
        run_output.content = f"{run_output.input.input_content}: {run_output.content}"

    async_pre_check = async_post_check = None


class Notes(Knowledge):
    def insert(self, name, text_content, reader):
        self.texts = [*getattr(self, "texts", ()), (name, text_content)]

    async def aretrieve(self, query, max_results=None, filters=None):
        return [{"content": text} for _, text in getattr(self, "texts", ())]


judged = Agent(id="judged", post_hooks=[Judge()], save_response_to_file="answers/{message}-{user_id}.txt")
curious = Agent(id="curious", knowledge=Notes(), update_knowledge=True)
"""


async def test_evals_check_the_answer_and_a_file_gets_it(load: Load, database: Path, tmp_path: Path) -> None:
    async with serving(load(AFTERWARDS, model_override=None), database) as client:
        run = await client.run("up/../hi", to="agents/judged", user_id="ann")
    assert run["content"] == "up/../hi: Echo: up/../hi"
    (file,) = (tmp_path / "answers").iterdir()
    assert re.fullmatch("up___hi-[0-9a-f]{10}-ann.txt", file.name)
    assert file.read_text() == run["content"]
    replaced = load(AFTERWARDS)
    assert "evals in post_hooks — they are skipped while" in "".join(replaced.report.lines())


async def test_a_model_adds_to_the_files_knowledge(load: Load, database: Path) -> None:
    async with serving(load(AFTERWARDS), database) as client:
        await client.run('[[TOOL add_to_knowledge {"query": "Why?", "result": "So."}]]', to="agents/curious")
        run = await client.run('[[TOOL search_knowledge_base {"query": "why"}]]', to="agents/curious")
    assert "So." in run["content"]


LEARNING = """
from agno.agent import Agent
from agno.learn.machine import LearningMachine
from agno.tools.function import Function

saved = {"ann": ["likes tea"]}


class Notes:
    learning_type, schema, was_updated = "notes", None, False

    def recall(self, user_id=None, **values):
        return saved.get(user_id)

    def build_context(self, data):
        return f"<notes>{', '.join(data)}</notes>" if data else ""

    def get_tools(self, user_id=None, **values):
        def save_note(note: str) -> str:
            \"\"\"Save a note.\"\"\"
            saved.setdefault(user_id, []).append(note)
            return f"{user_id}: {note}"

        return [save_note]

    def process(self, messages, user_id=None, **values):
        saved.setdefault(user_id, []).append(" > ".join(message.content for message in messages))

    arecall, aget_tools, aprocess = recall, get_tools, process


machine = LearningMachine(custom_stores={"notes": Notes()})
noting = Agent(id="noting", instructions=["Be kind.", "Be short."], learning=machine)
computed = Agent(id="computed", instructions=lambda run_context: f"Help {run_context.user_id}.", learning=machine)
silent = Agent(id="silent", learning=machine, add_learnings_to_context=False)
"""


async def test_agno_keeps_other_learnings(load: Load, database: Path) -> None:
    loaded = load(LEARNING, model_override=None)
    agents = loaded.registry.agents
    context = RunContext(run_id="r", session_id="s", user_id="ann", session_state={}, dependencies={}, metadata={})
    instructions: Any = {name: agent.spec.instructions for name, agent in agents.items()}
    assert instructions["noting"](run_context=context) == "- Be kind.\n- Be short.\n\n<notes>likes tea</notes>"
    assert instructions["computed"](run_context=context) == "Help ann.\n\n<notes>likes tea</notes>"
    assert instructions["silent"] is None
    assert not any(agent.spec.learning for agent in agents.values())
    assert "shop.py:35: learning: notes — kept by Agno, in the database of the file" in "".join(loaded.report.lines())
    async with serving(loaded, database) as client:
        run = await client.run('[[TOOL save_note {"note": "tea at five"}]]', to="agents/noting", user_id="bob")
        assert run["content"] == "Done: bob: tea at five"
    (saved,) = [note for note in sys.modules["shop"].saved["bob"] if ">" in note]
    assert saved.endswith("> Done: bob: tea at five")
    assert [hook for agent in load(LEARNING).registry.agents.values() for hook in agent.spec.post_hooks or ()] == []


CULTURE = """
from agno.agent import Agent
from agno.culture.manager import CultureManager
from agno.db.schemas.culture import CulturalKnowledge

entries = []


class Manager(CultureManager):
    def get_all_knowledge(self, name=None):
        return entries

    def update_culture_task(self, task):
        entries.append(CulturalKnowledge(name=task, content=f"Always {task}."))
        return f"noted {task}"

    def create_cultural_knowledge(self, message):
        self.update_culture_task("greet")


manager = Manager()
writing = Agent(id="writing", culture_manager=manager, enable_agentic_culture=True, update_cultural_knowledge=True)
reading = Agent(id="reading", instructions="Be kind.", culture_manager=manager)
plain = Agent(id="plain", instructions="Be kind.", culture_manager=manager, add_culture_to_context=False)
"""


async def test_cultural_knowledge_goes_through_agnos_manager(load: Load, database: Path) -> None:
    loaded = load(CULTURE, model_override=None)
    reading, plain = (loaded.registry.agents[name].spec.instructions for name in ("reading", "plain"))
    context = RunContext(run_id="r", session_id="s", user_id=None, session_state={}, dependencies={}, metadata={})
    assert callable(reading)
    assert (reading(run_context=context), plain) == ("Be kind.", "Be kind.")
    async with serving(loaded, database) as client:
        run = await client.run('[[TOOL create_or_update_cultural_knowledge {"task": "test"}]]', to="agents/writing")
    assert run["content"] == "Done: noted test"
    text = reading(run_context=context)
    assert text.startswith("Be kind.\n\nFollow these shared principles of the agents:")
    assert ("Always test." in text, "Always greet." in text) == (True, True)
    writing = load(CULTURE).registry.agents["writing"].spec
    assert ([tool.name for tool in writing.tools], writing.post_hooks) == ([], None)


SESSIONS = """
from agno.agent import Agent
from agno.team import Team


def say(session, run_context, run_input):
    state = session.session_data["session_state"]
    state["seen"] = [type(session).__name__, session.session_id, session.user_id, len(session.runs)]
    assert session.get_messages() == [] and state is run_context.session_state


async def keep(session, run_output):
    session.session_data["session_state"]["answer"] = f"{session.team_id or session.agent_id}: {run_output.content}"


solo = Agent(id="solo", pre_hooks=[say], post_hooks=[keep])
crew = Team(id="crew", members=[Agent(id="helper")], pre_hooks=[say], post_hooks=[keep])
"""


async def test_hooks_get_agnos_session_with_the_state_of_the_run(load: Load, database: Path) -> None:
    loaded = load(SESSIONS)
    async with serving(loaded, database) as client:
        agent = await client.run("hello", to="agents/solo", session_id="s1", user_id="ann")
        team = await client.run("hello", to="teams/crew", session_id="s2", user_id="ann")
    answer = "Echo: hello"
    assert agent["session_state"] == {"seen": ["AgentSession", "s1", "ann", 0], "answer": f"solo: {answer}"}
    assert team["session_state"] == {"seen": ["TeamSession", "s2", "ann", 0], "answer": f"crew: {answer}"}
    named = [line for line in loaded.report.lines() if "session in p" in line]
    assert named == [
        f"shop.py:16, shop.py:17: session in {hooks} — it has its ids, data and metadata, but no runs and no summary"
        for hooks in ("pre_hooks", "post_hooks")
    ]


MEDIA = """
from agno.agent import Agent
from agno.media import Image
from agno.os import AgentOS
from agno.team import Team


def drop(run_input):
    run_input.images = None


async def mask(run_input):
    run_input.images[0].content = b"masked"


def replace(run_input):
    run_input.images = [Image(url="https://media.invalid/masked.png")]


def move(run_input):
    run_input.images, run_input.files = [], run_input.images


def add(run_input):
    run_input.files = [*run_input.files, "not a file"]


def read(run_input):
    run_input.images = [Image(content=image.content) for image in run_input.images]
    run_input.input_content = f"{len(run_input.images)} image, {len(run_input.files)} file"


agents = [Agent(id=hook.__name__, pre_hooks=[hook]) for hook in (drop, mask, replace, move, add, read)]
crew = Team(id="crew", members=agents, pre_hooks=[drop])
system = AgentOS(agents=agents, teams=[crew])
"""
FILES = [("files", ("a.png", b"\x89PNG\r\n\x1a\n rest", "image/png")), ("files", ("a.csv", b"a,b", "text/csv"))]


async def test_a_hook_that_changes_media_ends_the_run_before_a_model_reads_them(load: Load, database: Path) -> None:
    async with serving(load(MEDIA), database) as client:
        ended = {
            to: await client.run("hello", to=to, files=FILES)
            for to in ("teams/crew", *(f"agents/{name}" for name in ("drop", "mask", "replace", "move", "add")))
        }
        kinds = {
            step["kind"]
            for to, run in ended.items()
            for step in await client.get(f"/{to}/runs/{run['run_id']}/steps", session_id=run["session_id"])
        }
        unchanged = await client.run("hello", to="agents/read", files=FILES)
        without_media = await client.run("hello", to="agents/drop")
    for to, run in ended.items():
        hook = to.partition("/")[2].replace("crew", "drop")
        assert (run["status"], run["error"]["code"]) == ("ERROR", "hook_failed"), to
        assert run["content"].startswith(f"The hook '{hook}' changed the images, videos, audios or files of the")
    assert "model" not in kinds
    assert (unchanged["status"], without_media["status"]) == ("COMPLETED", "COMPLETED")
    assert unchanged["content"].startswith("Echo: 1 image, 1 file")


AGENT_IN_A_TOOL = """
from agno.agent import Agent
from agno.models.base import Model
from agno.models.response import ModelResponse
from agno.os import AgentOS


class Canned(Model):
    def invoke(self, *args, **kwargs):
        return ModelResponse(role="assistant", content="forty-two")

    ainvoke = invoke_stream = ainvoke_stream = None
    _parse_provider_response = _parse_provider_response_delta = None


helper = Agent(id="helper", model=Canned(id="canned"), telemetry=False)


def consult(question: str) -> str:
    "Ask another agent."
    return helper.run(question).content


system = AgentOS(agents=[Agent(id="desk", tools=[consult])])
"""


async def test_a_run_that_a_tool_starts_with_agno_is_part_of_the_tools_step(load: Load, database: Path) -> None:
    async with serving(load(AGENT_IN_A_TOOL), database) as client:
        fields = {"session_id": "s1", "run_id": "r1"}
        stream = await client.stream('[[TOOL consult {"question": "how many?"}]]', to="agents/desk", **fields)
        steps = await client.get("/agents/desk/runs/r1/steps", session_id="s1")
        runs = await client.get("/sessions/s1/runs")
    assert stream.events[-1]["content"] == "Done: forty-two"
    assert {event.get("agent_id") for event in stream.events} == {"desk"}
    assert [(step["path"], step["kind"], step["state"]) for step in steps] == [
        ("p", "prepare", "completed"),
        ("t0/m", "model", "completed"),
        ("t0/c0", "tool", "completed"),
        ("t1/m", "model", "completed"),
    ]
    assert [run["run_id"] for run in runs] == ["r1"]


OWN_ROUTES = """
    from contextlib import asynccontextmanager
    from agno.agent import Agent
    from agno.os import AgentOS
    from fastapi import FastAPI

    begun = []

    @asynccontextmanager
    async def lifespan(app):
        system.resync(app)
        begun.append([route.path for route in app.routes])
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
        assert await client.get("/extra") == {"begun": 1}, "resync would have removed the route"
        assert (await client.get("/health"))["status"] == health
        assert (await client.http.get("/nowhere")).json()["error_code"] == "NOT_FOUND"
