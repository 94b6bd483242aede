"""A real process of the server for AgentOS's clients, and the clients, each in a process of its own.

An operation that the server does not serve is expected to fail (``needs``): once it is served the test has to pass.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from musterd.cli.source import Source, load_source
from musterd.core import clock
from musterd.core.settings import Settings
from tests.support.agno_apps import Load
from tests.support.app import copied_file
from tests.support.client_drivers import Driver
from tests.support.process import ALL_LIVE, Deployment, Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
NODE_MODULES = HERE / "node" / "node_modules"
KEY = "a-secret-key"
INSTALL = ".venv/bin/python tools/install.py clients"


def missing(what: str) -> None:
    """Leave the test out where its client is not installed; fail where changes are checked."""
    words = f"{what} not installed: {INSTALL}"
    if os.environ.get("CI") == "true":
        pytest.fail(words)
    pytest.skip(words)


@pytest.fixture(scope="module")
def importable_agno() -> Iterator[Path]:
    """Agno in this process, after the server's own packages; none of it is left for other tests."""
    if not PYTHON.exists():
        missing("AgentOS's clients are")
    (packages,) = PYTHON.parent.parent.glob("lib/python*/site-packages")
    before = set(sys.modules)
    sys.path.append(str(packages))
    yield packages
    sys.path.remove(str(packages))
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(packages)):
            del sys.modules[name]


@pytest.fixture
def load(importable_agno: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads the text of a file, with every model scripted unless ``model_override`` says something else."""
    monkeypatch.chdir(tmp_path)

    def loading(text: str, name: str = "", **settings: Any) -> Source:
        (tmp_path / "shop.py").write_text(textwrap.dedent(text))
        sys.modules.pop("shop", None)
        return load_source(f"shop.py{name}", Settings(**{"model_override": "scripted", **settings}))

    return loading


@pytest.fixture
def database(template: Path, tmp_path: Path) -> Path:
    """The test's own database."""
    return copied_file(template, tmp_path)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Deployment]:
    """The folder and the database of the servers of these tests."""
    folder = tmp_path_factory.mktemp("compat")
    site = Deployment(folder, f"sqlite:///{shutil.copy(template, folder)}", HERE / "components.py", **ALL_LIVE)
    yield site
    site.close()


@pytest.fixture(scope="session")
def server(site: Deployment) -> Process:
    """A server without a key, with everything as shipped; a failed model call is retried at once."""
    return site.serve(model_retry_seconds=0)


@pytest.fixture(scope="session")
def address(server: Process) -> str:
    """Where it answers."""
    return str(server.http.base_url).rstrip("/")


@pytest.fixture(scope="session")
def served(server: Process) -> set[str]:
    """The operations that it serves, as ``POST /sessions``, and the names of the settings that it knows."""
    paths = server.http.get("/openapi.json").json()["paths"]
    operations = {
        f"{method.upper()} {path}"
        for path, operations in paths.items()
        for method, operation in operations.items()
        if any(status.startswith("2") for status in operation["responses"])
    }
    return operations | {str(field.validation_alias) for field in Settings.model_fields.values()}


@pytest.fixture(autouse=True)
def expected(request: pytest.FixtureRequest) -> None:
    """Expect a test to fail that needs an operation which is not served."""
    for mark in request.node.iter_markers("needs"):
        absent = set(mark.args) - request.getfixturevalue("served")
        if absent:
            request.node.add_marker(pytest.mark.xfail(strict=True, reason=f"not served: {', '.join(sorted(absent))}"))


@pytest.fixture
def session_id() -> str:
    """A session of the test's own."""
    return str(clock.new_id())


@pytest.fixture(scope="session")
def http(server: Process) -> httpx2.Client:
    """A plain client of the server."""
    return server.http


@pytest.fixture(scope="session")
def keyed(site: Deployment) -> Process:
    """A server with a key."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OS_SECURITY_KEY", KEY)
        return site.serve()


@pytest.fixture(scope="session")
def keyed_http(keyed: Process) -> httpx2.Client:
    """A plain client of that server, without the key."""
    return keyed.http


@pytest.fixture(scope="session")
def agentos(address: str) -> Iterator[Driver]:
    """AgentOSClient, in its own environment."""
    if not PYTHON.exists():
        missing("AgentOS's clients are")
    driver = Driver([PYTHON, HERE / "agentos_client.py", address], HERE, {"AGNO_TELEMETRY": "false"})
    yield driver
    driver.close()


@pytest.fixture(scope="session")
def node() -> str:
    """The program that runs the clients for Node."""
    path = shutil.which("node")
    if path is None or not NODE_MODULES.exists():
        missing("the clients for Node are")
    return str(path)


@pytest.fixture(scope="session")
def browser(node: str, address: str) -> Iterator[Callable[..., Driver]]:
    """Makes processes with a client for Node, one a package."""
    drivers: dict[str, Driver] = {}

    def driver_of(package: str) -> Driver:
        if package not in drivers:
            words: list[Any] = [node, HERE / "node" / "drive.mjs", package, address]
            drivers[package] = Driver(words, HERE / "node", {})
        return drivers[package]

    yield driver_of
    for driver in drivers.values():
        driver.close()
