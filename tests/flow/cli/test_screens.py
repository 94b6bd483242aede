"""The screens of the commands, as a terminal of tmux shows them."""

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.app import Sample, Serve
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient
from tests.support.tmux import TMUX, TmuxTerminal

PUBLISH = '[[TOOL publish {"title": "Hi", "copies": 2}]]'
TWO_MEMBERS = "[[DELEGATE weather-agent: <WORDS 3> || DELEGATE writer-agent: <WORDS 3>]]"
COLOR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38|48)[;m]")

Open = Callable[..., TmuxTerminal]


@pytest.fixture
def open_terminal(config_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open a terminal with a command for a server."""
    if TMUX is None:
        what = "tmux is not installed: .venv/bin/python tools/install.py terminal"
        pytest.fail(what) if os.environ.get("CI") == "true" else pytest.skip(what)
    monkeypatch.delenv("NO_COLOR", raising=False)

    def open_one(server: ServerClient, *words: str, **options: Any) -> TmuxTerminal:
        environment = {"MUSTERD_URL": str(server.http.base_url), **options.pop("environment", {})}
        return TmuxTerminal(*words, environment=environment, **options)

    return open_one


@pytest.mark.parametrize(("columns", "side_by_side"), [(120, 3), (80, 2), (40, 1)])
async def test_the_live_view_fits_the_terminal_and_leaves_the_answer(
    serve_live: Serve, open_terminal: Open, columns: int, side_by_side: int
) -> None:
    async with serve_live() as server:
        hold = server.model.hold("[[WORDS", after=2)
        with open_terminal(server, "run", "demo-team", TWO_MEMBERS, columns=columns) as terminal:
            texts = ("Demo Team", "Weather Agent", "Writer Agent", "writing", "word0 word1", "tokens")
            screen = await asyncio.to_thread(
                terminal.until, *texts, is_whole=lambda screen: screen.count("╯") == screen.count("╭")
            )
            lines = screen.splitlines()
            assert lines[0].startswith("demo-team  ")
            assert max(line.count("╭") for line in lines) == side_by_side
            assert max(map(len, lines)) == columns
            assert [screen.count(corner) for corner in "╭╮╰╯"] == [3] * 4
            hold.release()
            assert await asyncio.to_thread(terminal.end) == 0
            assert terminal.screen().startswith("Done: word0 word1 word2")
            assert "COMPLETED" in terminal.screen()
            assert "╭" not in terminal.screen()


async def test_keys_that_are_pressed_meanwhile_leave_nothing_behind(serve_live: Serve, open_terminal: Open) -> None:
    async with serve_live() as server:
        hold = server.model.hold("hello")
        with open_terminal(server, "run", "demo-team", "hello") as terminal:
            await asyncio.to_thread(terminal.until, "thinking", "╯")
            for number in range(3):
                terminal.type(f"typed {number}")
            hold.release()
            assert await asyncio.to_thread(terminal.end) == 0
            screen = terminal.screen()
            assert screen.startswith("Echo: hello"), screen
            assert "typed" not in screen


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize(
    ("lines", "code", "text"),
    [
        (["y"], 0, "Done: 2 copies of Hi"),
        (["n", "too long"], 0, "too long"),
        (["e", "", "5", "y"], 0, "5 copies of Hi"),
        (["l"], 3, "musterd approvals show "),
    ],
)
async def test_an_approval_is_asked_below_what_was_there(
    serve_live: Serve, open_terminal: Open, asking: Sample, columns: int, lines: list[str], code: int, text: str
) -> None:
    async with serve_live(served=asking) as server:
        with open_terminal(server, "run", "desk", PUBLISH, columns=columns) as terminal:
            assert "╭" not in await asyncio.to_thread(terminal.until, "[l]ater?")
            for line in lines:
                terminal.type(line)
            assert await asyncio.to_thread(terminal.end) == code
            screen = terminal.screen()
            assert text in screen.replace("\n", "")
            assert screen.count("[l]ater?") == (2 if "e" in lines else 1)


async def test_what_was_typed_before_a_question_is_no_answer(
    serve_live: Serve, open_terminal: Open, asking: Sample
) -> None:
    model = asking.teams[0].model
    assert isinstance(model, HeldModel)
    hold = model.hold(PUBLISH)
    async with serve_live(served=asking) as server:
        with open_terminal(server, "run", "desk", PUBLISH) as terminal:
            await asyncio.to_thread(terminal.until, "thinking")
            terminal.type("y")
            hold.release()
            await asyncio.to_thread(terminal.until, "[l]ater?")
            terminal.type("l")
            assert await asyncio.to_thread(terminal.end) == 3


async def test_a_value_that_does_not_fit_is_asked_for_again(
    serve_live: Serve, open_terminal: Open, asking: Sample
) -> None:
    async with serve_live(served=asking) as server:
        with open_terminal(server, "run", "desk", PUBLISH) as terminal:
            await asyncio.to_thread(terminal.until, "[l]ater?")
            for line in ("e", "", "two", "y"):
                terminal.type(line)
            words = 'Not accepted: copies: "two" is not of type "integer"'
            await asyncio.to_thread(terminal.until, words, is_whole=lambda screen: screen.count("[l]ater?") == 3)
            terminal.type("y")
            assert await asyncio.to_thread(terminal.end) == 0
            assert "Done: 2 copies of Hi" in terminal.screen()


async def test_ctrl_c_cancels_and_shows_the_receipt(serve_live: Serve, open_terminal: Open) -> None:
    async with serve_live() as server:
        server.model.hold("hello")
        with open_terminal(server, "run", "demo-team", "hello") as terminal:
            await asyncio.to_thread(terminal.until, "thinking")
            terminal.press("C-c")
            assert await asyncio.to_thread(terminal.end) == 130
            screen = terminal.screen()
        assert "Cancelling the run. Press Ctrl+C again to detach." in screen
        assert "The run is CANCELLED." in screen
        assert "thinking" not in screen  # nothing of the live view stays
        assert "musterd runs watch " in screen
        assert "╭" not in screen


@pytest.mark.parametrize(("key", "code"), [("C-d", 0), ("C-c", 130)])
async def test_a_conversation(serve_live: Serve, open_terminal: Open, key: str, code: int) -> None:
    async with serve_live() as server:
        with open_terminal(server, "chat", "demo-team", columns=80) as terminal:
            await asyncio.to_thread(terminal.until, "\n>")
            terminal.type("[[SAY one]]")
            await asyncio.to_thread(terminal.until, "> [[SAY one]]", "\none\n", "COMPLETED")
            terminal.type("[[SAY two]]")
            await asyncio.to_thread(terminal.until, "\ntwo\n")
            await asyncio.to_thread(terminal.until, is_whole=lambda screen: screen.endswith("\n>"))
            terminal.press(key)
            assert await asyncio.to_thread(terminal.end) == code
            screen = terminal.screen()
            assert "Continue with: musterd chat demo-team --session " in screen


@pytest.mark.parametrize(("environment", "has_colors"), [({}, True), ({"NO_COLOR": "1"}, False)])
async def test_no_color_is_followed(
    serve_live: Serve, open_terminal: Open, environment: dict[str, str], has_colors: bool
) -> None:
    async with serve_live() as server:
        hold = server.model.hold("[[WORDS", after=2)
        with open_terminal(server, "run", "demo-team", "[[WORDS 3]]", environment=environment) as terminal:
            await asyncio.to_thread(terminal.until, "word0 word1")
            assert bool(COLOR.search(terminal.screen(with_styles=True))) is has_colors
            hold.release()
            assert await asyncio.to_thread(terminal.end) == 0
