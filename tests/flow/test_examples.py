"""The examples run as they are, offline."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from musterd import create_app
from musterd.specs import load
from tests.support.app import in_process, settings_for
from tests.support.http import House

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@contextlib.asynccontextmanager
async def serving(name: str, database: Path) -> AsyncIterator[House]:
    """Serve an example on its own model."""
    app = create_app(registry=load(str(EXAMPLES / name)), settings=settings_for(database))
    async with in_process(app) as house:
        yield house


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("Where is my order for A17?", "left the warehouse this morning"),
        ("Is there an invoice for R4711?", "120.00 EUR, paid on 3 May"),
        ("The login shows an error", "Echo: The login shows an error"),
    ],
)
async def test_triage_gives_the_customer_the_desks_own_answer(database: Path, message: str, answer: str) -> None:
    async with serving("triage.py", database) as house:
        run = await house.run(message, to="teams/triage")
    assert run["status"] == "COMPLETED"
    assert answer in run["content"]
    assert [call["tool_name"] for call in run["tools"]] == ["delegate_task_to_member"]


async def test_the_planner_has_its_tasks_done_in_order(database: Path) -> None:
    async with serving("planner.py", database) as house:
        run = await house.run(
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
