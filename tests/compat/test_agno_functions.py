"""Files that declare their agents and teams with Agno's own classes: what their functions get, and what they leave."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from musterd import Media
from musterd.declare.library_tools.agno_media import agno_medium, musterd_media
from tests.support.agno_apps import Load, serving
from tests.support.http import ServerClient

IDS = """
from agno.agent import Agent
from agno.team import Team
from agno.workflow import Step, StepOutput, Workflow

NAMES = ("current_user_id", "current_session_id", "workflow_id", "workflow_name")
RUNS = set()


def seen(state):
    assert state["current_run_id"]
    RUNS.add(state["current_run_id"])
    return [state.get(name) for name in NAMES]


def note(run_context, place):
    run_context.session_state.setdefault("places", {})[place] = seen(run_context.session_state)


def before(run_input, run_context):
    note(run_context, "pre-hook")


async def after(run_output, session_state):
    session_state["places"]["post-hook"] = seen(session_state)


def around(function_name, function_call, arguments, run_context):
    note(run_context, "tool hook")
    result = function_call(**arguments)
    run_context.session_state["places"]["after the tool"] = seen(run_context.session_state)
    return result


def look(run_context) -> str:
    "Look."
    run_context.session_state = {**run_context.session_state, "tool": seen(run_context.session_state)}
    return "done"


def instructions(session_state):
    return f"Functions: {seen(session_state)}"


def step(step_input, session_state):
    session_state["step"] = seen(session_state)
    return StepOutput(content="done")


solo = Agent(
    id="solo", instructions=instructions, tools=[look], tool_hooks=[around], pre_hooks=[before], post_hooks=[after]
)
plain = Agent(id="plain", instructions="Text: {current_user_id} {current_session_id} {current_run_id}")
crew = Team(id="crew", members=[plain], tool_hooks=[around], store_member_responses=True)
flow = Workflow(id="flow", name="Flow", steps=[Step(name="only", executor=step)])
"""


async def test_the_session_state_has_the_ids_of_the_run_while_the_files_code_runs(load: Load, database: Path) -> None:
    ids: dict[str, Any] = {"session_state": json.dumps({"current_user_id": "forged"}), "user_id": "ann"}
    async with serving(load(IDS), database) as client:
        solo = await client.run("[[TOOL look {}]]", to="agents/solo", session_id="s1", **ids)
        plain = await client.run("hello", to="agents/plain", session_id="s2", user_id="ann")
        crew = await client.run("[[DELEGATE plain: hello]]", to="teams/crew", session_id="s3", user_id="ann")
        flow = await client.run("hello", to="workflows/flow", session_id="s4", user_id="ann")
        (member,) = crew["member_responses"]
        texts = {run["run_id"]: await system_text(client, run) for run in (solo, plain, member)}
    of_solo = ["ann", "s1", None, None]
    places = ("pre-hook", "tool hook", "after the tool", "post-hook")
    assert solo["session_state"] == {
        "current_user_id": "forged",
        "tool": of_solo,
        "places": dict.fromkeys(places, of_solo),
    }
    assert texts[solo["run_id"]] == f"Functions: {of_solo}"
    assert texts[plain["run_id"]] == f"Text: ann s2 {plain['run_id']}"
    assert crew["session_state"] == {"places": {place: ["ann", "s3", None, None] for place in places[1:3]}}
    # The team's hook has the ids of the team's run in the state, while the member has its own.
    assert texts[member["run_id"]] == f"Text: ann s3 {member['run_id']}"
    assert flow["session_state"] == {"step": ["ann", "s4", "flow", "Flow"]}


async def system_text(client: ServerClient, run: dict[str, Any]) -> str:
    messages = run.get("messages") or (await client.http.get(f"/runs/{run['run_id']}/export")).json()["run"]["messages"]
    return str(messages[0]["content"]).splitlines()[0]


EXITS = """
from agno.agent import Agent
from agno.exceptions import RetryAgentRun, StopAgentRun
from agno.tools import tool


def before(fc):
    if fc.arguments["item"] == "poison":
        raise StopAgentRun("not here")


async def after(fc):
    if fc.arguments["item"] == "stone":
        raise RetryAgentRun(f"{fc.result}, but nobody eats stones")


