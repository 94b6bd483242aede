"""Real processes on a database of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import restarts
from tests.support.model_server import ModelServer
from tests.support.process import Deployment, deployment_of


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """A folder and a database, and the processes that share them."""
    yield from deployment_of(database_url, tmp_path, Path(__file__).with_name("components.py"))


@pytest.fixture(scope="module")
def models() -> Iterator[ModelServer]:
    """A model in a process of its own, which counts what it is asked."""
    with ModelServer() as server:
        yield server


@pytest.fixture
def place(database_url: str, tmp_path: Path, models: ModelServer) -> Iterator[restarts.TeamDeployment]:
    """A folder and a database for server processes whose team asks that model."""
    yield from _places(database_url, tmp_path, models)


@pytest.fixture
def file_place(sqlite_file: Path, tmp_path: Path, models: ModelServer) -> Iterator[restarts.TeamDeployment]:
    """The same on SQLite alone."""
    yield from _places(f"sqlite:///{sqlite_file}", tmp_path, models)


def _places(url: str, folder: Path, models: ModelServer) -> Iterator[restarts.TeamDeployment]:
    models.reset()
    env = {"TEST_MODEL": "openai-chat:scripted", "OPENAI_BASE_URL": models.base_url, "OPENAI_API_KEY": "none"}
    with restarts.team_deployment(folder, url, **env) as deployment:
        yield deployment
