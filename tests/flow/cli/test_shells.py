"""The completion scripts in real shells."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from musterd.cli.main import main
from tests.support.tmux import TMUX, TmuxTerminal

PROFILES = '{"profiles": {"production": {"url": "http://a"}, "staging": {"url": "http://b"}}}'
LINES = [("musterd sch", "schedules"), ("musterd init --templ", "--template"), ("musterd profile use st", "staging")]
ZSHRC = "fpath=({folder} $fpath); autoload -U compinit; compinit -u -D; bindkey -e; PS1='ready> '\n"


@pytest.fixture
def environment(config_folder: Path) -> dict[str, str]:
    """Environment variables with which a shell finds the program and its profiles."""
    (config_folder / "musterd").mkdir(parents=True)
    (config_folder / "musterd" / "profiles.json").write_text(PROFILES)
    return {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "XDG_CONFIG_HOME": str(config_folder)}


@pytest.fixture
def shell_with_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str, str], str]:
    """Write the completion script of a shell to this file, and return the path of the shell."""

    def write(shell: str, name: str) -> str:
        path = shutil.which(shell)
        if not path or not TMUX:
            reason = f"{shell} or tmux is not installed: .venv/bin/python tools/install.py terminal"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        assert main(["completion", shell]) == 0
        (tmp_path / name).write_text(capsys.readouterr().out)
        return path

    return write


def test_fish(shell_with_script: Callable[[str, str], str], environment: dict[str, str], tmp_path: Path) -> None:
    fish = shell_with_script("fish", "musterd.fish")
    for line, completed in LINES:
        command = f"source {tmp_path}/musterd.fish; complete -C '{line}'"
        done = subprocess.run(
            [fish, "--no-config", "-c", command],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **environment},
        )
        assert [row.partition("\t")[0] for row in done.stdout.splitlines()] == [completed]


async def test_zsh(shell_with_script: Callable[[str, str], str], environment: dict[str, str], tmp_path: Path) -> None:
    zsh = shell_with_script("zsh", "_cyclopts_musterd")
    (tmp_path / ".zshrc").write_text(ZSHRC.format(folder=tmp_path))
    variables = {**environment, "ZDOTDIR": str(tmp_path)}
    for line, completed in LINES:
        with TmuxTerminal("-i", program=[zsh], environment=variables) as terminal:
            await asyncio.to_thread(terminal.until, "ready>")
            terminal.type(line, key="Tab")
            await asyncio.to_thread(terminal.until, f"{line.rpartition(' ')[0]} {completed}")
