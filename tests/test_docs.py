"""The docs can be typed: what they declare loads, what they type is answered as they show, what they list is complete.

A page is a small script. Blocks of Python, YAML and JavaScript that begin with ``# name`` are files; in blocks of
``sh`` the lines that serve start a server (the one before it stops) and those with ``curl`` are executed, at the
server's own port. A block of ``json`` after them holds part of the last answer, a block of ``text`` lines of it, in
order; ``…`` stands for anything. A refusal that no such block shows fails. In an address, ``ID`` stands for the id in
the answer of the address before it: in ``/schedules/ID``, for that of ``/schedules``. In blocks of ``console`` the
commands of :data:`OFFLINE` are executed. Blocks of ``bash`` start several processes: one shell executes them all, each
of their commands must succeed, and what such a block answers is what it prints last.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from cyclopts import App, Group

from musterd.cli.main import app as commands
from musterd.cli.remote.server_options import SERVER, ServerOptions
from musterd.core import errors, states
from musterd.core.settings import Settings
from musterd.declare import load
from musterd.declare.python_source import import_file
from musterd.wire.states import STATUS
from tests.support import scanned
from tests.support.forked_process import ForkedProcess
from tests.support.page_shell import SERVER_FOLDER, PageShell
from tests.support.typescript import install_in, node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cyclopts import App

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", DOCS / "quickstart.md", *sorted((DOCS / "howto").glob("*.md"))]
OFFLINE = re.compile(r"\$ (\.venv/bin/musterd (?:schedules|cron) .*)")
"""Commands of ``console`` blocks that need neither a person nor a running server."""
ADDRESS = "127.0.0.1:7777"
START_SECONDS = 100
CURL_SECONDS = 60
STATUS_OF_CURL = "%{stderr}%{http_code}"

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def name_of(path: Path) -> str:
    """The page as a person would say it."""
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[tuple[str, str]]:
    """The page's fenced blocks, each with its language."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def needs_shell(page: Path) -> bool:
    """Whether the page starts several processes."""
    return any(language == "bash" for language, _ in blocks(page))


def needs_terminal(page: Path) -> bool:
    """Whether the page asks the one server that it starts."""
    asks = re.search(
        r"^(curl|\.venv/bin/python \w+\.py|\.venv/bin/musterd run)",
        page.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    return asks is not None and not needs_shell(page)


def files(page: Path) -> dict[str, str]:
    """The files that the page asks its reader to write."""
    named = (
        (re.match(r"(?:#|//) ([\w.]+)\n", text), text)
        for language, text in blocks(page)
        if language in ("python", "yaml", "js")
    )
    return {match[1]: text for match, text in named if match}


def write_files(page: Path, folder: Path) -> list[Path]:
    """Write the page's files into `folder`."""
    for name, text in files(page).items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in files(page)]


