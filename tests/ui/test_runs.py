"""The Runs page: what is listed, filters in the URL, changes in place, new runs behind a button, cards on a phone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import DESK, PHONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.process import Deployment, Process
    from tests.ui.visitor import Visitor

DESK_RUNS = "teams/support-desk"
TRACK = '[[DELEGATE shipping: <TOOL track_parcel {{"tracking_no": "{}"}}>]]'
REFUND = '[[TOOL refund_payment {"order_id": "4417", "amount_eur": 14.9, "reason": "lost"}]]'


@pytest.fixture(scope="module")
def runs(shared_server: Process) -> None:
    """A run of each kind: completed, failed, waiting for a person, and one at work."""
    shared_server.accepted("[[SAY Delivered on 12 November]]", "done", DESK_RUNS, "s1")
    shared_server.ended("done", DESK_RUNS)
    shared_server.accepted("[[ERROR 400]]", "failed", DESK_RUNS, "s1")
    shared_server.ended("failed", DESK_RUNS)
    shared_server.accepted(REFUND, "asks", DESK_RUNS, "s1")
    shared_server.ended("asks", DESK_RUNS)
    shared_server.accepted(TRACK.format("SE1"), "works", DESK_RUNS, "s2")


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_active_runs_stand_first_and_above_all_those_that_need_a_person(
    server: Process, open_visitor: Callable[..., Visitor], size: tuple[int, int], theme: str
) -> None:
    visitor = open_visitor(server, size=size, theme=theme)
    visitor.open()
    visitor.see("Delivered on 12 November")
    groups = visitor.page.locator("tbody")
    expect(groups.nth(0)).to_contain_text("Active")
    active = groups.nth(0).locator("tr.run")
    expect(active).to_have_count(2)
    expect(active.first).to_contain_text("Needs you")  # though it began before the other
    expect(active.first).to_contain_text("May Support desk call refund_payment?")
    expect(groups.nth(1)).to_contain_text("Finished")
    expect(groups.nth(1).locator("tr.run")).to_have_count(2)
    expect(visitor.page.get_by_role("button", name="Failed 1")).to_be_visible()
    visitor.check()
    if size == PHONE:
        assert visitor.small_targets() == []


def test_a_run_at_work_shows_its_question_its_time_and_its_cost_on_a_phone(
    site: Deployment, server: Process, open_visitor: Callable[..., Visitor]
) -> None:
    server.accepted(f"{TRACK.format('SE1')} {REFUND}", "both", DESK_RUNS, "s1")
    site.reached("SE1")
    visitor = open_visitor(server, size=PHONE)
    visitor.open()
    row = visitor.page.locator("tr.run")
    expect(row).to_contain_text("Needs you")
    expect(row).to_contain_text("May Support desk call refund_payment?")
    expect(row.locator(".card-figures")).to_contain_text(re.compile(r"s · (\$|price)"))
    visitor.page.get_by_role("button", name="Search or jump to").click()
    visitor.press("Escape")
    row.get_by_role("link").click()
    visitor.page.get_by_role("button", name="1 question for you").click()
    question = visitor.page.get_by_role("region", name="Question for you")
    expect(question).to_be_focused()
    expect(question.get_by_role("heading")).to_be_in_viewport(ratio=1)
    assert visitor.small_targets() == []
    visitor.check()


@pytest.mark.usefixtures("runs")
def test_filters_are_in_the_url_and_back_undoes_them(visitor: Visitor) -> None:
    visitor.open()
    rows = visitor.page.locator("tr.run")
    expect(rows).to_have_count(4)
    visitor.page.get_by_role("button", name="Failed").click()
    expect(rows).to_have_count(1)
    assert visitor.page.url.endswith("#/runs?state=failed")
    visitor.page.reload()
    expect(rows).to_have_count(1)
    visitor.page.go_back()
    expect(rows).to_have_count(4)
    visitor.open("/runs?q=november")
    expect(rows).to_have_count(1)
    visitor.page.get_by_role("button", name="Clear search november").click()
    expect(rows).to_have_count(4)
    visitor.page.get_by_label("Team, agent or workflow").select_option("Travel")
    visitor.see("No runs of Travel")
    visitor.check()
    visitor.page.get_by_role("button", name="Clear filters").click()
    expect(rows).to_have_count(4)


def test_rows_change_in_place_and_new_runs_wait(site: Deployment, server: Process, visitor: Visitor) -> None:
    server.accepted(TRACK.format("SE2"), "r2", DESK_RUNS, "s2")
    site.reached("SE2")
    visitor.open()
    row = visitor.page.locator("tr.run", has_text="SE2")
    expect(row).to_contain_text("Running")
    visitor.wait_until_read()
    server.accepted("[[SAY hello]]", "r3", DESK_RUNS, "s3")
    button = visitor.page.get_by_role("button", name="1 new run")
    expect(button).to_be_visible()
    expect(visitor.page.locator("tr.run", has_text="hello")).to_have_count(0)
    site.release("SE2")
    expect(row).to_contain_text("Completed")
    expect(row).to_contain_text("SE2 is in Hamburg")
    visitor.check()
    button.click()
    expect(visitor.page.locator("tr.run", has_text="hello")).to_have_count(1)
    expect(button).to_be_hidden()


def test_runs_are_filtered_by_user_and_time(site: Deployment, server: Process, visitor: Visitor) -> None:
    for run_id, user in (("old", "mara"), ("new", "mara"), ("other", "ida")):
        server.post(f"{run_id} [[SAY yes]]", run_id, DESK_RUNS, run_id, user_id=user)
        server.ended(run_id, DESK_RUNS, run_id)
    site.execute("UPDATE runs SET created_at = created_at - 7200 WHERE run_id = 'old'")
    visitor.open()
    rows, place = visitor.page.locator("tr.run"), f"{visitor.address}/ui/#/runs"
    expect(rows).to_have_count(3)
    visitor.page.get_by_label("User", exact=True).select_option("mara")
    expect(rows).to_have_count(2)
    visitor.page.get_by_label("Time", exact=True).select_option("Last hour")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("new")
    expect(visitor.page).to_have_url(f"{place}?user=mara&since=hour")
    visitor.page.reload()
    expect(rows).to_have_count(1)
    visitor.check()
    visitor.page.get_by_label("User", exact=True).select_option("All users")
    expect(rows).to_have_count(2)
    expect(visitor.page).to_have_url(f"{place}?since=hour")


@pytest.mark.usefixtures("runs")
def test_keys_move_and_open(visitor: Visitor) -> None:
    visitor.open()
    visitor.see("Delivered on 12 November")
    visitor.press("j", "j", "k")
    first = visitor.page.locator("tr.run a").first
    expect(first).to_be_focused()
    visitor.press("Enter")
    expect(visitor.page).to_have_url(f"{visitor.address}/ui/#/runs/asks")


@pytest.mark.usefixtures("runs")
def test_search_finds_runs_and_pages(visitor: Visitor) -> None:
    visitor.open("/health")
    visitor.page.get_by_role("main").get_by_role("heading").first.wait_for()
    visitor.press("/")
    visitor.page.keyboard.type("november")
    options = visitor.page.get_by_role("option")
    expect(options.first).to_contain_text("Delivered on 12 November")
    visitor.check()
    visitor.press("Escape")
    expect(visitor.page.get_by_role("dialog")).to_be_hidden()
    visitor.press("/")
    visitor.page.keyboard.type("november")
    expect(options.first).to_contain_text("Delivered on 12 November")
    visitor.press("ArrowDown", "Enter")
    expect(visitor.page).to_have_url(f"{visitor.address}/ui/#/runs?q=november")


def test_hostile_text_stays_text(server: Process, visitor: Visitor) -> None:
    hostile = '<img src="https://evil.example/x.png" onerror="window.hacked = 1"><script>window.hacked = 1</script>'
    server.accepted(f"{hostile} [[SAY {hostile}]]", "r1", DESK_RUNS)
    server.ended("r1", DESK_RUNS)
    visitor.open()
    visitor.see("window.hacked = 1")
    visitor.check()
    assert visitor.page.evaluate("() => window.hacked") is None