async def around(function_name, function_call, arguments):
    if arguments["item"] == "gold":
        raise StopAgentRun("too expensive")
    return await function_call(**arguments)


@tool(pre_hook=before, post_hook=after, tool_hooks=[around])
def put(item: str, run_context) -> str:
    "Put an item into the cart."
    cart = run_context.session_state.setdefault("cart", [])
    cart.append(item)
    if len(cart) < 2:
        raise RetryAgentRun("add another one")
    if item == "end":
        raise ValueError("no such item")
    return item


solo = Agent(id="solo", tools=[put], session_state={"cart": []})
"""


@pytest.mark.parametrize(
    ("item", "result", "cart"),
    [
        ("poison", "not here", ["tea"]),
        ("gold", "too expensive", ["tea"]),
        ("stone", "stone, but nobody eats stones", ["tea", "stone"]),
        ("end", "no such item", ["tea"]),
    ],
)
async def test_hooks_of_tools_raise_agnos_exceptions(
    load: Load, database: Path, item: str, result: str, cart: list[str]
) -> None:
    async with serving(load(EXITS), database) as client:
        first = await client.run('[[TOOL put {"item": "tea"}]]', to="agents/solo", session_id="s1")
        run = await client.run(f'[[TOOL put {{"item": "{item}"}}]]', to="agents/solo", session_id="s1")
    (call,) = first["tools"]
    assert (call["result"], call["tool_call_error"], first["session_state"]) == (
        "add another one",
        True,
        {"cart": ["tea"]},
    )
    (call,) = run["tools"]
    assert (call["result"], call["tool_call_error"], run["session_state"]["cart"]) == (result, True, cart)
    assert (run["content"] == result) == (item in ("poison", "gold")), "StopAgentRun ends the run"


DEPENDENCIES = """
from agno.agent import Agent

CALLS = []


async def price(session_state):
    CALLS.append("price")
    session_state["priced"] = True
    return 3


def client():
    CALLS.append("client")
    return object()


def check(run_input, run_context):
    price, client = run_context.dependencies["price"], run_context.dependencies["client"]
    run_context.session_state["hook"] = [price, type(client).__name__]


def tools_of(run_context):
    def look() -> str:
        "Look."
        return f"{run_context.dependencies['price']} euros"

    return [look]


solo = Agent(
    id="solo",
    dependencies={"price": price, "client": client},
    pre_hooks=[check],
    tools=tools_of,
    instructions="The price is {price}.",
)
"""


async def test_dependencies_are_there_for_pre_hooks_and_the_function_that_returns_tools(
    load: Load, database: Path
) -> None:
    async with serving(load(DEPENDENCIES), database) as client:
        run = await client.run("[[TOOL look {}]]", to="agents/solo", session_id="s1")
        text = await system_text(client, run)
    assert run["tools"][0]["result"] == "3 euros"
    assert run["session_state"] == {"priced": True, "hook": [3, "object"]}
    assert text.startswith("The price is 3.")
    assert sys.modules["shop"].CALLS == ["price", "client"]


STEP_MEDIA = """
from agno.media import File, Image
from agno.workflow import Router, Step, StepInput, StepOutput, Workflow


class Reader:
    async def __call__(self, step_input: StepInput, session_state) -> StepOutput:
        (image,), (file,) = step_input.images, step_input.files
        assert isinstance(image, Image) and isinstance(file, File)
        content = f"{len(image.get_content_bytes())} {file.filename} {file.format} {file.get_content_bytes().decode()}"
        session_state["seen"] = step_input.to_dict()["files"][0]["filename"]
        return StepOutput(content=content, images=step_input.images, files=step_input.files)


def again(step_input: StepInput):
    (image,) = step_input.get_step_output("read").images
    assert isinstance(image, Image)
    return step_input.get_step_output("read")


def count(step_input: StepInput) -> str:
    image, file = step_input.images[-1], step_input.files[-1]  # those of the request and of the steps before
    return f"{len(step_input.images)} {image.get_content_bytes()[1:4].decode()} {file.filename}"


def choose(step_input: StepInput):
    return "count" if isinstance(step_input.images[0], Image) else "none"


