"""The sources of an answer: below it on each page, and with the search that found them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import DESK, PHONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.process import Process
    from tests.ui.visitor import Visitor

AGENT = "agents/librarian"
SEARCH = '[[TOOL search_knowledge_base {"query": "insurance"}]] Are parcels insured?'


@pytest.fixture(scope="module")
def answered(shared_server: Process) -> None:
    """A run that has searched."""
    shared_server.accepted(SEARCH, "r1", AGENT)
    shared_server.ended("r1", AGENT)


@pytest.mark.usefixtures("answered")
@pytest.mark.parametrize(("size", "theme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"])
@pytest.mark.parametrize(
    ("place", "part"),
    [
        ("/runs/r1", ".answer-card"),
        ("/runs/r1?view=transcript", ".transcript"),
        ("/runs/r1?step=t0/c0", ".step-sections"),
        ("/sessions/s1", ".turn"),
    ],
    ids=["answer", "transcript", "step", "session"],
)
def test_an_answer_names_its_sources(
    server: Process, open_visitor: Callable[..., Visitor], place: str, part: str, size: tuple[int, int], theme: str
) -> None:
    visitor = open_visitor(server, size=size, theme=theme)
    visitor.open(place)
    sources = visitor.page.locator(part).get_by_role("list", name="Sources")
    expect(sources.get_by_role("listitem")).to_have_count(2)
    sources.get_by_text("handbook.pdf").click()
    expect(sources).to_contain_text("Parcels are insured.")
    expect(sources.get_by_role("link")).to_have_attribute("href", "https://shop.example/handbook.pdf")
    sources.get_by_text("insurance:").click()
    expect(sources.get_by_text("insurance: <img")).to_have_count(2)
    expect(sources.get_by_role("link")).to_have_count(1)
    visitor.check()
    assert visitor.page.evaluate("window.hacked") is None
