"""What agent-ui would show: the page scans for braces, and shows nothing of what it cannot make out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import httpx2
import pytest

from musterd.core import clock
from tests.support.agent_ui import AgentUi, Scanner

if TYPE_CHECKING:
    from pathlib import Path

DELEGATE = '[[DELEGATE weather-agent: <TOOL get_weather {"city": "Paris"}>]]'


@pytest.fixture
def ui(http: httpx2.Client) -> AgentUi:
    """The page, opened."""
    opened = AgentUi(http)
    opened.open()
    return opened


def test_a_new_chat(ui: AgentUi) -> None:
    ui.send("[[WORDS 40]]")
    assert [bubble.role for bubble in ui.bubbles] == ["user", "agent"]
    assert ui.bubbles[-1].content == " ".join(f"word{number}" for number in range(40))
    assert ui.session_id in [session["session_id"] for session in ui.list_sessions()]
    first = ui.session_id
    ui.send("[[SAY and on]]")
    assert ui.session_id == first


@pytest.mark.parametrize("text", ['a {b} "c" \\ d', "}}}{{{", '{"event": "RunCompleted", "data": 1}', "ünï→😀"])
def test_an_answer_with_braces_and_quotes_is_shown_as_it_is(ui: AgentUi, text: str) -> None:
    ui.send(f"[[SAY {text}]]")
    assert ui.bubbles[-1].content == text


def test_deltas_and_members_end_in_the_leaders_answer(
    http: httpx2.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = AgentUi(http, chosen="archive-team")
    page.open()
    load, file = page.load, tmp_path / "pipe"
    os.mkfifo(file)  # the member's tool reads it, and so waits for the page

    def load_before_the_member_ends(session_id: str) -> None:
        load(session_id)
        file.write_text("Sunny in Paris")

    monkeypatch.setattr(page, "load", load_before_the_member_ends)
    message = f'[[DELEGATE reader-agent: <TOOL read_file {{"path": "{file}"}}>]]'
    page.send(message)
    assert [bubble.content for bubble in page.bubbles] == [message, "Done: Done: Sunny in Paris"]
    bubble = page.bubbles[-1]
    # In no order: the load replaces the list of calls, and the leader's call comes back when it completes.
    assert sorted((tool["tool_name"], tool["tool_call_error"]) for tool in bubble.tools) == [
        ("delegate_task_to_member", False),
        ("read_file", False),
    ]


def test_a_chat_is_loaded_as_it_was(ui: AgentUi, http: httpx2.Client) -> None:
    # Not with the first message: the page loads a new session when a member starts, before its end or after.
    ui.send('[[SAY {"a": 1}]]')
    ui.send(DELEGATE)
    again = AgentUi(http)
    again.open()
    assert ui.session_id
    again.load(ui.session_id)
    bubbles = [(bubble.role, bubble.content) for bubble in ui.bubbles]
    member = [("user", '[[TOOL get_weather {"city": "Paris"}]]'), ("agent", "Done: Sunny in Paris")]
    assert [(bubble.role, bubble.content) for bubble in again.bubbles] == [*bubbles[:2], *member, *bubbles[2:]]


def test_an_object_is_shown_as_json(http: httpx2.Client) -> None:
    opened = AgentUi(http, chosen="person-team")
    opened.open()
    opened.send('[[SAY {"name": "Ann", "age": 7}]]')
    assert opened.bubbles[-1].content == '{"name": "Ann", "age": 7}'


def test_a_failed_run_is_marked_with_words(ui: AgentUi) -> None:
    ui.send("[[ERROR 400]]")
    assert ui.bubbles[-1].is_failed
    assert "400" in ui.error


def test_a_chat_that_is_at_work_is_not_blank(ui: AgentUi, http: httpx2.Client) -> None:
    session_id = clock.new_id()
    form = {"message": "[[WORDS 100 500]]", "background": "true", "stream": "false", "session_id": session_id}
    run_id = http.post("/teams/demo-team/runs", data=form).json()["run_id"]
    ui.load(session_id)
    assert [bubble.content for bubble in ui.bubbles] == ["[[WORDS 100 500]]", ""]
    http.post(f"/teams/demo-team/runs/{run_id}/cancel").raise_for_status()


def test_a_deleted_chat_is_not_listed(ui: AgentUi) -> None:
    ui.send("hello")
    assert ui.session_id
    ui.delete(ui.session_id)
    assert ui.session_id not in [session["session_id"] for session in ui.list_sessions()]


def test_an_agent_is_chosen(http: httpx2.Client) -> None:
    opened = AgentUi(http, "agent", "solo-agent")
    assert "weather-agent" in opened.open()
    opened.send("[[SAY hello]]")
    assert opened.bubbles[-1].content == "hello"
    assert [session["session_name"] for session in opened.list_sessions()]


def test_the_page_of_another_origin_may_ask(http: httpx2.Client) -> None:
    asks = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = http.options("/teams", headers=asks)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "content-type" in answer.headers["access-control-allow-headers"].lower()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_scanner_reads_pieces_of_any_size(size: int) -> None:
    first = ': ping\n\nevent: A\ndata: {"event": "A", "content": "\\"}{\\\\"}\n\n'
    text = first + 'event: B\ndata: {"event": "B", "x": {}}\n\n'
    scanner = Scanner()
    events = [event for start in range(0, len(text), size) for event in scanner.feed(text[start : start + size])]
    assert events == [{"event": "A", "content": '"}{\\'}, {"event": "B", "x": {}}]
