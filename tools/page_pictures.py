"""Make the pictures of the page in docs/img: a real server, killed in the middle of a run, in a real browser.

    .venv/bin/uv pip install --target /tmp/pillow pillow
    PYTHONPATH=.:/tmp/pillow .venv/bin/python tools/page_pictures.py           make all of them
    PYTHONPATH=.:/tmp/pillow .venv/bin/python tools/page_pictures.py --only film

It needs a quiet machine, the built page, Chromium, and Pillow, which nothing else here uses. The teams are in
tools/support_desk.py, their model in tools/support_desk_model.py.
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, Self

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tools.install import browser_program
from tools.support_desk_model import SupportDeskModel

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "img"
DESK, PHONE = (1280, 960), (390, 844)
FILM = (1080, 780)
FRAME_SECONDS = 0.25
FILM_SPEED = 3.5
LAST_FRAME_SECONDS = 2.0
COLOURS, EXACT_COLOURS, BOX = 256, 96, 4
PATIENCE_SECONDS = 120.0
AFTER_TRACKING_SECONDS = 1.8
"""How long the parcel is being tracked when the server is killed: the call takes longer."""
DOWNTIME_SECONDS = 4.0

TEAM, CREW, NEWS, TRAVEL = "teams/support-desk", "teams/release-crew", "teams/newsroom", "agents/travel"
RUN = "run-4417"
QUESTION = "Where is my order 4417? I have waited nine days. Please fix it today."


Colour = tuple[int, int, int]


class Desk:
    """A server of the support desk, from the start of the ``with`` block to its end."""

    def __init__(self, model: SupportDeskModel) -> None:
        self._folder = tempfile.TemporaryDirectory()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = int(free.getsockname()[1])
        self.address = f"http://127.0.0.1:{self._port}"
        self._environment = {
            **os.environ,
            "OPENAI_BASE_URL": model.base_url,
            "OPENAI_API_KEY": "none",
            "MUSTERD_MODEL_RETRY_SECONDS": "2",
        }

    def __enter__(self) -> Self:
        self.start()
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        """Start the server, without waiting until it serves."""
        words = ["serve", str(ROOT / "tools" / "support_desk.py"), "--port", str(self._port)]
        words += ["--db", f"sqlite:///{self._folder.name}/support.db"]
        with open(Path(self._folder.name) / "log", "ab") as log:
            command = [sys.executable, "-m", "musterd", *words]
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """Kill the server immediately."""
        self._process.kill()
        self._process.wait()

    def is_ready(self) -> bool:
        """Whether the server answers."""
        with contextlib.suppress(OSError):
            return bool(self.get("/-/live"))
        return False

    def wait_until_ready(self) -> None:
        """Wait until the server answers."""
        _wait_for(self.is_ready, "the server is ready")

    def get(self, path: str, **query: object) -> Any:
        """Read from the API."""
        with urllib.request.urlopen(f"{self.address}{path}?{urllib.parse.urlencode(query)}", timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, **fields: str) -> None:
        """Send a form to the API."""
        data = urllib.parse.urlencode(fields).encode()
        urllib.request.urlopen(f"{self.address}{path}", data, timeout=60).close()

    def run(self, to: str, user: str, message: str, run_id: str, session_id: str = "") -> None:
        """Start a run in the background."""
        fields = {"message": message, "run_id": run_id, "session_id": session_id or run_id, "user_id": user}
        self.post(f"/{to}/runs", **fields, background="true", stream="false")

    def wait_for_end(self, run_id: str) -> None:
        """Wait until a run has finished or paused."""
        _wait_for(lambda: self.get(f"/runs/{run_id}", wait=20)["status"] not in ("PENDING", "RUNNING"), run_id)

    def wait_for_step(self, run_id: str, name: str) -> None:
        """Wait until a run calls a tool."""
        _wait_for(lambda: any(step["name"] == name for step in self.get(f"/runs/{run_id}/steps")), name)

    def wait_for_text(self, run_id: str, text: str) -> None:
        """Wait until a member of a run has written a text."""

        def is_written() -> bool:
            events = self.get(f"/runs/{run_id}/events", limit=1000)["events"]
            return text in "".join(str(event.get("content", "")) for event in events)

        _wait_for(is_written, text)


def tell_story(desk: Desk) -> None:
    """Runs of all states. One of them survives a kill, waits for a person, and writes until the model's gate opens."""
    desk.run(TEAM, "mara", "Can I still return order 4398?", "run-4398", "mara")
    desk.run(NEWS, "jonas", "Winter tyres: check the draft's figures", "run-4401")
    desk.run(CREW, "ida", "Smoke-test checkout 2.14.0", "run-4402")
    desk.run(CREW, "ida", "Plan: migrate the whole ledger at once", "run-4404")
    for run_id in ("run-4398", "run-4401", "run-4402", "run-4404"):
        desk.wait_for_end(run_id)
    desk.run(CREW, "ida", "Write the release notes", "run-4406")
    desk.wait_for_text("run-4406", "new checkout.")
    desk.post("/runs/run-4406/cancel")
    desk.wait_for_end("run-4406")
    desk.run(TRAVEL, "jonas", "Check me in", "run-4409")
    desk.run(CREW, "ida", "Please roll out checkout 2.14.0", "run-4412")
    desk.wait_for_end("run-4409")
    desk.wait_for_end("run-4412")
    desk.run(NEWS, "jonas", "Send the newsletter", "run-4415")
    desk.wait_for_step("run-4415", "send_newsletter")
    desk.run(TEAM, "mara", QUESTION, RUN, "mara")
    desk.run(TEAM, "mara", "And please send me the invoice of order 4398.", "run-4418", "mara")
    desk.wait_for_step(RUN, "track_parcel")
    time.sleep(AFTER_TRACKING_SECONDS)
    desk.kill()
    time.sleep(DOWNTIME_SECONDS)
    desk.start()
    desk.wait_until_ready()
    desk.wait_for_text(RUN, "new tracking number")


