"""A key that sees no team, agent or workflow: what the pages say in place of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.ui.accounts import Accounts, server_with_key, sign_in
from tests.ui.conftest import DESK, PHONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.process import Process
    from tests.ui.visitor import Visitor

SCOPES = ("runs:read", "sessions:read", "approvals:read")
WORDS = "The server declares no team, agent or workflow that you can see."


@pytest.fixture(scope="module")
def server(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server with a key."""
    with server_with_key(template, tmp_path_factory.mktemp("keys")) as server:
        yield server


@pytest.fixture(scope="module")
def token(server: Process) -> str:
    """One that may read runs and sessions only."""
    return Accounts(server).create("reader", *SCOPES).token


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_key_that_sees_no_team_is_told_so(
    server: Process, token: str, open_visitor: Callable[..., Visitor], size: tuple[int, int], theme: str
) -> None:
    visitor = open_visitor(server, size=size, theme=theme)
    visitor.open("/teams")
    sign_in(visitor, token)
    visitor.see("No teams")
    visitor.see(WORDS)
    visitor.check()
    visitor.page.get_by_role("button", name="Start a run").click()
    dialog = visitor.page.get_by_role("dialog", name="Start a run")
    expect(dialog).to_contain_text("Nothing to run")
    expect(dialog).to_contain_text(WORDS)
    expect(dialog.get_by_role("textbox")).to_have_count(0)
    visitor.check()
    if size == PHONE:
        assert visitor.small_targets() == []


def test_a_first_run_that_cannot_be_started_has_no_command(
    server: Process, token: str, open_visitor: Callable[..., Visitor]
) -> None:
    visitor = open_visitor(server)
    visitor.open("/runs")
    sign_in(visitor, token)
    visitor.see("No runs yet")
    expect(visitor.page.get_by_role("button", name="Copy as curl")).to_have_count(0)
    visitor.page.get_by_role("main").get_by_role("button", name="Start a run").click()
    visitor.see("Nothing to run")
    visitor.check()
