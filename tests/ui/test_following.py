"""A transcript that is being written follows its end until the reader scrolls back, by whatever means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import PHONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator

    from tests.support.process import Process
    from tests.ui.visitor import Visitor

SMALL = (760, 500)
HEIGHT = "element => element.scrollHeight"
TOP = "element => element.scrollTop"
REST = """async element => {
  for (let frames = 0, top = element.scrollTop; frames < 30; frames = element.scrollTop === top ? frames + 1 : 0) {
    top = element.scrollTop;
    await new Promise(requestAnimationFrame);
  }
}"""
"""Waits until nothing scrolls any more: after a touch it goes on for a while."""


def grow(visitor: Visitor, transcript: Locator, pixels: int) -> None:
    """Wait until the transcript has grown."""
    height = transcript.evaluate(HEIGHT) + pixels
    visitor.page.wait_for_function(
        "height => document.querySelector('.transcript').scrollHeight >= height", arg=height, timeout=60_000
    )


def scrolled_beyond(visitor: Visitor, top: float) -> None:
    """Wait until the transcript is scrolled further than `top`: it follows after it has grown."""
    visitor.page.wait_for_function("top => document.querySelector('.transcript').scrollTop > top", arg=top)


def scroll_back(visitor: Visitor, transcript: Locator, means: str) -> None:
    """Scroll back as a reader does."""
    page = visitor.page
    box = transcript.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + 60
    if means == "touch":
        finger = page.context.new_cdp_session(page)
        for kind, place in (("touchStart", y), *(("touchMove", y + 15 * step) for step in range(1, 12))):
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": place}]})
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    elif means == "wheel":
        page.mouse.move(x, y)
        page.mouse.wheel(0, -150)
    else:
        transcript.focus()
        page.keyboard.press(means)


@pytest.mark.parametrize("means", ["wheel", "touch", "PageUp", "Home"])
def test_following_stops_when_the_reader_scrolls_back(
    server: Process, open_visitor: Callable[..., Visitor], means: str
) -> None:
    server.accepted("[[WORDS 20000 20]]", "r1", "teams/support-desk")
    visitor = open_visitor(server, size=PHONE if means == "touch" else SMALL)
    visitor.open("/runs/r1?view=transcript")
    transcript = visitor.page.get_by_role("region", name="Transcript")
    transcript.wait_for()
    transcript.scroll_into_view_if_needed()
    grow(visitor, transcript, 300)
    following = visitor.page.get_by_role("button", name=re.compile("^Follow"))
    expect(following).to_have_attribute("aria-pressed", "true")
    scrolled_beyond(visitor, 0)

    scroll_back(visitor, transcript, means)
    expect(following).to_have_attribute("aria-pressed", "false")
    transcript.evaluate(REST)
    top = transcript.evaluate(TOP)
    grow(visitor, transcript, 60)
    assert transcript.evaluate(TOP) == top

    transcript.focus()
    visitor.press("End")
    expect(following).to_have_attribute("aria-pressed", "true")
    grow(visitor, transcript, 60)
    scrolled_beyond(visitor, top)
    visitor.check()