def make_pictures(browser: Browser, desk: Desk) -> None:
    """Each page on a desktop, light and dark, and on a phone."""
    (question,) = desk.get("/approvals", run_id=RUN)["data"]
    places = {
        "run": (f"/runs/{RUN}", "Shipping is writing"),
        "runs": ("/runs", "And please send me the invoice"),
        "approvals": (f"/approvals/{question['id']}", "Without a decision"),
        "sessions": ("/sessions/mara", "May Billing call"),
        "teams": ("/teams/support-desk", "Pays money back"),
        "health": ("/health", "Everything is working"),
    }
    for name, (place, text) in places.items():
        take(browser, desk, place, text, IMAGES / f"page-{name}.png")
        take(browser, desk, place, text, IMAGES / f"page-{name}-dark.png", theme="dark")
        take(browser, desk, place, text, IMAGES / f"page-{name}-phone.png", size=PHONE)


def take(
    browser: Browser,
    desk: Desk,
    place: str,
    text: str,
    path: Path,
    *,
    theme: Literal["light", "dark"] = "light",
    size: tuple[int, int] = DESK,
) -> None:
    """Take a picture of a place once it shows a text."""
    page = open_page(browser, desk, place, theme=theme, size=size)
    page.get_by_text(text).first.wait_for()
    page.get_by_text("Live", exact=True).first.wait_for(state="attached")
    page.evaluate("document.fonts.ready.then(() => new Promise(requestAnimationFrame))")
    reduced(page.screenshot()).save(path, optimize=True)
    page.context.close()