steps = [Step(name="read", executor=Reader()), Step(name="again", executor=again)]
router = Router(name="choose", selector=choose, choices=[Step(name="count", executor=count)])
flow = Workflow(id="flow", steps=[*steps, router])
"""


async def test_functions_of_workflows_get_and_return_agnos_media(load: Load, database: Path) -> None:
    files = [("files", ("a.png", b"\x89PNG rest", "image/png")), ("files", ("a.md", b"# Hi", "text/markdown"))]
    async with serving(load(STEP_MEDIA), database) as client:
        run = await client.run("hello", to="workflows/flow", session_id="s1", files=files)
    assert (run["status"], run["content"]) == ("COMPLETED", "3 PNG a.md")
    read, again = run["step_results"][:2]
    assert read["content"] == again["content"] == "9 a.md md # Hi"
    assert run["session_state"] == {"seen": "a.md"}


def test_a_file_of_a_type_that_agno_does_not_accept_has_its_name(importable_agno: Path) -> None:
    file = agno_medium("files", content=b"a", filename="a.xlsx", mime_type="application/x-own")
    assert (file.filename, file.format, file.mime_type) == ("a.xlsx", "xlsx", None)
    unnamed = agno_medium("files", content=b"# Hi", mime_type="text/markdown")
    assert (unnamed.filename, unnamed.format, unnamed.mime_type) == ("file.md", "md", None)
    named = agno_medium("files", content=b"a,b", filename="a.csv", mime_type="text/csv")
    assert (named.filename, named.format, named.mime_type) == ("a.csv", None, "text/csv")
    back = (musterd_media([unnamed]) or [Media()])[0]
    assert (back.mime_type, back.content) == ("text/markdown", b"# Hi")


USER_LEARNING = """
from dataclasses import dataclass, field

from agno.agent import Agent
from agno.learn import LearningMachine, LearningMode, UserMemoryConfig, UserProfileConfig
from agno.learn.schemas import UserProfile
from agno.memory import MemoryManager


@dataclass
class Customer(UserProfile):
    company: str = field(default="", metadata={"description": "Where they work"})
    Nickname: str = ""


profile = UserProfileConfig(mode=LearningMode.AGENTIC, schema=Customer, instructions="Ask for the company.")
memory = UserMemoryConfig(mode=LearningMode.AGENTIC, enable_delete_memory=False, instructions="Only food.")
agentic = Agent(id="agentic", learning=LearningMachine(user_profile=profile, user_memory=memory))
mixed = Agent(
    id="mixed",
    learning=LearningMachine(user_profile=profile, user_memory=UserMemoryConfig(enable_agent_tools=True)),
    memory_manager=MemoryManager(additional_instructions="Be brief.", memory_capture_instructions="Everything."),
)
plain = Agent(id="plain", learning=LearningMachine(user_profile=True, user_memory=True))
"""


def test_the_settings_of_profiles_and_memories_count(load: Load) -> None:
    loaded = load(USER_LEARNING)
    agentic, mixed, plain = (loaded.registry.agents[name].spec for name in ("agentic", "mixed", "plain"))
    assert [spec.enable_agentic_memory for spec in (agentic, mixed, plain)] == [True, False, False]
    assert all(spec.learning for spec in (agentic, mixed, plain))
    manager, other = agentic.memory_manager, mixed.memory_manager
    assert (manager is None, other is None, plain.memory_manager) == (False, False, None)
    assert manager is not None
    assert other is not None
    assert manager.memory_capture_instructions == "Ask for the company.\n\nOnly food."
    assert (manager.add_memories, manager.delete_memories) == (True, False)
    assert manager.profile_fields == other.profile_fields == {"company": "Where they work"}
    assert (other.additional_instructions, other.memory_capture_instructions) == ("Be brief.", "Everything.")
    lines = [line.partition(": ")[2] for line in loaded.report.lines()]
    assert {
        "the field 'Nickname' of a UserProfile — the profile does not have it",
        "LearningMachine with several modes — memories and profile have one: a model reads each message",
        "UserMemoryConfig(enable_agent_tools=True) — a model reads each message; there is no tool",
    } <= set(lines)
