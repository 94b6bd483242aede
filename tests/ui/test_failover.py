"""Several processes: a run goes on in another one below an open page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.process import Deployment
    from tests.ui.visitor import Visitor

TEAM = "teams/support-desk"


def test_another_worker_takes_the_run_over(site: Deployment, open_visitor: Callable[..., Visitor]) -> None:
    server, first = site.serve("--no-worker"), site.work()
    server.accepted('[[DELEGATE shipping: <TOOL track_parcel {"tracking_no": "SE1"}>]]', "r1", TEAM)
    site.reached("SE1")
    site.work()
    visitor = open_visitor(server)
    visitor.open("/runs/r1")
    visitor.see("runs track_parcel")
    head = visitor.page.locator(".run-meta")
    expect(head).not_to_contain_text("attempt")
    first.kill()
    expect(head).to_contain_text("attempt 2")
    expect(head).to_contain_text("Running")
    visitor.see("Downtime")
    visitor.check()
    site.release("SE1")
    expect(head).to_contain_text("Completed")
    visitor.press("2")
    visitor.see("SE1 is in Hamburg")
    visitor.see("Went on after the process had stopped")
    expect(visitor.page.locator(".connection")).to_have_text("Live")
    visitor.check()
