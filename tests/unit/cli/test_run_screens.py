"""What is shown of a run while it is at work."""

import io
import re
from typing import Any

import httpx2
import pytest
from rich.console import Console

from musterd.cli.remote.outage import Outage
from musterd.cli.remote.run_progress import RunProgress, line_of
from musterd.cli.remote.screens import LineScreen, LiveScreen
from musterd.client import Event
from musterd.core import clock


def event(name: str, index: int = 0, run: str = "r", depth: int = 0, **fields: Any) -> Event:
    """An event of a team, or of its member."""
    who = {"team_name": "Desk"} if depth == 0 else {"agent_name": run}
    raw = {"event": name, "event_index": index, "run_id": run, "session_id": "s", "nested_depth": depth, "at": index}
    return Event.of({**raw, **who, **fields})


def tool(name: str, **fields: Any) -> dict[str, Any]:
    return {"tool_name": name, "tool_args": {}, "tool_call_error": None, "result": None, **fields}


def test_a_member_is_shown_with_its_call_its_text_and_its_tokens() -> None:
    progress = RunProgress()
    progress.apply(event("TeamRunStarted"))
    progress.apply(event("RunStarted", 1, "writer", 1))
    progress.apply(event("ToolCallStarted", 2, "writer", 1, tool=tool("look", tool_args={"at": "sky"})))
    writer = progress.members["writer"]
    assert (writer.state, writer.words) == ("calling", 'calling look(at="sky")')
    progress.apply(event("ToolCallCompleted", 3, "writer", 1, tool=tool("look", result="blue")))
    progress.apply(event("ModelRequestCompleted", 4, "writer", 1, input_tokens=7, output_tokens=2))
    for text in ("The sky ", "is blue."):
        progress.apply(event("RunContent", 5, "writer", 1, content=text))
    assert (writer.state, writer.words, writer.text) == ("writing", "writing", "The sky is blue.")
    assert (writer.input_tokens, writer.output_tokens) == (7, 2)
    progress.apply(event("RunCompleted", 9, "writer", 1, content="The sky is blue."))
    assert (writer.state, writer.ended_at) == ("completed", 9)


def test_a_model_of_the_server_shows_how_much_of_its_prompt_it_has_read() -> None:
    progress = RunProgress()
    progress.apply(event("TeamModelRequestStarted"))
    progress.apply(event("TeamModelPromptProgress", 1, read_tokens=64, prompt_tokens=200))
    assert progress.members["r"].words == "reading its prompt, 64 of 200 tokens"
    progress.apply(event("TeamModelPromptProgress", 2, read_tokens=200, prompt_tokens=200))
    assert progress.members["r"].words == "thinking"


def test_a_run_that_goes_on_after_a_pause_is_shown_as_such() -> None:
    progress = RunProgress()
    for index, name in enumerate(("TeamRunStarted", "TeamRunPaused", "TeamRunContinued")):
        progress.apply(event(name, index))
    assert progress.members["r"].words == "continued"


def test_calls_at_the_same_time_are_all_shown() -> None:
    progress = RunProgress()
    ask = tool("delegate_task_to_member", tool_call_id="c0", tool_args={"member_id": "writer", "task": "write"})
    progress.apply(event("TeamToolCallStarted", 1, tool=ask))
    progress.apply(event("TeamToolCallStarted", 2, tool=tool("look", tool_call_id="c1")))
    desk = progress.members["r"]
    assert desk.doings == ["asks writer: write", "calling look()"]
    progress.apply(event("TeamToolCallCompleted", 3, tool=ask))
    assert (desk.activity, desk.words) == ("calling", "calling look()")
    progress.apply(event("TeamToolCallCompleted", 4, tool=tool("look", tool_call_id="c1")))
    assert desk.words == "thinking"


def test_a_paused_member_is_shown_with_the_call_that_waits() -> None:
    progress = RunProgress()
    waiting = {"id": "a1", "tool_execution": tool("publish", tool_args={"copies": 2})}
    progress.apply(event("RunPaused", 1, "writer", 1, requirements=[waiting]))
    assert progress.members["writer"].words == "paused: publish(copies=2)"
    progress.apply(event("RunContinued", 2, "writer", 1))
    assert progress.members["writer"].words == "continued"


def test_a_call_that_was_cut_off_does_not_wait_like_a_first_question() -> None:
    progress = RunProgress()
    cut_off = {"id": "a1", "kind": "unknown_outcome", "tool_execution": tool("pay", tool_args={"n": 1})}
    first = {"id": "a2", "kind": "confirmation", "tool_execution": tool("publish")}
    paused = event("RunPaused", 1, "writer", 1, requirements=[cut_off, first])
    writer = progress.apply(paused)
    assert writer.doings == ["paused: cut off, may have happened: pay(n=1)", "paused: publish()"]
    assert line_of(paused, writer) == "waits for a decision (cut off, may have happened: pay(n=1))"
    leaders = event("TeamRunPaused", 2, requirements=[{**cut_off, "member_run_id": "writer"}])
    assert line_of(leaders, progress.apply(leaders)) == "waits for a decision", "the member's line says it"


