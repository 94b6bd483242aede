"""One window of the browser on the page: it notes errors and foreign requests, and looks with axe-core."""

from __future__ import annotations

import functools
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Request

PRESSURE = Path("/proc/pressure/cpu")
MAX_PRESSURE = 25
AXE = Path(__file__).resolve().parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
_RUN_AXE = "await axe.run(document, { resultTypes: ['violations'] })"
EXPECTED_ERRORS = ("the server responded with a status of", "net::ERR_", "Failed to fetch")
"""The browser's own lines about answers that the test brings about."""

_NOTE_REQUESTS = """
const send = window.fetch
window.unanswered = new Set()
window.fetch = (...request) => {
  const answer = send(...request)
  window.unanswered.add(answer)
  answer.catch(() => {}).then(() => window.unanswered.delete(answer))
  return answer
}
"""
_WAIT_FOR_ANSWERS = """async address => {
  await fetch(address)
  while (window.unanswered.size > 0) await Promise.allSettled(window.unanswered)
}"""


class Visitor:
    """A window with its own storage.

    :param address: the base URL of the server. Requests to other URLs are foreign.
    """

    def __init__(self, context: BrowserContext, address: str) -> None:
        self._context = context
        self.address = address
        self.page = context.new_page()
        self.page.add_init_script(_NOTE_REQUESTS)
        self.errors: list[str] = []
        self.expected_errors = list(EXPECTED_ERRORS)
        self.foreign_requests: list[str] = []
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._note_request)

    def open(self, place: str = "/runs") -> None:
        """Open a place of the page, such as ``/runs?state=failed``."""
        self.page.goto(f"{self.address}/ui/#{place}")

    def see(self, text: str, **options: Any) -> Locator:
        """Wait until a text is visible."""
        locator = self.page.get_by_text(text, **options).first
        locator.wait_for()
        return locator

    def wait_until_read(self) -> None:
        """Wait until the page has read its lists. A run that is accepted later is new to it.

        As soon as the page follows all changes, it reads its lists once more: after the first message of the stream,
        which is sent before the answer to any later request.
        """
        self.page.locator(".connection").get_by_text("Live").wait_for()
        self.page.evaluate(_WAIT_FOR_ANSWERS, f"{self.address}/-/live")

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def violations(self) -> list[str]:
        """What axe-core finds on the page as it is: rule and element of each violation."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(_axe())
        result: dict[str, Any] = self.page.evaluate(f"async () => {_RUN_AXE}")
        return [
            f"{violation['id']}: {node['html'][:160]}"
            for violation in result["violations"]
            for node in violation["nodes"]
        ]

    def check(self) -> None:
        """Assert what holds for every page at every time."""
        violations = self.violations()
        if violations:
            # A page that is just changing may be half drawn: a person meets what stays.
            with suppress(PlaywrightTimeoutError):
                self.page.wait_for_function(f"async () => ({_RUN_AXE}).violations.length === 0", polling=200)
            violations = self.violations()
        assert violations == [], violations
        assert self.overflow() <= 0, "the page can be scrolled sideways"
        assert not self.errors, self.errors
        assert self.foreign_requests == []

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        width: int = self.page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return width

    def small_targets(self, size: int = 40) -> list[str]:
        """Controls that are too small to touch; links inside a text may be small."""
        controls: list[str] = self.page.evaluate(
            """size => [...document.querySelectorAll("button, select, input, textarea, [role=menuitem], nav a")]
              .filter(element => element.checkVisibility() && !element.closest(".sr-only"))
              .map(element => [element, (element.closest("label") ?? element).getBoundingClientRect()])
              .filter(([, box]) => box.width > 0 && (box.height < size - 0.5 || box.width < size - 0.5))
              .map(([element]) => element.outerHTML.slice(0, 120))""",
            size,
        )
        return controls

    @contextmanager
    def processor_time(self) -> Iterator[Callable[[], float]]:
        """Measure the page's main thread: what is yielded returns the seconds of processor time since the start."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def task_seconds() -> float:
            metrics = session.send("Performance.getMetrics")["metrics"]
            return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))

        start = task_seconds()
        yield lambda: task_seconds() - start
        session.detach()

    def describe(self) -> str:
        """What the window shows, for the report of a test that failed."""
        try:
            unanswered = self.page.evaluate("() => window.unanswered?.size ?? 0")
            text = self.page.locator("body").inner_text(timeout=5_000)
        except PlaywrightError as error:  # such as that the window was closed
            return str(error)
        return f"{self.page.url}, {unanswered} requests without an answer, errors {self.errors}\n{text}"

    def close(self) -> None:
        """Close the window."""
        self._context.close()

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(words in message.text for words in self.expected_errors):
            self.errors.append(message.text)

    def _note_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and not request.url.startswith(f"{self.address}/"):
            self.foreign_requests.append(request.url)


def machine_is_quiet() -> bool:
    """Whether programs need not wait for a processor, so that wall times say something about the page.

    The load is the mean of a minute. Linux also tells in what share of the last ten seconds a program had to wait; the
    browser alone makes it 10 to 20 percent.
    """
    share = 0.0
    if PRESSURE.exists():
        share = float(PRESSURE.read_text().split()[1].removeprefix("avg10="))
    return share <= MAX_PRESSURE and os.getloadavg()[0] <= (os.cpu_count() or 1)


@functools.cache
def _axe() -> str:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: .venv/bin/python tools/install.py ui")
    return AXE.read_text()
