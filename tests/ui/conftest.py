"""A real server with scripted models, and pages of a real browser: Debian's Chromium, driven by Playwright.

The tests are left out if the page is not built or there is no browser; where changes are checked, they fail.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

import musterd
from tests.support.process import Deployment, Process, deployment_of
from tests.ui.visitor import Visitor
from tools.install import browser_program

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from playwright.sync_api import Browser

HERE = Path(__file__).resolve().parent
PAGE = Path(musterd.__file__).parent / "ui_dist" / "index.html"
KEY = "a-secret-key"
DESK = (1440, 900)
PHONE = (390, 844)
VISITORS = pytest.StashKey[list[Visitor]]()
PATIENCE_MS = 60_000
"""How long an expectation or an action waits: on a busy machine a page is late, not wrong."""


def missing(what: str) -> None:
    """Leave the test out; fail where changes are checked."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser. While it is open its event loop counts as running, so async tests must come after it is closed."""
    path = browser_program()
    if path is None:
        missing("Chromium is not installed: .venv/bin/python tools/install.py browser")
    if not PAGE.exists():
        missing("the page is not built: .venv/bin/python tools/install.py ui")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def site(template: Path, tmp_path: Path) -> Iterator[Deployment]:
    """A folder and a database of the test's own."""
    url = f"sqlite:///{shutil.copy(template, tmp_path)}"
    yield from deployment_of(url, tmp_path, HERE / "components.py")


@pytest.fixture(scope="module")
def shared_server(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The server of those tests of a module that change nothing which another of them looks at."""
    folder = tmp_path_factory.mktemp("shared")
    site = Deployment(folder, f"sqlite:///{shutil.copy(template, folder)}", HERE / "components.py")
    with contextlib.closing(site):
        yield site.serve(model_retry_seconds=0)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Process:
    """A server without a key: the shared one if the test uses it, else one of the test's own."""
    if "shared_server" in request.fixturenames:
        shared: Process = request.getfixturevalue("shared_server")
        return shared
    site: Deployment = request.getfixturevalue("site")
    return site.serve(model_retry_seconds=0)


@pytest.fixture
def keyed_server(site: Deployment, monkeypatch: pytest.MonkeyPatch) -> Process:
    """A server with the key :data:`KEY`."""
    monkeypatch.setenv("OS_SECURITY_KEY", KEY)
    return site.serve()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the windows show to the report of a test that failed."""
    report = yield
    if report.when == "call" and report.failed and VISITORS in item.stash:
        visitors = item.stash[VISITORS]
        for number, visitor in enumerate(visitors):
            report.sections.append((f"Window {number}", visitor.describe()))
    return report


@pytest.fixture
def open_visitor(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Visitor]]:
    """Opens windows: ``open_visitor(server, size=PHONE, theme="dark")``. Each has its own storage."""
    visitors: list[Visitor] = []
    request.node.stash[VISITORS] = visitors

    def open_one(
        server: Process | str,
        *,
        size: tuple[int, int] = DESK,
        theme: Literal["light", "dark"] = "light",
        **options: Any,
    ) -> Visitor:
        address = server if isinstance(server, str) else str(server.http.base_url)
        width, height = size
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            has_touch=size == PHONE,
            reduced_motion="reduce",
            **options,
        )
        context.set_default_timeout(PATIENCE_MS)
        visitor = Visitor(context, address.rstrip("/"))
        visitors.append(visitor)
        return visitor

    yield open_one
    for visitor in visitors:
        visitor.close()


@pytest.fixture
def visitor(server: Process, open_visitor: Callable[..., Visitor]) -> Visitor:
    """A window on a desktop, light."""
    return open_visitor(server)
