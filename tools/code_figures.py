"""Figures of the code: sizes, comments, words that say nothing, and the files that one request passes through.

python tools/code_figures.py
"""

import asyncio
import statistics
import sys
import tempfile
import tokenize
from pathlib import Path
from types import FrameType
from typing import Any

import httpx2

from musterd import Agent, Settings, Team, create_app, tool

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "musterd"
VAGUE = ("found", "asked", "wanted", "told", "given", "shown", "made")
"""Names that say nothing when they stand alone."""


def main() -> None:
    """Print the figures."""
    files = sorted(SOURCE.rglob("*.py"))
    lines = [len(file.read_text().splitlines()) for file in files]
    total = sum(lines)
    print(f"files: {len(files)}, lines: {total:,}, median file: {statistics.median(lines):.0f} lines")
    print(f"files of at most 50 lines: {sum(count <= 50 for count in lines) / len(files):.0%}")
    comments = sum(_own_line_comments(file) for file in files)
    print(f"comment lines: {comments / total:.1%}")
    counts = {word: sum(_names(file).count(word) for file in files) for word in VAGUE}
    print("names per 1,000 lines:", ", ".join(f"{word} {1000 * count / total:.1f}" for word, count in counts.items()))
    words = sum(len(page.read_text().split()) for page in (ROOT / "docs").rglob("*.md"))
    print(f"words of docs: {words:,}")
    for name, passed in asyncio.run(_requests()).items():
        print(f"{name}: {len(passed)} files")


def _own_line_comments(file: Path) -> int:
    return sum(line.lstrip().startswith("#") for line in file.read_text().splitlines())


def _names(file: Path) -> list[str]:
    with tokenize.open(file) as text:
        return [token.string for token in tokenize.generate_tokens(text.readline) if token.type == tokenize.NAME]


async def _requests() -> dict[str, set[str]]:
    """The files that a POST of a team run and a GET of it pass through, each after one to warm up."""

    @tool
    def get_weather(city: str) -> str:
        """Current weather in a city."""
        return f"Sunny in {city}"

    member = Agent(id="weather", role="Knows the weather", tools=[get_weather])
    team = Team(id="desk", model="scripted", members=[member])
    passed: dict[str, set[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(teams=[team], settings=Settings(db=f"sqlite:///{folder}/figures.db"))
        transport = httpx2.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
        ):
            fields: dict[str, Any] = {"message": 'Go. [[DELEGATE weather: <TOOL get_weather {"city": "Oslo"}>]]'}
            for run_id in ("warm-up", "measured"):
                data = {**fields, "stream": "false", "run_id": run_id, "session_id": "s1"}
                post, get = set[str](), set[str]()
                with _Profiled(post):
                    answer = await http.post("/teams/desk/runs", data=data)
                assert answer.is_success, answer.text
                with _Profiled(get):
                    (await http.get(f"/teams/desk/runs/{run_id}", params={"session_id": "s1"})).raise_for_status()
                passed = {"POST of a team run": post, "GET of a run": get}
    return passed


class _Profiled:
    """Notes the files of this package whose functions are called on this thread."""

    def __init__(self, files: set[str]) -> None:
        self._files = files

    def __enter__(self) -> None:
        sys.setprofile(self._note)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(SOURCE)):
            self._files.add(frame.f_code.co_filename)


if __name__ == "__main__":
    main()
