"""The page below a prefix: a reverse proxy serves it at ``/tools/musterd/ui/`` and removes the prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.reverse_proxy import ReverseProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.process import Process
    from tests.ui.visitor import Visitor

PREFIX = "/tools/musterd"
TEAM = "teams/support-desk"
REFUND = '[[TOOL refund_payment {"order_id": "4417", "amount_eur": 14.9, "reason": "lost"}]]'


@pytest.fixture
def proxy(server: Process) -> Iterator[ReverseProxy]:
    """A proxy with the prefix in front of the server."""
    port = server.http.base_url.port
    assert port is not None
    with ReverseProxy(port, PREFIX) as proxy:
        yield proxy


def check(visitor: Visitor, proxy: ReverseProxy) -> None:
    """Assert that all links and requests stay below the prefix."""
    visitor.check()
    links: list[str] = visitor.page.evaluate("() => [...document.querySelectorAll('a[href]')].map(link => link.href)")
    assert links
    assert [link for link in links if not link.startswith(f"{proxy.address}/ui/")] == []
    assert [path for path in proxy.paths if not path.startswith(f"{PREFIX}/")] == []


def test_all_requests_and_links_stay_below_the_prefix(
    server: Process, proxy: ReverseProxy, open_visitor: Callable[..., Visitor]
) -> None:
    server.accepted(f"Refund it {REFUND}", "asks", TEAM)
    server.ended("asks", TEAM)
    visitor = open_visitor(proxy.address)
    page = visitor.page
    page.goto(f"{proxy.address}/ui")
    expect(page).to_have_url(f"{proxy.address}/ui/#/runs")
    expect(page.locator(".connection")).to_have_text("Live")
    check(visitor, proxy)

    visitor.wait_until_read()
    server.accepted("[[SAY Hello]]", "later", TEAM)
    page.get_by_role("button", name="1 new run").click()
    page.locator("tr.run", has_text="Hello").get_by_role("link").first.click()
    expect(page).to_have_url(f"{proxy.address}/ui/#/runs/later")
    expect(page.get_by_role("region", name="Answer")).to_contain_text("Hello")
    check(visitor, proxy)

    for name in ("Approvals", "Sessions", "Teams", "Health"):
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
        page.get_by_role("main").get_by_role("heading").first.wait_for()
        check(visitor, proxy)
    page.reload()
    visitor.see("Everything is working")

    visitor.open("/approvals")
    page.get_by_role("button", name="Approve").click()
    visitor.see("Approved")
    assert "refunded 14.9" in server.ended("asks", TEAM)["content"]

    visitor.open("/teams/support-desk")
    page.get_by_label("What should Support desk do?").fill("[[WORDS 20 20]]")
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_label("Command")).to_contain_text(f"{proxy.address}/teams/support-desk/runs")
    visitor.press("Escape", "Control+Enter")
    page.wait_for_url(f"{proxy.address}/ui/#/runs/*")
    expect(page.get_by_role("region", name="Answer")).to_contain_text("word19")
    check(visitor, proxy)
