"""The files for operators in ``examples/deploy/`` are sound, and name commands, settings and files that exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from configparser import RawConfigParser
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from musterd.cli.main import app as commands
from musterd.core.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "examples" / "deploy"
UNITS = sorted(FOLDER.glob("*.service"))
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"] == "musterd"}
KUBERNETES: list[dict[str, Any]] = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()))
PODS: list[dict[str, Any]] = [
    document["spec"]["template"]["spec"] for document in KUBERNETES if document["kind"] == "Deployment"
]
SETTINGS = {str(field.validation_alias or f"MUSTERD_{name.upper()}") for name, field in Settings.model_fields.items()}

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def unit(path: Path) -> RawConfigParser:
    """A unit, read as the file of options that it is."""
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return parser


def command_lines() -> list[list[str]]:
    """What the files start."""
    started = [shlex.split(unit(path)["Service"]["ExecStart"])[1:] for path in UNITS]
    started += [service["command"] for service in OURS.values()]
    return started + [container["args"] for pod in PODS for container in pod["containers"]]


@pytest.mark.parametrize("words", command_lines(), ids=shlex.join)
def test_what_is_started_is_a_command(words: list[str]) -> None:
    commands.parse_args(words, exit_on_error=False, print_error=False)


def test_settings_are_known() -> None:
    lines = (FOLDER / "musterd.env").read_text().splitlines()
    named = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
    named |= {name for service in OURS.values() for name in service["environment"]}
    named |= {name for document in KUBERNETES if document["kind"] == "Secret" for name in document["stringData"]}
    assert named - SETTINGS == {"NATS_PASSWORD"}, "which is for the NATS servers"


def test_the_drain_ends_before_a_process_is_killed() -> None:
    seconds = [unit(path)["Service"]["TimeoutStopSec"] for path in UNITS]
    seconds += [service["stop_grace_period"].removesuffix("s") for service in OURS.values()]
    seconds += [pod["terminationGracePeriodSeconds"] for pod in PODS]
    assert min(map(float, seconds)) > Settings.model_fields["drain_seconds"].default + 5


def test_a_nats_server_takes_its_configuration(tmp_path: Path) -> None:
    texts = [(FOLDER / "nats.conf").read_text()]
    texts += [document["data"]["nats.conf"] for document in KUBERNETES if "nats.conf" in document.get("data", {})]
    assert len(texts) == 2
    for text in texts:
        copy = tmp_path / "nats.conf"
        copy.write_text(text.replace("store_dir: /data", f"store_dir: {tmp_path}"))
        done = subprocess.run(
            [Path(sys.executable).with_name("nats-server"), "-t", "-c", copy],
            env={"NATS_NAME": "nats-1", "NATS_PASSWORD": "a-long-secret"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@needs_systemd
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_unit(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    copy = tmp_path / path.name
    copy.write_text(text.replace("/srv/musterd/.venv/bin/musterd", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if path.stem in line] == []


def test_the_image_is_given_what_the_package_is_built_from() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    copied = {name for line in re.findall(r"^COPY (.+) \S+$", text, flags=re.MULTILINE) for name in line.split()}
    assert [name for name in copied if not (ROOT / name).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    files = [project["project"]["readme"], *project["project"]["license-files"]]
    files += project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert [name for name in files if not any((ROOT / name).is_relative_to(ROOT / source) for source in copied)] == []
    assert COMPOSE["x-musterd"]["build"] == {"context": "../..", "dockerfile": "examples/deploy/Dockerfile"}


LEFT_BEHIND = [
    *(f"musterd.db{end}" for end in ("", "-wal", "-shm", "-journal", ".upgrade-lock", ".worker-0f3a")),
    *("examples/desk.db", "examples/desk.db.worker-0f3a", "serve.log", ".env"),
    *(".venv/bin/python", ".venv-clients/bin/python", "src/musterd/__pycache__/x.pyc", ".mypy_cache/x.json"),
    *(".pytest_cache/README.md", ".ruff_cache/x", ".hypothesis/x", "tests/compat/node/node_modules/x.js"),
    *("ui/node_modules/react/index.js", "clients/ts/node_modules/x/index.js", "clients/ts/dist/index.js"),
]
"""What runs, tests and tools leave in a checkout."""


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_what_runs_leave_behind_is_not_offered_to_git() -> None:
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", *LEFT_BEHIND], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert sorted(done.stdout.split()) == sorted(LEFT_BEHIND)


def test_what_runs_leave_behind_is_not_sent_to_docker() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]

    def is_left_out(name: str) -> bool:
        path = PurePosixPath(name)
        for part in (path, *path.parents):
            if any(part.match(pattern.removeprefix("**/")) for pattern in patterns if pattern.startswith("**/")):
                return True
            if str(part) in patterns:
                return True
        return False

    assert [name for name in LEFT_BEHIND if not is_left_out(name)] == []
    sources = [str(path.relative_to(ROOT)) for path in (ROOT / "src").rglob("*") if path.suffix in (".py", ".sql")]
    assert [name for name in sources if is_left_out(name)] == []