def open_page(
    browser: Browser, desk: Desk, place: str, *, theme: Literal["light", "dark"] = "light", size: tuple[int, int] = DESK
) -> Page:
    """Open a place in a window of its own."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=2 if size == PHONE else 1,
        has_touch=size == PHONE,
        color_scheme=theme,
        reduced_motion="reduce",
        locale="en-GB",
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_SECONDS * 1000)
    page.goto(f"{desk.address}/ui/#{place}")
    return page


def make_film(browser: Browser, desk: Desk, path: Path) -> None:
    """A run from its start to its end: the server is killed, and a person approves."""
    desk.run(TEAM, "mara", "Please send me the invoice of order 4398.", "run-4398", "invoice")
    desk.wait_for_end("run-4398")  # so that the server has loaded what a first run needs
    desk.run(TEAM, "mara", QUESTION, RUN, "mara")
    page = open_page(browser, desk, f"/runs/{RUN}", size=FILM)
    page.get_by_role("heading", name=QUESTION).wait_for()
    frames: list[tuple[float, bytes]] = []
    for _ in direct(page, desk):
        frames.append((time.monotonic(), page.screenshot()))
        time.sleep(max(0.0, frames[-1][0] + FRAME_SECONDS - time.monotonic()))
    page.context.close()
    save_film(frames, path)


def direct(page: Page, desk: Desk) -> Iterator[None]:
    """What happens in the film; yields until the next thing happens."""
    head = page.locator(".run-meta")
    yield from _until(lambda: page.get_by_text("runs track_parcel").count() > 0)
    yield from _pause(AFTER_TRACKING_SECONDS)
    desk.kill()
    yield from _pause(DOWNTIME_SECONDS / 2)
    desk.start()
    yield from _until(lambda: page.get_by_role("button", name="Approve").count() > 0)
    yield from _pause(3.0)
    page.get_by_role("button", name="Approve").click()
    yield from _until(lambda: "Completed" in head.inner_text())
    page.evaluate("scrollTo(0, 0)")
    yield from _pause(1.0)


def save_film(frames: list[tuple[float, bytes]], path: Path) -> None:
    """Write an animation that shows the frames at :data:`FILM_SPEED` times their pace."""
    pictures = [Image.open(io.BytesIO(picture)).convert("RGB") for _, picture in frames]
    colours = colours_of(pictures[:: max(1, len(pictures) // 8)])
    times = [at for at, _ in frames]
    seconds = [(after - at) / FILM_SPEED for at, after in itertools.pairwise(times)]
    first, *others = [with_colours(picture, colours) for picture in pictures]
    first.save(
        path,
        save_all=True,
        append_images=others,
        duration=[round(pause * 1000) for pause in [*seconds, LAST_FRAME_SECONDS]],
        loop=0,
    )


def reduced(picture: bytes) -> Image.Image:
    """A picture in a palette of its own: half the size, and no difference that one sees."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    return with_colours(image, colours_of([image]))


def colours_of(pictures: list[Image.Image]) -> list[Colour]:
    """At most 256 colours for pictures: the surfaces and inks exactly, and what covers the range of all others."""
    width, height = pictures[0].size
    sheet = Image.new("RGB", (width, height * len(pictures)))
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (0, height * number))
    by_count = sorted(sheet.getcolors(width * sheet.height) or [], reverse=True)
    others = sheet.quantize(COLOURS - EXACT_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).getpalette()
    exact = [colour for _, colour in by_count[:EXACT_COLOURS] if isinstance(colour, tuple)]
    distinct: dict[Colour, Colour] = {}
    for red, green, blue in [*exact, *zip(*[iter(others or [])] * 3, strict=True)]:
        colour = red, green, blue
        distinct.setdefault(_corner(colour), colour)
    return list(distinct.values())


def with_colours(picture: Image.Image, colours: list[Colour]) -> Image.Image:
    """A picture in a palette of these colours."""
    match = Image.new("P", (1, 1))
    match.putpalette([value for colour in colours for value in _corner(colour)])
    image = picture.quantize(palette=match, dither=Image.Dither.NONE)
    image.putpalette([value for colour in colours for value in colour])
    return image


def _corner(colour: Colour) -> Colour:
    """The corner of the box by which Pillow finds the nearest colour: by the colours themselves, white became grey."""
    red, green, blue = (value // BOX * BOX for value in colour)
    return red, green, blue


def _until(fact: Callable[[], bool]) -> Iterator[None]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not fact():
        if time.monotonic() > deadline:
            raise TimeoutError("the film does not go on")
        yield


def _pause(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield


def _wait_for(fact: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not fact():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)


def main(arguments: list[str]) -> int:
    """Make the pictures, the film or both; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=["pictures", "film"], help="default: both")
    only = parser.parse_args(arguments).only
    path = browser_program()
    if path is None:
        print("Chromium is not installed: python tools/install.py browser", file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        if only != "film":
            with SupportDeskModel() as model, Desk(model) as desk:
                tell_story(desk)
                make_pictures(browser, desk)
        if only != "pictures":
            with SupportDeskModel() as model, Desk(model) as desk:
                model.gate.set()
                make_film(browser, desk, IMAGES / "run-at-work.gif")
        browser.close()
    for image in sorted(IMAGES.iterdir()):
        print(f"{image.relative_to(ROOT)}: {image.stat().st_size // 1000} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
