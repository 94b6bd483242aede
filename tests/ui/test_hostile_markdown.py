"""Answers in hostile Markdown: no script runs, nothing is loaded from elsewhere, and the page stays usable."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.support.process import Process
    from tests.ui.visitor import Visitor

TEAM = "teams/support-desk"
START = "**start**\n\n"
"""Comes first, so that its bold text shows that the Markdown was rendered."""

LINKS = """
[1](javascript:window.hacked=1) [2](JaVaScRiPt:window.hacked=1) [3](&#106;avascript:window.hacked=1)
[4](javascript&colon;window.hacked=1) [5](data:text/html,<script>window.hacked=1</script>) [6](vbscript:hacked)
[7](//evil.example/x) [8](blob:https://evil.example/1) <javascript:window.hacked=1> [9](https://evil.example/plain)
[10](\x01javascript:window.hacked=1) [11](file:///etc/passwd) <a href="java&#10;script:window.hacked=1">12</a>
"""
IMAGES = """
![1](https://evil.example/1.png) <img src="https://evil.example/2.png" onerror="window.hacked=1">
<picture><source srcset="https://evil.example/3.png"><img src="x" onerror="window.hacked=1"></picture>
<svg onload="window.hacked=1"><image href="https://evil.example/4.png" /></svg>
<video src="https://evil.example/5.mp4" poster="https://evil.example/6.png" autoplay></video>
<p style="background: url(https://evil.example/7.png)">styled</p> ![8](data:image/svg+xml,<svg onload=alert(1)>)
"""
HTML = """
<script>window.hacked=1</script> <script src="https://evil.example/x.js"></script>
<style>@import url("https://evil.example/x.css"); body { display: none }</style>
<link rel="stylesheet" href="https://evil.example/y.css"> <base href="https://evil.example/">
<meta http-equiv="refresh" content="0; url=https://evil.example/">
<iframe srcdoc="<script>parent.hacked=1</script>"></iframe> <object data="https://evil.example/z"></object>
<form action="javascript:window.hacked=1"><input name="attributes" autofocus onfocus="window.hacked=1"></form>
<details open ontoggle="window.hacked=1"><summary id="root">x</summary></details> <p onclick="window.hacked=1">y</p>
"""
MUTATIONS = [
    '<svg></p><style><a id="</style><img src=1 onerror=window.hacked=1>">',
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=window.hacked=1&gt;">',
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=window.hacked=1>",
    '<noscript><p title="</noscript><img src=x onerror=window.hacked=1>">',
    '<svg><annotation-xml encoding="text/html"><style><img title="</style><img src=x onerror=window.hacked=1>">',
    "<template><img src=x onerror=window.hacked=1></template><select><iframe onload=window.hacked=1></select>",
    '`<img src="` <img src="x` `" onerror=window.hacked=1>',
    '| a |\n|---|\n| <img src=x title="|" onerror=window.hacked=1> |',
]
ANSWERS = [LINKS, IMAGES, HTML, *MUTATIONS]
DEEP = {
    "quotes": ">" * 5_000 + " x",
    "lists": "- " * 3_000 + "x",
    "emphasis": "*" * 3_000 + "x" + "*" * 3_000,
    "brackets": "[" * 5_000,
    "word": "x" * 200_000,
}
ALLOWED_TAGS = re.compile("P|BR|HR|STRONG|EM|DEL|S|CODE|PRE|BLOCKQUOTE|UL|OL|LI|H[1-6]|TABLE|THEAD|TBODY|TR|TH|TD|A")
ELEMENTS = """root => [...root.querySelectorAll(".prose *")].map(element => ({
  tag: element.tagName, attributes: Object.fromEntries([...element.attributes].map(({ name, value }) => [name, value])),
}))"""


def say(server: Process, answers: list[str], session_id: str) -> None:
    """Have runs of a session answer these texts."""
    for number, answer in enumerate(answers):
        run_id = f"{session_id}-{number}"
        server.accepted(f"Question {number} [[SAY {answer}]]", run_id, TEAM, session_id)
        assert server.ended(run_id, TEAM, session_id)["status"] == "COMPLETED"


def check_harmless(visitor: Visitor, root: str) -> None:
    """Assert that the texts below an element contain what Markdown needs, and nothing else."""
    elements: list[dict[str, Any]] = visitor.page.locator(root).evaluate(ELEMENTS)
    for element in elements:
        assert ALLOWED_TAGS.fullmatch(element["tag"])
        attributes = element["attributes"]
        assert set(attributes) <= {"href", "title", "start", "target", "rel"}
        if "href" in attributes:
            assert attributes["href"].startswith(("https://", "mailto:"))
        if element["tag"] == "A":
            assert (attributes["target"], attributes["rel"]) == ("_blank", "noopener noreferrer nofollow")
    assert visitor.page.evaluate("() => window.hacked") is None
    visitor.check()


@pytest.mark.usefixtures("shared_server")
def test_a_session_shows_hostile_answers_without_harm(server: Process, visitor: Visitor) -> None:
    say(server, [START + answer for answer in ANSWERS], "hostile")
    visitor.open("/sessions/hostile")
    expect(visitor.page.locator(".turns strong", has_text="start")).to_have_count(len(ANSWERS))
    check_harmless(visitor, ".turns")
    expect(visitor.page.locator(".turns a[href='https://evil.example/plain']")).to_have_count(1)


@pytest.mark.usefixtures("shared_server")
def test_a_run_shows_a_hostile_answer_without_harm(server: Process, visitor: Visitor) -> None:
    say(server, [START + "\n\n".join(ANSWERS)], "all")
    visitor.open("/runs/all-0")
    answer = visitor.page.get_by_role("region", name="Answer")
    expect(answer.locator("strong", has_text="start")).to_be_visible()
    check_harmless(visitor, "main")
    visitor.press("2")
    transcript = visitor.page.get_by_role("region", name="Transcript")
    transcript.press("End")  # the answer comes after a long question, and only rows near those in sight are in the page
    expect(transcript.locator("strong", has_text="start")).to_be_visible()
    check_harmless(visitor, ".transcript")


@pytest.mark.usefixtures("shared_server")
@pytest.mark.parametrize("shape", DEEP)
def test_a_deep_or_long_answer_leaves_the_page_usable(server: Process, visitor: Visitor, shape: str) -> None:
    say(server, [START + DEEP[shape], "**end**"], shape)
    visitor.open(f"/sessions/{shape}")
    expect(visitor.page.locator(".turns strong", has_text="end")).to_be_visible()
    turns = visitor.page.get_by_role("article")
    expect(turns.first.locator(".prose")).to_contain_text("start")
    visitor.open(f"/runs/{shape}-0")
    expect(visitor.page.get_by_role("region", name="Answer")).to_contain_text("start")
    visitor.press("2")
    transcript = visitor.page.get_by_role("region", name="Transcript")
    expect(transcript).to_contain_text("Question 0")
    transcript.press("End")
    expect(transcript.locator(".prose")).to_contain_text("start")
    assert visitor.overflow() <= 0
    assert visitor.errors == []
