"""The TypeScript client of ``clients/ts``, in a Node process of its own."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client_drivers import Driver

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parents[1] / "clients" / "ts"
INSTALL = ".venv/bin/python tools/install.py ui"


def node() -> str:
    """The program that runs the client. Without it a test is left out, but fails where changes are checked."""
    program = shutil.which("node")
    if program is None or not (PACKAGE / "dist" / "index.js").exists():
        words = f"the TypeScript client is not built: {INSTALL}"
        if os.environ.get("CI") == "true":
            pytest.fail(words)
        pytest.skip(words)
    return program


def install_in(folder: Path) -> None:
    """Install the package in a folder, as ``npm install`` of its folder does."""
    (folder / "node_modules").mkdir(exist_ok=True)
    (folder / "node_modules" / "musterd-client").symlink_to(PACKAGE)


@contextlib.contextmanager
def typescript_client(url: str, **options: Any) -> Iterator[Driver]:
    """A client of the server.

    :param options: of ``new Client``.
    """
    script = HERE / "typescript_client.mjs"
    driver = Driver([node(), script, json.dumps({"url": url, **options})], PACKAGE, {})
    try:
        yield driver
    finally:
        driver.close()
