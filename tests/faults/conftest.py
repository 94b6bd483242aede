"""Server processes that are killed, on a file of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.model_server import ModelServer
from tests.support.process import Site, site


@pytest.fixture(scope="module")
def models() -> Iterator[ModelServer]:
    """A model in a process of its own, which counts what it is asked."""
    with ModelServer() as server:
        yield server


@pytest.fixture
def place(tmp_path: Path, models: ModelServer) -> Iterator[Site]:
    """A folder for server processes whose team asks that model."""
    models.reset()
    env = {"TEST_MODEL": "openai-chat:scripted", "OPENAI_BASE_URL": models.base_url, "OPENAI_API_KEY": "none"}
    with site(tmp_path, **env) as found:
        yield found
