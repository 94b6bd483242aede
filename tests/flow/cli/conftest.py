"""The commands that talk to a server, called as from a shell without a terminal."""

from pathlib import Path

import pytest

from musterd import Agent, Team, tool
from tests.support.app import Sample
from tests.support.commands import Command, Outcome, TalkTo, code_of
from tests.support.held_model import HeldModel


@pytest.fixture
def config_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for configuration that is empty."""
    folder = tmp_path / "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    return folder


@pytest.fixture
def musterd(capsys: pytest.CaptureFixture[str], config_folder: Path) -> Command:
    """Call a command in a thread, so that the server of the test can answer it."""

    async def call(*words: str) -> Outcome:
        capsys.readouterr()
        code = await code_of(*words)
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return call


@pytest.fixture
def talk_to(monkeypatch: pytest.MonkeyPatch) -> TalkTo:
    """Let commands talk to a server."""
    return lambda server: monkeypatch.setenv("MUSTERD_URL", str(server.http.base_url))


@pytest.fixture
def asking() -> Sample:
    """The team ``desk``, whose tool ``publish`` waits for a person."""

    @tool(requires_confirmation=True)
    def publish(title: str, copies: int) -> str:
        """Publish something."""
        return f"{copies} copies of {title}"

    model = HeldModel()
    writer = Agent(id="writer", name="Writer", role="Writes", tools=[publish])
    return Sample([Team(id="desk", name="News Desk", members=[writer], tools=[publish], model=model)], [])
