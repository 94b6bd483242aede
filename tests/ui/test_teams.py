"""Teams: who is in them, with which tools; starting a run, and the same start as a curl command."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import DESK, KEY, PHONE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.process import Process
    from tests.ui.visitor import Visitor


@pytest.fixture(scope="module")
def greeting(shared_server: Process) -> None:
    """A run of the team."""
    shared_server.accepted("hello [[SAY hi]]", "r1", "teams/support-desk")


@pytest.mark.usefixtures("greeting")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_team_shows_its_members_and_tools(
    server: Process, open_visitor: Callable[..., Visitor], size: tuple[int, int], theme: str
) -> None:
    visitor = open_visitor(server, size=size, theme=theme)
    visitor.open("/teams")
    visitor.page.get_by_role("link", name="Support desk").click()
    visitor.see("Answers customers.")
    member = visitor.page.get_by_role("listitem").filter(has_text="Pays money back").last
    expect(member).to_contain_text("refund_payment")
    visitor.see("needs a person for each call")
    visitor.see("hello [[SAY hi]]")
    visitor.check()
    if size == PHONE:
        assert visitor.small_targets() == []
    visitor.page.get_by_role("link", name="Billing").click()
    visitor.see("Member of Support desk")
    visitor.check()


@pytest.mark.usefixtures("shared_server")
def test_a_run_starts_with_a_file_and_a_session(server: Process, visitor: Visitor, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("a note")
    visitor.open("/teams/support-desk")
    visitor.page.get_by_role("button", name="Start", exact=True).click()
    visitor.see("Enter a message.")
    visitor.check()
    visitor.page.get_by_label("What should Support desk do?").fill("Read it [[SAY read]]")
    visitor.page.locator("input[type=file]").set_input_files(note)
    visitor.page.get_by_role("combobox", name="Session").fill("mara")
    visitor.page.get_by_label("User", exact=True).fill("mara")
    visitor.page.get_by_text("Priority, delay, time limit, budget").click()
    visitor.page.get_by_label("Budget in tokens").fill("5000")
    visitor.check()
    visitor.press("Control+Enter")
    visitor.page.wait_for_url("**/ui/#/runs/*")
    run_id = visitor.page.url.rsplit("/", 1)[-1].split("?")[0]
    run = server.http.get(f"/teams/support-desk/runs/{run_id}", params={"session_id": "mara", "wait": 20}).json()
    assert run["content"] == "read"
    assert run["user_id"] == "mara"
    assert run["budget"]["limits"]["tokens"] == 5000 if "limits" in run["budget"] else run["budget"]
    assert [file["filename"] for file in run["input"]["files"]] == ["note.txt"]


@pytest.mark.usefixtures("shared_server")
def test_the_dialog_starts_a_run_from_any_page(server: Process, open_visitor: Callable[..., Visitor]) -> None:
    visitor = open_visitor(server, theme="dark")
    visitor.open("/health")
    visitor.see("Everything is working")
    visitor.press("n")
    visitor.page.get_by_role("dialog").get_by_role("textbox").first.fill("[[SAY gone]]")
    visitor.page.get_by_label("Team, agent or workflow").select_option("Travel")
    message = visitor.page.get_by_label("What should Travel do?")
    expect(message).to_have_value("[[SAY gone]]")
    visitor.check()
    message.focus()
    visitor.press("Control+Enter")
    visitor.page.wait_for_url("**/ui/#/runs/*")
    expect(visitor.page.get_by_role("dialog")).to_be_hidden()


def test_the_curl_command_starts_the_same_run_without_the_key_in_it(
    keyed_server: Process, open_visitor: Callable[..., Visitor]
) -> None:
    visitor = open_visitor(keyed_server)
    visitor.open("/teams/support-desk")
    visitor.page.get_by_label("Key").fill(KEY)
    visitor.press("Enter")
    visitor.page.get_by_label("What should Support desk do?").fill('It\'s "here" $HOME [[SAY ok]]')
    visitor.page.get_by_role("button", name="Copy as curl").click()
    command = visitor.page.get_by_label("Command").inner_text()
    visitor.check()
    assert KEY not in command
    done = subprocess.run(
        ["bash", "-c", f"curl -s{command.removeprefix('curl')}"],
        env={"PATH": "/usr/bin:/bin", "MUSTERD_KEY": KEY},
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"status":"PENDING"' in done.stdout
    headers = {"Authorization": f"Bearer {KEY}"}
    (run,) = keyed_server.http.get("/runs", headers=headers).json()["data"]
    assert run["input"]["input_content"].startswith('It\'s "here" $HOME')
