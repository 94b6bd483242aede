"""The examples run as they are, offline."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from musterd import MCPServer, create_app
from musterd.declare import load
from tests.support.app import in_process, settings_for
from tests.support.http import ServerClient
from tests.support.knowledge_contents import until_listed

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the MCP server of an example longer to start: on a busy machine the default is too short."""
    defaults = MCPServer.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "connect_seconds", 60.0)


@contextlib.asynccontextmanager
async def serving(name: str, database: Path) -> AsyncIterator[ServerClient]:
    """Serve an example on its own model."""
    app = create_app(registry=load(str(EXAMPLES / name)), settings=settings_for(database))
    async with in_process(app) as client:
        yield client


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("Where is my order for A17?", "left the warehouse this morning"),
        ("Is there an invoice for R4711?", "120.00 EUR, paid on 3 May"),
        ("The login shows an error", "Echo: The login shows an error"),
    ],
)
async def test_triage_gives_the_customer_the_desks_own_answer(database: Path, message: str, answer: str) -> None:
    async with serving("triage.py", database) as client:
        run = await client.run(message, to="teams/triage")
    assert run["status"] == "COMPLETED"
    assert answer in run["content"]
    assert [call["tool_name"] for call in run["tools"]] == ["delegate_task_to_member"]


async def test_the_planner_has_its_tasks_done_in_order(database: Path) -> None:
    async with serving("planner.py", database) as client:
        run = await client.run(
            "find the venue and find the caterer then write the invitation", to="teams/planner", session_id="s1"
        )
        listed = run["session_state"]["_team_tasks"]
    assert run["status"] == "COMPLETED"
    assert [(task["assignee"], task["status"]) for task in listed["tasks"]] == [
        ("scout", "completed"),
        ("cook", "completed"),
        ("writer", "completed"),
    ]
    assert listed["tasks"][2]["dependencies"] == [task["id"] for task in listed["tasks"][:2]]
    assert listed["goal_complete"] is True


LOOK_UP = 'DELEGATE librarian: <TOOL search_library {"topic": "tides"}>'
PUBLISH = 'DELEGATE editor: <TOOL publish {"title": "Tides", "text": "They rise and fall."}>'


async def test_the_research_desk_publishes_what_a_person_approved_once(database: Path) -> None:
    async with serving("research.py", database) as client:
        run = await client.run(f"[[{LOOK_UP} || {PUBLISH}]]", to="teams/research", session_id="s1")
        assert run["status"] == "PAUSED"
        (waiting,) = (await client.get("/approvals", status="pending"))["data"]
        assert (waiting["tool_name"], waiting["approval_type"]) == ("publish", "required")
    async with serving("research.py", database) as client:  # the server was stopped meanwhile
        resolved = await client.http.post(f"/approvals/{waiting['id']}/resolve", json={"status": "approved"})
        assert resolved.status_code == 200
        path = f"/teams/research/runs/{run['run_id']}"
        ended = await client.get(path, session_id="s1", wait=60)
        assert (await client.get("/approvals", status="pending"))["data"] == []
    assert ended["status"] == "COMPLETED"
    assert "Tides rise and fall twice a day" in ended["content"]
    assert "Published 'Tides' as number 1." in ended["content"]
    assert ended["session_state"]["published"] == [{"title": "Tides", "text": "They rise and fall."}]


@pytest.mark.parametrize(("is_confirmed", "status"), [(True, "COMPLETED"), (False, "CANCELLED")])
async def test_the_article_is_published_with_a_persons_consent(database: Path, is_confirmed: bool, status: str) -> None:
    async with serving("article.py", database) as client:
        run = await client.run("The kettle", to="workflows/article", session_id="s1")
        (question,) = run["step_requirements"]
        decision = json.dumps([{"id": question["id"], "confirmed": is_confirmed}])
        form = {"session_id": "s1", "stream": "false", "step_requirements": decision}
        answer = await client.http.post(f"/workflows/article/runs/{run['run_id']}/continue", data=form)
    assert (run["status"], question["confirmation_message"]) == ("PAUSED", "Publish this article?")
    assert [step["step_name"] for step in run["step_results"]] == ["research", "drafts", "reviews", "collect"]
    assert answer.json()["status"] == status
    assert answer.json()["content"].startswith("Published:\n\nEcho:") is is_confirmed


@pytest.mark.parametrize(
    ("message", "fact", "name", "place"),
    [
        (
            "How many days of holidays do I have?",
            "25 days of holidays",
            "holidays.md",
            "Holidays and absence",
        ),
        ("What may a hotel cost?", "up to 1,600 kroner a night", "expenses.md", "Expenses"),
        ("Where do I put a damaged battery?", "sand box in the yard", "workshop-safety.pdf", "page 2"),
    ],
)
async def test_the_handbook_names_its_sources(
    database: Path, monkeypatch: pytest.MonkeyPatch, message: str, fact: str, name: str, place: str
) -> None:
    monkeypatch.setenv("MUSTERD_EXAMPLE_MODEL", "scripted")
    async with serving("handbook.py", database) as client:
        await until_listed(client, 3)
        run = await client.run(message, to="agents/handbook")
    assert run["status"] == "COMPLETED"
    (search,) = run["references"]
    assert (name, place) in [(source["name"], source["place"]) for source in search["references"]]
    assert fact in " ".join(run["content"].replace("\\n", " ").split())  # the scripted model repeats what it reads