def test_a_text_that_comes_again_after_a_crash_is_shown_once() -> None:
    progress = RunProgress()
    progress.apply(event("RunContent", 1, "writer", 1, content="The s"))
    progress.apply(event("TeamRunContinued", 2, superseded=[{"run_id": "writer", "path": "", "from_event_index": 1}]))
    progress.apply(event("ModelRequestStarted", 3, "writer", 1))
    progress.apply(event("RunContent", 4, "writer", 1, content="The sky"))
    assert progress.members["writer"].text == "The sky"


@pytest.mark.parametrize(
    ("happened", "line"),
    [
        (event("TeamRunStarted"), "started"),
        (event("WorkflowStarted"), "started"),
        (
            event(
                "TeamToolCallStarted",
                tool=tool("delegate_task_to_member", tool_args={"member_id": "writer", "task": "write"}),
            ),
            "asks writer: write",
        ),
        (event("ToolCallStarted", tool=tool("look")), "calls look()"),
        (event("ToolCallCompleted", tool=tool("look", result="x" * 500)), f"look → {'x' * 160}…"),
        (event("TeamToolCallCompleted", tool=tool("delegate_task_to_member", result="text")), None),
        (event("ToolCallError", tool=tool("look"), error="dark"), "look failed: dark"),
        (
            event("ModelRequestRetried", reason="busy", wait_seconds=1.5),
            "model call failed, retried in 1.5 s: busy",
        ),
        (event("StepStarted", step_name="draft"), "step draft started"),
        (event("StepError", step_name="draft", error="no"), "step draft failed: no"),
        (event("TeamRunPaused"), "waits for a decision"),
        (event("WorkflowError", error="it broke"), "failed: it broke"),
        (event("TeamRunError", content="it broke"), "failed: it broke"),
        (event("TeamRunCancelled", 3), "cancelled (0.0 s)"),
        (event("TeamRunContent", content="word"), None),
    ],
)
def test_the_line_of_an_event(happened: Event, line: str | None) -> None:
    assert line_of(happened, RunProgress().apply(happened)) == line


def test_lines_have_the_seconds_since_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    screen = LineScreen(Outage(), silence_seconds=60)
    screen.show(event("TeamRunStarted", 100))
    screen.show(event("RunStarted", 102, "writer", 1))
    assert capsys.readouterr().err == "   0.0 s  Desk: started\n   2.0 s    writer: started\n"


def test_lines_say_who_works_while_nothing_changes(capsys: pytest.CaptureFixture[str]) -> None:
    screen = LineScreen(Outage(), silence_seconds=60)
    screen.show(event("TeamRunStarted", 10))
    screen.show(event("RunStarted", 12, "writer", 1))
    screen.show(event("ModelRequestStarted", 12, "writer", 1))
    capsys.readouterr()
    screen.show_work()
    assert capsys.readouterr().err == "  65.0 s  … writer thinking\n"


def test_lines_say_for_how_long_a_run_waits_to_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(clock, "monotonic", lambda: 10.0)
    screen = LineScreen(Outage(), silence_seconds=60)
    monkeypatch.setattr(clock, "monotonic", lambda: 12.5)
    screen.show_work()
    assert capsys.readouterr().err == "   2.5 s  … waiting to start\n"


