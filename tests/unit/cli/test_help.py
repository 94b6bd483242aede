"""``--help`` of every command imports nothing heavy, and completion knows all commands."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from musterd.cli.main import app, main

HEAVY = {
    "aiohttp",
    "alembic",
    "anyio",
    "httpx2",
    "jsonschema_rs",
    "numpy",
    "openai",
    "prometheus_client",
    "psycopg",
} | {
    *("pydantic", "pydantic_ai", "pydantic_settings", "sqlalchemy", "sqlite3", "starlette", "structlog", "uvicorn"),
    *("rich.live", "watchfiles", "webbrowser", "yaml"),
}
OURS = {
    "musterd",
    "musterd.core",
    "musterd.core.clock",
    "musterd.core.errors",
    "musterd.core.jsontypes",
} | {f"musterd.core.{name}" for name in ("garbage_collection", "loopback", "redacted_urls", "source_files")}
SHELLS = ["bash", "zsh", "fish"]
PRINT_MODULES = """\
import contextlib, io, sys
from musterd.cli.main import main
help = io.StringIO()
with contextlib.redirect_stdout(help):
    for command in sys.argv[1:]:
        main([*command.split(), "--help"])
assert help.getvalue().count("Usage: ") == len(sys.argv) - 1
print(*sys.modules)
"""


def commands(above: App, prefix: str = "") -> Iterator[str]:
    """All commands and groups of commands."""
    yield prefix
    for name in above:
        if not name.startswith("-"):
            yield from commands(above[name], f"{prefix} {name}".strip())


def test_help_says_time_and_not_instant(capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands(app):
        main([*command.split(), "--help"])
    main(["fields", "schedule"])
    assert "instant" not in capsys.readouterr().out


def test_help_imports_nothing_that_it_does_not_need() -> None:
    command = [sys.executable, "-c", PRINT_MODULES, *commands(app)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules = set(done.stdout.split())
    assert modules & HEAVY == set()
    ours = {name for name in modules if name.startswith("musterd") and not name.startswith("musterd.cli")}
    assert ours == OURS


def test_help_begins_with_the_commands_that_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    panels = re.split(r"╭─ (.+?) ─", capsys.readouterr().out)[1:]
    names = [re.findall(r"^│ (\S+)", panel, flags=re.MULTILINE) for panel in panels[1::2]]
    assert (panels[0], names[0]) == ("Start here", ["init", "dev", "run", "demo"])
    assert {name for group in names for name in group} >= {name for name in app if not name.startswith("-")}


def test_the_help_of_run_says_what_keys_do_and_what_exit_codes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "Ctrl+C cancels the run" in words
    assert "Exit codes: 0 completed, 1 failed, 2 wrong usage, 3 it waits for a decision" in words


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_takes_the_script_that_completes(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = tmp_path / "completion"
    script.write_text(capsys.readouterr().out)
    assert all(name in script.read_text() for name in ("doctor", "schedules", "--template"))
    if shutil.which(shell) is not None:
        done = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["musterd", "sch"], ["schedules"]),
        (["musterd", "init", "--templ"], ["--template"]),
        ([str(Path(sys.executable).with_name("musterd")), "profile", "use", "st"], ["staging"]),
    ],
)
def test_bash_completes_commands_options_and_names(
    words: list[str], expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = '{"profiles": {"production": {"url": "http://a"}, "staging": {"url": "http://b"}}}'
    (tmp_path / "musterd").mkdir()
    (tmp_path / "musterd" / "profiles.json").write_text(names)
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion"
    script.write_text(capsys.readouterr().out)
    line = f"""\
source {script}
COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}; COMP_LINE="{" ".join(words)}"; COMP_POINT=${{#COMP_LINE}}
function_name=$(complete -p musterd | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function_name musterd "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": os.defpath, "XDG_CONFIG_HOME": str(tmp_path)},
    )
    assert [word.strip() for word in done.stdout.split()] == expected, done.stderr