# What is declared


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_declares_loads(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in write_files(page, tmp_path):
        text = path.read_text()
        if "Client(" in text:
            continue  # it asks a server
        if path.suffix == ".py" and "Team(" not in text and "create_app" not in text:
            import_file(path)
        elif "create_app" not in text:
            assert load(path.name).teams["desk"].members


def test_the_first_team_is_short() -> None:
    ((_, text),) = files(ROOT / "README.md").items()
    assert len(text.splitlines()) <= 15


# What is typed


class Terminal:
    """Types a page's commands in a folder; at most one server runs there.

    :ivar refusal: the last request with its answer, if it was refused.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: ForkedProcess | subprocess.Popen[str] | None = None
        self._address = ""
        self.refusal = ""
        self._answers: dict[str, str] = {}

    def type(self, command: str) -> str | None:
        """Execute the command; the answer of a request, None for what does not ask one."""
        assert not self.refusal, self.refusal
        words = shlex.split(command)
        variables = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
        words = words[len(variables) :]
        if words[0] == "curl":
            return self._ask(words)
        if Path(words[0]).name == "musterd" and words[1] != "serve":
            return self._command(words[1:])
        if Path(words[0]).name in ("musterd", "uvicorn"):
            self._serve([Path(words[0]).name, *words[1:]], variables)
        if Path(words[0]).name == "python":
            return self._run([sys.executable, *words[1:]])
        if words[0] == "node":
            return self._run([node(), *words[1:]])
        if words[0] == "npm":
            install_in(self._folder)
        return None

    def _serve(self, words: list[str], variables: dict[str, str]) -> None:
        self.close()
        if "--port" in words:
            del words[words.index("--port") :][:2]
        output, environment = self._folder / "output", {**os.environ, **variables, "PYTHONUNBUFFERED": "1"}
        if words[0] == "musterd":
            self._server = ForkedProcess([*words[1:], "--port", "0"], environment, output, self._folder)
        else:
            self._server = subprocess.Popen(
                [sys.executable, "-m", *words, "--port", "0"],
                cwd=self._folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        assert self._server.stdout is not None
        for line in self._server.stdout:
            if match := re.search(r"http://(127\.0\.0\.1:\d+)", line):
                self._address = match[1]
                return
        pytest.fail(f"{shlex.join(words)} did not start: {output.read_text()}")

    def _ask(self, words: list[str]) -> str:
        assert self._server is not None, "nothing is served yet"
        command = [self._with_id(word).replace(ADDRESS, self._address) for word in words]
        done = subprocess.run(
            [*command, "--silent", "--show-error", "--max-time", str(CURL_SECONDS), "--write-out", STATUS_OF_CURL],
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
        self.refusal = f"{shlex.join(command)}: {done.stdout}" if int(done.stderr[-3:]) >= 400 else ""
        if done.stdout.startswith("event: "):
            scanned.check(done.stdout)
        self._answers.update((word, done.stdout) for word in words if ADDRESS in word)
        return done.stdout

    def _with_id(self, word: str) -> str:
        """The word, which may be an address below that of an earlier answer, with the id of that answer."""
        before, mark, after = word.partition("/ID")
        return f"{before}/{json.loads(self._answers[before])['id']}{after}" if mark else word

    def _command(self, words: list[str]) -> str:
        """Execute a command of musterd, which finds the server at its own port."""
        errors = self._folder / "errors"
        process = ForkedProcess(words, self._environment(), errors, self._folder)
        with process.stdout:
            text = process.stdout.read()
        assert process.wait(START_SECONDS) == 0, f"musterd {shlex.join(words)}: {errors.read_text()}"
        return text

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "MUSTERD_URL": f"http://{self._address}"}

    def _run(self, words: list[str]) -> str:
        """Execute a program, which finds the server at its own port."""
        done = subprocess.run(
            words,
            cwd=self._folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(words)}: {done.stderr}"
        return done.stdout

    def close(self) -> None:
        """Stop the server as Ctrl+C does."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(START_SECONDS)
            if self._server.stdout is not None:
                self._server.stdout.close()
            self._server = None


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal in an empty folder."""
    opened = Terminal(tmp_path)
    yield opened
    opened.close()


@needs_curl
@pytest.mark.parametrize("page", [page for page in PAGES if needs_terminal(page)], ids=name_of)
def test_what_a_page_types_is_answered_as_it_shows(page: Path, tmp_path: Path, terminal: Terminal) -> None:
    write_files(page, tmp_path)
    answer: str | None = None
    for language, text in blocks(page):
        if language == "sh":
            for command in text.replace("\\\n", " ").splitlines():
                if command.strip():
                    answer = terminal.type(command)
        elif language == "json":
            assert answer is not None
            documented, actual = json.loads(text), json.loads(answer)
            assert missing(documented, actual) == [], actual
            terminal.refusal = ""
        elif language == "text":
            assert answer is not None
            assert lines_missing(text, answer) == [], answer
            terminal.refusal = ""
        elif language == "console":
            for command in OFFLINE.findall(text):
                terminal.type(command)
    assert not terminal.refusal, terminal.refusal


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[PageShell]:
    """A shell in an empty folder."""
    opened = PageShell(tmp_path, Path(tempfile.mkdtemp(prefix="musterd-pg-")))
    yield opened
    opened.close()


@needs_curl
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", [page for page in PAGES if needs_shell(page)], ids=name_of)
def test_what_a_page_types_in_a_shell_is_answered_as_it_shows(
    page: Path, tmp_path: Path, shell: PageShell, request: pytest.FixtureRequest
) -> None:
    write_files(page, tmp_path)
    if "nats-server" in page.read_text():
        request.getfixturevalue("nats_program")
    if SERVER_FOLDER in page.read_text():
        shell.start_server()
    answer: str | None = None
    for language, text in blocks(page):
        if language == "bash":
            answer = shell.type(text).strip()
        elif language == "json":
            assert answer is not None
            assert answer.endswith(("}", "]")), shell.logs()
            assert missing(json.loads(text), json.loads(answer.splitlines()[-1])) == [], shell.logs()
            shell.refusal = ""
        elif language == "text":
            assert answer is not None
            assert lines_missing(text, answer) == [], shell.logs()
            shell.refusal = ""
    assert not shell.refusal, shell.refusal


def missing(documented: Any, actual: Any, place: str = "") -> list[str]:
    """What `actual` lacks of `documented`: objects may have more keys."""
    if isinstance(documented, dict) and isinstance(actual, dict):
        return [line for key, value in documented.items() for line in missing(value, actual.get(key), f"{place}.{key}")]
    if isinstance(documented, list) and isinstance(actual, list) and len(documented) == len(actual):
        pairs = enumerate(zip(documented, actual, strict=True))
        return [line for number, (ours, theirs) in pairs for line in missing(ours, theirs, f"{place}[{number}]")]
    return [] if documented in ("…", actual) else [f"{place}: documented {documented!r}, actual {actual!r}"]


def lines_missing(documented: str, actual: str) -> list[str]:
    """The lines of `documented` that do not stand in `actual` after the ones before them."""
    left = iter(actual.splitlines())
    return [line for line in documented.splitlines() if line and not any(line in candidate for candidate in left)]


# What is listed


def section(page: str, heading: str) -> str:
    """The text below a heading of the second level."""
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")
    match = re.search(rf"^## {re.escape(heading)}\b.*?\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE)
    assert match, f"{page} has no section '{heading}'"
    return match[1]


def rows(text: str) -> list[list[str]]:
    """The cells of every row of the tables in `text`, heads left out."""
    lines = [line.strip() for line in text.splitlines()]
    heads = {number - 1 for number, line in enumerate(lines) if re.fullmatch(r"\|(-+\|)+", line)}
    table_rows = [line for number, line in enumerate(lines) if line.startswith("| ") and number not in heads]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table_rows]


def code(cell: str) -> list[str]:
    """What stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def shown_value(value: object) -> str:
    """A default as the docs and the environment write it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else "" if value is None else str(value)


def named(above: App, prefix: str = "") -> dict[str, App]:
    """The commands below `above`, those below them in their place, by name."""
    apps: dict[str, App] = {}
    for name in above:
        if not name.startswith("-"):
            below = named(above[name], f"{prefix}{name} ")
            apps.update(below or {f"{prefix}{name}": above[name]})
    return apps


COMMANDS = named(commands)


def test_every_command_is_listed() -> None:
    text = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^## musterd ([a-z ]*[a-z])", text, flags=re.MULTILINE)) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_listed(name: str) -> None:
    expected = {}
    for argument in COMMANDS[name].assemble_argument_collection():
        if SERVER in cast(tuple[Group, ...], argument.parameter.group):
            continue  # the section "Servers" lists these once
        if argument.names[0].startswith("--"):
            expected[tuple(argument.names)] = shown_value(argument.field_info.default)
        else:
            text = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
            assert re.search(rf"^## musterd {name} .*\b{argument.names[0]}\b", text, flags=re.MULTILINE)
    table = rows(section("cli.md", f"musterd {name}"))
    assert {tuple(code(row[0])): "".join(code(row[1])[:1]) for row in table} == expected


def test_the_options_that_name_a_server_are_listed() -> None:
    names = {f"--{field.name}" for field in dataclasses.fields(ServerOptions)}
    assert {name for row in rows(section("cli.md", "Servers")) for name in code(row[0])} == names


def test_the_defaults_of_settings_are_listed() -> None:
    fields = Settings.model_fields
    expected = [
        (str(field.validation_alias or f"MUSTERD_{name.upper()}"), shown_value(field.default))
        for name, field in fields.items()
    ]
    text = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    listed = [(code(row[0])[0], "".join(code(row[1])[:1])) for row in rows(text)]
    assert listed == expected, "in the order of the settings"


def test_every_error_is_listed() -> None:
    tree = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.MusterdError)]
    text = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    table = {tuple(code(row[0])): row for row in rows(text)}
    listed = {name: row for names, row in table.items() for name in names}
    assert {kind.__name__ for kind in tree} == set(listed)
    for kind in tree:
        if issubclass(kind, errors.RequestError):
            assert listed[kind.__name__][1:3] == [f"`{kind.code}`", str(kind.status)]


def test_every_state_and_edge_is_listed() -> None:
    text = (DOCS / "reference" / "states.md").read_text(encoding="utf-8")
    table = rows(text.split("## Edges", maxsplit=1)[0])
    assert {code(row[0])[0]: code(row[1])[0] for row in table} == {str(state): STATUS[state] for state in STATUS}
    edges = set(re.findall(r"^ +(\S+) --> (\S+)$", text, flags=re.MULTILINE))
    expected = {(str(source), str(target)) for source, targets in states.EDGES.items() for target in targets}
    expected |= {("[*]", str(state)) for state in states.ACCEPTED_AS} | {(str(state), "[*]") for state in states.FINAL}
    assert edges == expected
