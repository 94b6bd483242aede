"""The installer tells uv what pip is set up with, and nothing that uv was told already."""

from __future__ import annotations

import importlib.util
import itertools
import os
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
INSTALLER = ROOT / "tools" / "install.py"
MIRROR = "https://mirror.example/simple"


@pytest.fixture(scope="module")
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", INSTALLER)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["install"] = module
    spec.loader.exec_module(module)
    return module


def test_the_environment_wins_over_pips_files(install: ModuleType) -> None:
    listing = (
        ":env:.index-url='https://env.example'\nglobal.find-links='\\n/a\\n/b'\nglobal.index-url='https://file.example'"
    )
    assert install.pip_options(listing) == {"index-url": ["https://env.example"], "find-links": ["/a", "/b"]}


def test_uv_is_told_pips_index_certificates_and_folders(install: ModuleType) -> None:
    options = {
        "index-url": [MIRROR],
        "cert": ["/etc/ca.pem"],
        "find-links": ["/a", "/b"],
        "extra-index-url": ["https://x.example"],
    }
    environment = install.uv_environment(options, {"PATH": "/bin"})
    assert environment["UV_DEFAULT_INDEX"] == MIRROR
    assert environment["SSL_CERT_FILE"] == "/etc/ca.pem"
    assert environment["UV_FIND_LINKS"] == "/a,/b"
    assert environment["UV_INDEX"] == "https://x.example"
    assert environment["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert environment["UV_SYSTEM_CERTS"] == "1"
    assert environment["PATH"] == "/bin"


@pytest.mark.parametrize("own", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_what_uv_was_told_already_stands(install: ModuleType, own: str) -> None:
    environment = install.uv_environment({"index-url": [MIRROR]}, {own: "https://own.example"})
    assert environment[own] == "https://own.example"
    assert MIRROR not in environment.values()


def test_without_settings_uv_keeps_its_defaults(install: ModuleType) -> None:
    environment = install.uv_environment({"no-index": ["0"]}, {})
    assert set(environment) == {"UV_SYSTEM_CERTS", "UV_PYTHON_DOWNLOADS", "VIRTUAL_ENV"}


def test_a_failure_is_told_in_one_line(install: ModuleType, tmp_path: Path) -> None:
    said = tmp_path / "said"
    said.write_text("  × No solution found\n  ╰─▶ cause: xllamacpp was not found.\n\nhint: see the docs\n")
    with said.open() as lines:
        assert install.last_cause(lines) == "xllamacpp was not found"


# The clients that tests/compat runs


@pytest.fixture
def installing(install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of an installer that executes none, in an empty folder with the locks."""
    done: list[list[str]] = []

    def run(command: list[object], environment: object = None, folder: Path | None = None) -> None:
        done.append([str(part) for part in command])
        (tmp_path / ("node_modules" if "ci" in done[-1] else "venv")).mkdir(exist_ok=True)

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(install, "run", run)
    monkeypatch.setattr(install, "environment_for_uv", dict)
    monkeypatch.setattr(install, "step", lambda text: done.append([text]))
    monkeypatch.setattr(install, "LOCKS", tmp_path)
    monkeypatch.setattr(install, "NODE_CLIENTS", tmp_path)
    monkeypatch.setattr(install, "CLIENTS_STAMP", tmp_path / "venv" / ".clients")
    monkeypatch.setattr(install, "NODE_CLIENTS_STAMP", tmp_path / "node_modules" / ".clients")
    monkeypatch.setattr(install.shutil, "which", lambda name: f"/bin/{name}")
    for name in ("clients.txt", "package-lock.json"):
        (tmp_path / name).touch()
    return done


def commands(done: list[list[str]]) -> list[str]:
    """What each command does."""
    return [next(word for word in command if word in ("venv", "sync", "ci")) for command in done if len(command) > 1]


def test_clients_are_installed_once(install: ModuleType, installing: list[list[str]]) -> None:
    assert install.main(["clients"]) == 0
    assert commands(installing) == ["venv", "sync", "ci"]
    assert install.main(["clients"]) == 0
    assert commands(installing) == ["venv", "sync", "ci"]


@pytest.mark.parametrize(("lock", "again"), [("clients.txt", ["venv", "sync"]), ("package-lock.json", ["ci"])])
def test_a_newer_lock_installs_its_clients_anew(
    install: ModuleType, installing: list[list[str]], tmp_path: Path, lock: str, again: list[str]
) -> None:
    install.main(["clients"])
    later = (tmp_path / "venv" / ".clients").stat().st_mtime + 10
    os.utime(tmp_path / lock, (later, later))
    install.main(["clients"])
    assert commands(installing)[3:] == again


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_without_npm_its_clients_are_left_out_but_where_changes_are_checked(
    install: ModuleType, installing: list[list[str]], monkeypatch: pytest.MonkeyPatch, ci: str, status: int
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(install.shutil, "which", lambda name: None)
    assert install.main(["clients"]) == status
    assert commands(installing) == ["venv", "sync"]
    assert "npm" in installing[-1][0]


# The page


@pytest.fixture
def page(install: ModuleType, installing: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page's folder with sources and a lock; `installing` has the commands. Building writes the index."""
    index = tmp_path / "index.html"

    def run(command: list[object], environment: object = None, folder: Path | None = None) -> None:
        installing.append([str(part) for part in command])
        (tmp_path / "node_modules").mkdir(exist_ok=True)
        if "build" in installing[-1]:
            index.touch()

    monkeypatch.setattr(install, "run", run)
    package = install.NodePackage(name="the page", packages="", folder=tmp_path, built=index, sources=("src",))
    monkeypatch.setattr(install, "NODE_PACKAGES", (package,))
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.tsx").touch()
    return tmp_path


def npm_commands(done: list[list[str]]) -> list[str]:
    """What npm was told to do."""
    return [next(word for word in command if word in ("ci", "build")) for command in done if len(command) > 1]


def test_the_page_is_built_once_and_again_after_a_change(
    install: ModuleType, installing: list[list[str]], page: Path
) -> None:
    assert install.main(["ui"]) == 0
    assert install.main(["ui"]) == 0
    assert npm_commands(installing) == ["ci", "build"]
    later = (page / "index.html").stat().st_mtime + 10
    os.utime(page / "src" / "main.tsx", (later, later))
    assert install.main(["ui"]) == 0
    assert npm_commands(installing) == ["ci", "build", "build"]


def test_the_page_is_built_after_the_client_that_it_is_built_from(install: ModuleType) -> None:
    client, page = install.NODE_PACKAGES
    sources = [(page.folder / name).resolve() for name in page.sources]
    assert client.built.parent in sources


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_without_npm_the_page_is_left_out_but_where_changes_are_checked(
    install: ModuleType,
    installing: list[list[str]],
    page: Path,
    monkeypatch: pytest.MonkeyPatch,
    ci: str,
    status: int,
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(install.shutil, "which", lambda name: None)
    assert install.main(["ui"]) == status
    assert npm_commands(installing) == []
    assert "npm" in installing[-1][0]


@pytest.mark.parametrize(("part", "package"), [("browser", "chromium-headless-shell"), ("terminal", "fish")])
def test_a_program_is_installed_where_it_is_missing(
    part: str,
    package: str,
    install: ModuleType,
    installing: list[list[str]],
    page: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert install.main([part]) == 0
    assert installing == []
    monkeypatch.setattr(install.shutil, "which", lambda name: "/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr(install.os, "geteuid", lambda: 0)
    assert install.main([part]) == 0
    assert installing[-1][-1] == package
    monkeypatch.setattr(install.os, "geteuid", lambda: 1000)
    assert install.main([part]) == 0
    assert "left out" in installing[-1][0]


def test_locks_name_no_index() -> None:
    locks = [*ROOT.glob("requirements/*.txt"), *ROOT.glob("tests/compat/node/package-lock.json")]
    assert len(locks) > 5
    for lock in locks:
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text, lock.name
        assert "index-url" not in text, lock.name
    for folder in ("ui", "clients/ts"):
        text = (ROOT / folder / "package-lock.json").read_text(encoding="utf-8")
        assert '"resolved": "http' not in text, folder


# Signs of life


def test_a_command_that_takes_long_is_seen_to_go_on(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install.PROGRESS_SECONDS < 2
    monkeypatch.setattr(install, "PROGRESS_SECONDS", 0.01)
    lines = 0
    go = tmp_path / "go"

    def released(text: str, **_options: object) -> None:
        nonlocal lines
        lines += 1
        if lines == 3:
            go.touch()

    monkeypatch.setattr("builtins.print", released)
    waiting = f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)"
    install.run([sys.executable, "-c", waiting])
    assert lines >= 3


@pytest.mark.parametrize(("is_terminal", "end"), [(True, "\r"), (False, "\n")])
def test_on_a_terminal_the_seconds_are_counted_in_one_line(
    install: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_terminal: bool,
    end: str,
) -> None:
    waits = iter([install.subprocess.TimeoutExpired("x", 1), 0])

    class Process:
        def wait(self, _seconds: float | None = None) -> int:
            outcome = next(waits)
            if isinstance(outcome, Exception):
                raise outcome
            return int(outcome)

        def poll(self) -> int:
            return 0

    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal, raising=False)
    monkeypatch.setattr(install, "time", types.SimpleNamespace(monotonic=lambda: install.signs.step))
    assert install.wait_aloud(Process()) == 0
    line, *rest = capsys.readouterr().err.split(end)
    assert line == "  … 0 s"
    assert rest == ([" " * len(line), ""] if is_terminal else [""])


def test_short_commands_in_a_row_are_seen_to_go_on(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = itertools.count(0, 0.4)  # each look at the clock is 0.4 s after the one before
    monkeypatch.setattr(install, "time", types.SimpleNamespace(monotonic=lambda: next(now)))

    class Process:
        """Takes 0.4 s: too short for a line of its own."""

        def wait(self, seconds: float) -> int:
            if seconds < 0.4:
                raise install.subprocess.TimeoutExpired("x", seconds)
            return 0

        def poll(self) -> int:
            return 0

    install.step("Installing")
    for _ in range(9):
        install.wait_aloud(Process())
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == "Installing"
    assert len(rest) >= 2


def test_a_command_that_fails_is_named(install: ModuleType) -> None:
    with pytest.raises(install.CannotInstall, match=r"this command failed: .* -c "):
        install.run([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_wait_that_is_interrupted_ends_the_command(install: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupting(install.subprocess.Popen):  # type: ignore[name-defined,misc]
        is_first = True

        def wait(self, timeout: float | None = None) -> int:
            if self.is_first:
                self.is_first = False
                raise KeyboardInterrupt
            return int(super().wait(timeout))

    process = Interrupting([sys.executable, "-c", "input()"], stdin=install.subprocess.PIPE)
    with process, pytest.raises(KeyboardInterrupt):
        install.wait_aloud(process)
    assert process.returncode is not None
