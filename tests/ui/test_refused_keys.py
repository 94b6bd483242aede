"""A key that the server refuses while the page is open: the page asks for another, and nothing on it is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.ui.accounts import Account, Accounts, server_with_key, sign_in
from tests.ui.conftest import DESK, PHONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Locator

    from tests.support.process import Process
    from tests.ui.visitor import Visitor

TEAM = "teams/support-desk"
SCOPES = ("teams:read", "teams:run", "runs:read", "sessions:read", "approvals:read", "approvals:write", "system:read")
REFUND = '[[TOOL refund_payment {"order_id": "4417", "amount_eur": 14.9, "reason": "lost"}]]'
PLACES = {
    "/runs": "Refund it",
    "/runs/{asks}": "Refund it",
    "/approvals": "Needs you · 1",
    "/sessions/s1": "Refund it",
    "/teams": "Answers customers.",
    "/health": "Database schema",  # one of the checks, whose results may differ on a busy machine
}
"""The pages, and words that a page shows once it is read; `asks` is the id of a run that asks a person."""
POLLS = 20
POLL_MS = 3_000


@pytest.fixture(scope="module")
def server(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server with a key."""
    with server_with_key(template, tmp_path_factory.mktemp("keys")) as server:
        yield server


@pytest.fixture(scope="module")
def asks(server: Process) -> str:
    """A run of Ida that asks a person; she also has one that is completed."""
    accounts = Accounts(server)
    ida = accounts.create("ida", *SCOPES)
    run_id = start(server, ida, f"Refund it. {REFUND}", "s1")
    start(server, ida, "Is it open? [[SAY Yes]]", "s2")
    accounts.close()
    return run_id


@pytest.fixture
def accounts(server: Process, asks: str) -> Iterator[Accounts]:
    """The accounts of this test."""
    accounts = Accounts(server)
    yield accounts
    accounts.close()


def start(server: Process, account: Account, message: str, session_id: str) -> str:
    """Start a run of an account, wait until it has ended or asks, and return its id."""
    data = {"message": message, "session_id": session_id, "background": "true", "stream": "false"}
    answer = server.http.post(f"/{TEAM}/runs", data=data, headers=account.headers)
    assert answer.status_code == 202, answer.text
    run_id = str(answer.json()["run_id"])
    run = server.http.get(f"/runs/{run_id}", params={"wait": 30}, headers=account.headers).json()
    assert run["status"] in ("COMPLETED", "PAUSED")
    return run_id


def sign_in_dialog(visitor: Visitor) -> Locator:
    """What asks for another key."""
    return visitor.page.get_by_role("dialog", name="The key was not accepted")


def replace_key(visitor: Visitor, accounts: Accounts, account: Account, name: str = "ida") -> None:
    """Revoke the account of a page that is open, and sign in with a new token."""
    accounts.revoke(account)
    expect(sign_in_dialog(visitor)).to_be_visible()
    sign_in(visitor, accounts.create(name, *SCOPES).token)
    expect(sign_in_dialog(visitor)).to_be_hidden()


@pytest.mark.parametrize(("size", "theme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"])
@pytest.mark.parametrize("place", PLACES)
def test_a_revoked_key_is_asked_for_again_above_the_page(
    server: Process,
    accounts: Accounts,
    asks: str,
    open_visitor: Callable[..., Visitor],
    place: str,
    size: tuple[int, int],
    theme: str,
) -> None:
    visitor, words, place = open_visitor(server, size=size, theme=theme), PLACES[place], place.format(asks=asks)
    dialog, account = sign_in_dialog(visitor), accounts.create("ida", *SCOPES)
    visitor.open(place)
    sign_in(visitor, account.token)
    visitor.see(words)
    accounts.revoke(account)
    expect(dialog).to_be_visible()
    visitor.see(words)
    address = visitor.page.url
    visitor.check()
    if size == PHONE:
        assert visitor.small_targets() == []
    refused: list[str] = []
    visitor.page.on("response", lambda answer: refused.append(answer.url) if answer.status == 401 else None)
    sign_in(visitor, "wrong")
    expect(dialog.get_by_role("alert")).to_have_text("The key was not accepted.")
    assert refused == [f"{visitor.address}/me"], "wrong keys are limited by address"
    visitor.check()
    visitor.see(words)
    sign_in(visitor, accounts.create("ida", *SCOPES).token)
    expect(dialog).to_be_hidden()
    visitor.see(words)
    expect(visitor.page).to_have_url(address)
    expect(visitor.page.locator(".connection")).to_have_text("Live")
    visitor.check()


