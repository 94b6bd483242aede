"""The embedded model at work: ten prompts to the sample team over HTTP, with the figures printed.

Opt-in (``make test-local``): it needs the extra ``local`` and 2.5 GB of memory. A prompt counts as right by member
when exactly the right members are asked, by arguments when their tools are called with the right ones, by answer
when the answer holds every fact that it must.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from musterd.core import clock
from musterd.core.settings import Settings
from musterd.models.local.weights import missing

pytestmark = [pytest.mark.local, pytest.mark.timeout(1800)]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "newsroom.py"
NEEDED = {"member": 8, "arguments": 8, "answer": 8}
"""Right of ten. What was measured stands in docs/howto/local-model.md."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What is asked, who should work on it with which argument of a tool, and what the answer must hold."""

    text: str
    members: dict[str, str | None] = field(default_factory=dict)
    facts: tuple[str, ...] = (r"\w",)


PROMPTS = [
    Prompt(text="How is the weather in Tokyo?", members={"weather": "Tokyo"}, facts=("thunderstorm",)),
    Prompt(
        text="Is anything on the calendar on Thursday?", members={"calendar": "Thursday"}, facts=("harbour", "concert")
    ),
    Prompt(
        text="What is the weather in Rome and what happens on Saturday?",
        members={"weather": "Rome", "calendar": "Saturday"},
        facts=("24", "market"),
    ),
    Prompt(text="Should I take a coat in Oslo?", members={"weather": "Oslo"}, facts=("yes|snow|3 degrees",)),
    Prompt(
        text="Tell me the weather in Cairo and the events on Monday.",
        members={"weather": "Cairo", "calendar": "Monday"},
        facts=("34", "meeting"),
    ),
    Prompt(text="Write a slogan for the market", members={"writer": None}),
    Prompt(text="Good morning!", facts=("hello|morning|hi",)),
    Prompt(
        text="How warm is it in London, then write a greeting for our readers",
        members={"weather": "London", "writer": None},
        facts=("14",),
    ),
    Prompt(text="When is the interview on Tuesday?", members={"calendar": "Tuesday"}, facts=("15:00|3 pm",)),
    Prompt(
        text="Is it windy in Paris? And is Sunday free?",
        members={"weather": "Paris", "calendar": "Sunday"},
        facts=("12 km/h|windy", "nothing|free"),
    ),
]


def ask(url: str, path: str, form: dict[str, str] | None = None) -> Any:
    body = urllib.parse.urlencode(form).encode() if form else None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url + path, data=body), timeout=600) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the sample team on the embedded model."""
    cache = os.environ.get("MUSTERD_TEST_LOCAL_CACHE", "")
    if reason := missing(Settings(local_cache=cache)):
        pytest.skip(f"the embedded model cannot run here: {reason}")
    records = tmp_path_factory.mktemp("records") / "local.db"
    process = subprocess.Popen(
        [sys.executable, "-m", "musterd", "serve", str(EXAMPLE), "--port", "0", "--db", f"sqlite:///{records}"],
        env={**os.environ, "MUSTERD_EXAMPLE_MODEL": "local", "MUSTERD_LOCAL_CACHE": cache},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with contextlib.closing(process.stdout):
        yield process.stdout.readline().rpartition(" ")[2].strip()
        process.terminate()
        process.wait(60)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a prompt."""

    member: bool
    arguments: bool
    answer: bool
    seconds: float
    said: str


def outcome(url: str, prompt: Prompt) -> Outcome:
    """Run ``prompt`` and judge it."""
    started = clock.monotonic()
    run = ask(url, "/teams/desk/runs", {"message": prompt.text, "stream": "false"})
    seconds = clock.monotonic() - started
    runs = ask(url, f"/sessions/{run['session_id']}/runs")
    worked = {
        member["agent_id"].removesuffix("-agent"): [
            str(next(iter(call["tool_args"].values()))) for call in member.get("tools") or ()
        ]
        for member in runs
        if member.get("parent_run_id") == run["run_id"]
    }
    expected = {member: [argument] if argument else [] for member, argument in prompt.members.items()}
    said = str(run["content"])
    return Outcome(
        member=worked.keys() == expected.keys(),
        arguments=worked == expected,
        answer=run["status"] == "COMPLETED" and all(re.search(fact, said, re.IGNORECASE) for fact in prompt.facts),
        seconds=seconds,
        said=" / ".join(f"{member}{calls}" for member, calls in worked.items()) + " => " + " ".join(said.split()),
    )


def test_ten_prompts(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = []
    for prompt in PROMPTS:
        result = outcome(url, prompt)
        outcomes.append(result)
        marks = "".join("+" if right else "-" for right in (result.member, result.arguments, result.answer))
        with capsys.disabled():
            print(f"\n{marks} {result.seconds:5.1f} s  {prompt.text}\n     {result.said}", end="")  # noqa: T201
    right = {name: sum(getattr(result, name) for result in outcomes) for name in NEEDED}
    times = sorted(result.seconds for result in outcomes[1:])
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what this is for
            f"\nright of {len(PROMPTS)}: {right}; first {outcomes[0].seconds:.1f} s, "
            f"then {times[0]:.1f} to {times[-1]:.1f} s"
        )
    assert all(right[name] >= needed for name, needed in NEEDED.items())
