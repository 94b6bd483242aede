"""Real processes on a file of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import restarts
from tests.support.model_server import ModelServer
from tests.support.process import Site, sites


@pytest.fixture
def site(template: Path, tmp_path: Path) -> Iterator[Site]:
    """A folder with a database, and the processes that share it."""
    yield from sites(template, tmp_path, Path(__file__).with_name("house.py"))


@pytest.fixture(scope="module")
def models() -> Iterator[ModelServer]:
    """A model in a process of its own, which counts what it is asked."""
    with ModelServer() as server:
        yield server


@pytest.fixture
def place(tmp_path: Path, models: ModelServer) -> Iterator[restarts.Site]:
    """A folder for server processes whose team asks that model."""
    models.reset()
    env = {"TEST_MODEL": "openai-chat:scripted", "OPENAI_BASE_URL": models.base_url, "OPENAI_API_KEY": "none"}
    with restarts.site(tmp_path, **env) as found:
        yield found