def test_lines_repeat_seldom_who_works(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    screen = LineScreen(Outage(), silence_seconds=60)
    began_at = clock.monotonic()
    for seconds in (0, 2, 4, 11, 13):
        monkeypatch.setattr(clock, "monotonic", lambda at=began_at + seconds: at)
        screen.show_work()
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Outage:
    """A server that has not answered for four seconds."""
    seconds = iter([10.0])
    monkeypatch.setattr(clock, "monotonic", lambda: next(seconds, 14.0))
    outage = Outage()
    for hook in outage.hooks["request"]:
        hook(httpx2.Request("GET", "http://x/runs/r/events"))
    return outage


def test_a_screen_says_that_the_server_does_not_answer(outage: Outage, capsys: pytest.CaptureFixture[str]) -> None:
    line_screen = LineScreen(outage, silence_seconds=60)
    line_screen.show(event("TeamRunStarted", 10))
    capsys.readouterr()
    line_screen.show_work()
    assert capsys.readouterr().err == "  65.0 s  … reconnecting 4.0 s\n"
    file = io.StringIO()
    terminal = Console(file=file, width=80, height=24)
    screen = LiveScreen("desk", "run-1", terminal, lambda: None, outage)
    screen.show(event("TeamRunStarted", 10))
    terminal.print(screen.drawing())
    assert file.getvalue().splitlines()[0].startswith("desk  reconnecting 4.0 s")


def test_a_request_that_is_sent_again_shows_at_once_that_the_server_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([10.0, 10.1, 10.2])
    monkeypatch.setattr(clock, "monotonic", lambda: next(seconds))
    outage, request = Outage(), httpx2.Request("POST", "http://x/runs/r/continue")
    (note_request,), (note_response,) = outage.hooks["request"], outage.hooks["response"]
    note_request(request)
    assert outage.seconds == 0, "it may still be answered"
    note_request(request)
    assert outage.seconds == pytest.approx(0.2)
    note_response(httpx2.Response(200))
    assert outage.seconds == 0


@pytest.mark.parametrize(("status", "seconds"), [(200, 0.0), (204, 0.0), (409, 0.0), (503, 4.0)])
def test_an_answer_ends_the_outage_if_the_server_can_work(outage: Outage, status: int, seconds: float) -> None:
    for hook in outage.hooks["response"]:
        hook(httpx2.Response(status))
    assert outage.seconds == seconds


@pytest.fixture(autouse=True)
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """75 seconds after the start of the run."""
    monkeypatch.setattr(clock, "now", lambda: 75.0)


def drawn(members: int, width: int, height: int, text: str = "") -> list[str]:
    """The live screen of a team with this many members.

    :param text: what the team's leader writes.
    """
    file = io.StringIO()
    terminal = Console(file=file, width=width, height=height, markup=False)
    screen = LiveScreen("desk", "run-1", terminal, lambda: None, Outage())
    screen.show(event("TeamRunStarted"))
    if text:
        screen.show(event("TeamRunContent", content=text))
    for number in range(members):
        screen.show(event("RunContent", number, f"member-{number}", 1, content="[bold]word[/bold] " * 100))
    terminal.print(screen.drawing())
    return file.getvalue().splitlines()


def test_members_stand_side_by_side_as_far_as_the_terminal_is_wide() -> None:
    lines = drawn(members=3, width=150, height=40)
    assert lines[0].startswith("desk  started  1 min 15 s  0 tokens  run-1")
    assert [line.count("╭") for line in lines if "╭" in line] == [4]
    assert [line.count("╭") for line in drawn(3, 80, 40) if "╭" in line] == [2, 2]
    assert "[bold]word[/bold]" in "".join(lines)


def test_a_text_takes_the_width_of_its_panel() -> None:
    line = next(line for line in drawn(members=0, width=120, height=40, text="word " * 100) if "word" in line)
    assert len(line.strip("│ ")) > 110


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 20), (40, 11)])
def test_a_drawing_is_never_higher_than_the_terminal(width: int, height: int) -> None:
    lines = drawn(30, width, height)
    assert len(lines) < height
    assert "Desk" in lines[1]


@pytest.mark.parametrize(
    ("width", "height", "last"), [(80, 24, "Ctrl+C cancels"), (12, 24, "Ctrl+C c…"), (80, 11, "╰")]
)
def test_the_keys_are_below_the_members_if_there_is_room(width: int, height: int, last: str) -> None:
    file = io.StringIO()
    terminal = Console(file=file, width=width, height=height)
    screen = LiveScreen("desk", "run-1", terminal, lambda: None, Outage(), "Ctrl+C cancels")
    screen.show(event("TeamRunStarted"))
    terminal.print(screen.drawing())
    lines = file.getvalue().splitlines()
    assert len(lines) < height
    assert lines[-1].rstrip().startswith(last)


def test_members_that_are_at_work_are_shown_first() -> None:
    file = io.StringIO()
    terminal = Console(file=file, width=80, height=24)
    screen = LiveScreen("desk", "run-1", terminal, lambda: None, Outage())
    screen.show(event("TeamRunStarted"))
    for number in range(30):
        screen.show(event("RunStarted", number, f"member-{number}", 1))
        if number not in (3, 7):
            screen.show(event("RunCompleted", number, f"member-{number}", 1))
    terminal.print(screen.drawing())
    assert re.findall(r"member-\d+|Desk", file.getvalue()) == ["Desk", "member-3", "member-7", "member-29"]


def test_the_cost_is_read_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 0.0, 0.5, 2.5, 2.6, 3.0])
    monkeypatch.setattr(clock, "monotonic", lambda: next(seconds))
    costs = iter([0.25])
    screen = LiveScreen("desk", "run-1", Console(file=io.StringIO()), lambda: next(costs), Outage())
    for index in range(3):
        screen.show(event("TeamModelRequestCompleted", index, input_tokens=1, output_tokens=1))
    assert screen.progress.cost == 0.25


def test_a_run_that_waits_to_start_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "monotonic", lambda: 10.0)
    file = io.StringIO()
    terminal = Console(file=file, width=80, height=24)
    terminal.print(LiveScreen("desk", "run-1", terminal, lambda: None, Outage()).drawing())
    assert file.getvalue().splitlines()[0].startswith("desk  waiting to start  0.0 s  run-1")
