"""A real process of the server, and the TypeScript client in a process of Node."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.support.process import Deployment
from tests.support.typescript import typescript_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.client_drivers import Driver

COMPONENTS = Path(__file__).resolve().parents[1] / "compat" / "components.py"
KEY = "a-secret-key"


@pytest.fixture(scope="session")
def http(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[httpx2.Client]:
    """A plain client of a server with a key."""
    folder = tmp_path_factory.mktemp("typescript")
    site = Deployment(folder, f"sqlite:///{shutil.copy(template, folder)}", COMPONENTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OS_SECURITY_KEY", KEY)
        server = site.serve(model_retry_seconds=0)
    server.http.headers["Authorization"] = f"Bearer {KEY}"
    yield server.http
    site.close()


@pytest.fixture(scope="session")
def client(http: httpx2.Client) -> Iterator[Driver]:
    """The client of that server, with its key."""
    with typescript_client(str(http.base_url), token=KEY) as driver:
        yield driver