def test_escape_does_not_close_what_asks_for_the_key(
    server: Process, accounts: Accounts, open_visitor: Callable[..., Visitor]
) -> None:
    visitor, account = open_visitor(server), accounts.create("ida", *SCOPES)
    visitor.open("/runs")
    sign_in(visitor, account.token)
    visitor.see("Refund it")
    accounts.revoke(account)
    expect(sign_in_dialog(visitor)).to_be_visible()
    visitor.press("Escape", "Escape", "Escape")
    assert sign_in_dialog(visitor).is_visible()


def test_a_message_that_was_typed_is_sent_after_signing_in(
    server: Process, accounts: Accounts, open_visitor: Callable[..., Visitor]
) -> None:
    visitor, account = open_visitor(server), accounts.create("ida", *SCOPES)
    visitor.open("/sessions/s2")
    sign_in(visitor, account.token)
    field = visitor.page.get_by_label("Message Support desk")
    field.fill("Until when? [[SAY Until eight]]")
    replace_key(visitor, accounts, account)
    expect(field).to_have_value("Until when? [[SAY Until eight]]")
    field.press("Enter")
    expect(visitor.page.get_by_role("article").last.locator(".prose")).to_have_text("Until eight")


def test_a_run_that_was_filled_in_is_started_after_signing_in(
    server: Process, accounts: Accounts, open_visitor: Callable[..., Visitor]
) -> None:
    visitor, account = open_visitor(server), accounts.create("ida", *SCOPES)
    visitor.open("/runs")
    sign_in(visitor, account.token)
    visitor.see("Refund it")
    visitor.press("n")
    form = visitor.page.get_by_role("dialog", name="Start a run")
    field = form.get_by_label("What should Support desk do?")
    field.fill("Greet [[SAY Good morning]]")
    replace_key(visitor, accounts, account)
    expect(field).to_have_value("Greet [[SAY Good morning]]")
    visitor.check()
    form.get_by_role("button", name="Start", exact=True).click()
    visitor.page.wait_for_url("**/ui/#/runs/*")
    visitor.see("Good morning", exact=True)


def test_a_note_that_was_typed_is_there_after_signing_in(
    server: Process, accounts: Accounts, open_visitor: Callable[..., Visitor]
) -> None:
    visitor, account = open_visitor(server), accounts.create("ida", *SCOPES)
    visitor.open("/approvals")
    sign_in(visitor, account.token)
    visitor.page.get_by_role("button", name="Reject").click()
    note = visitor.page.get_by_label("Note")
    note.fill("Refund all of it.")
    replace_key(visitor, accounts, account)
    expect(visitor.page.locator(".connection")).to_have_text("Live")
    expect(note).to_have_value("Refund all of it.")


def test_what_another_key_may_not_see_goes_from_the_page(
    server: Process, accounts: Accounts, asks: str, open_visitor: Callable[..., Visitor]
) -> None:
    visitor, account = open_visitor(server), accounts.create("ida", *SCOPES)
    visitor.open(f"/runs/{asks}")
    sign_in(visitor, account.token)
    visitor.see("Refund it")
    replace_key(visitor, accounts, account, "bob")
    visitor.see("Run not found")
    expect(visitor.page.get_by_text("Refund it")).to_have_count(0)
    visitor.check()
    visitor.open("/runs")
    visitor.see("No runs yet")
    visitor.check()


def test_a_page_with_a_refused_key_leaves_its_address_tries_for_a_valid_one(
    keyed_server: Process, open_visitor: Callable[..., Visitor]
) -> None:
    accounts, visitor = Accounts(keyed_server), open_visitor(keyed_server)
    account = accounts.create("ida", *SCOPES)
    statuses: list[int] = []
    visitor.page.on("response", lambda response: statuses.append(response.status))
    visitor.page.clock.install()
    visitor.open("/runs")
    sign_in(visitor, account.token)
    visitor.see("No runs yet")
    accounts.revoke(account)
    expect(sign_in_dialog(visitor)).to_be_visible()
    for _ in range(POLLS):
        visitor.page.clock.run_for(POLL_MS)
    sign_in(visitor, accounts.create("ida", *SCOPES).token)
    expect(sign_in_dialog(visitor)).to_be_hidden()
    expect(visitor.page.locator(".connection")).to_have_text("Live")
    visitor.see("No runs yet")
    visitor.check()
    assert 429 not in statuses
