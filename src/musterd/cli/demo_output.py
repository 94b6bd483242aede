"""What ``musterd demo`` prints: what happens, as it happens, and a summary of the run."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console

from musterd.core import clock

Json = Mapping[str, Any]

SILENCE_SECONDS = 1.5
"""The longest time without a line: no wait of two seconds should pass without a sign of work."""
LIVE_SECONDS = 0.5
"""How often the seconds on a terminal are counted on."""
_LONGEST = 160
"""Characters of a tool's result that are shown."""


class Progress:
    """Prints what is new, with its time, and between two lines that work goes on.

    On a terminal that is one live line; elsewhere, a plain line whenever ``SILENCE_SECONDS`` have passed without one.
    A thread prints it, since the code that waits for an answer cannot.
    """

    def __init__(self, console: Console) -> None:
        self.doing = ""
        """What is waited for; nothing is printed while it is empty."""
        self._console = console
        self._started = clock.monotonic()
        self._printed_at = self._started
        self._printed: set[str] = set()
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._show_that_work_goes_on, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """How long the demo has been running."""
        return clock.monotonic() - self._started

    def say(self, text: str) -> None:
        """Print ``text``, once."""
        with self._lock:
            if text not in self._printed:
                self._printed.add(text)
                self._print(text)

    def show(self, team: str, run: Json, members: Sequence[Json]) -> None:
        """Print what has changed in a run and its members' runs."""
        if run["status"] == "RUNNING":
            self.say(f"{team}: RUNNING")
        for member in members:
            name = _name(member)
            self.say(f"  {name}: works on “{member.get('run_input')}”")
            for call in member.get("tools") or ():
                self.say(f"  {name}: called {_called(call)}")
            if member["status"] not in ("PENDING", "RUNNING"):
                self.say(f"  {name}: {member['status']}")
        self.say(f"{team}: {run['status']}")
        at_work = [_name(member) for member in members if member["status"] == "RUNNING"]
        self.doing = f"at work: {', '.join(at_work) or 'the leader'}"

    def _print(self, text: str) -> None:
        self._console.print(f"{self.seconds:6.1f} s  {text}", markup=False)
        self._printed_at = clock.monotonic()

    def _show_that_work_goes_on(self) -> None:
        if self._console.is_terminal:
            self._keep_line_alive()
            return
        while not self._is_over.wait(max(0.05, self._printed_at + SILENCE_SECONDS - clock.monotonic())):
            with self._lock:
                if not self.doing:
                    self._printed_at = clock.monotonic()
                elif clock.monotonic() - self._printed_at >= SILENCE_SECONDS:
                    self._print(f"… {self.doing}")

    def _keep_line_alive(self) -> None:
        status = self._console.status("")
        try:
            while not self._is_over.wait(LIVE_SECONDS):
                if self.doing:
                    status.update(f"{self.seconds:.0f} s  {self.doing}")
                    status.start()
                else:
                    status.stop()
        finally:
            status.stop()


def summary(run: Json, members: Sequence[Json], address: str) -> Iterator[tuple[str, str]]:
    """What came of a run: titles and texts.

    :param address: of the server.
    """
    yield "The answer", str(run.get("content"))
    yield "Who did what", "\n".join(_deeds(run, members))
    metrics = [one.get("metrics") or {} for one in (run, *members)]
    read, written = (sum(one.get(key) or 0 for one in metrics) for key in ("input_tokens", "output_tokens"))
    yield "Tokens", f"{read:,} read, {written:,} written"
    duration = (run.get("metrics") or {}).get("duration")
    if duration is not None:
        yield "Time", f"{duration:.1f} s"
    path = f"/teams/{run.get('team_id')}/runs/{run['run_id']}?session_id={run.get('session_id')}"
    yield "The run", f"{run['run_id']}\nGET {address}{path}"


def _deeds(run: Json, members: Sequence[Json]) -> Iterator[str]:
    asked = ", ".join(dict.fromkeys(_name(member) for member in members))
    yield f"{run.get('team_id')} (leader): " + (f"asked {asked}, and answered" if asked else "answered")
    for member in members:
        calls = [_called(call) for call in member.get("tools") or ()]
        yield f"{_name(member)}: " + ("; ".join(f"called {call}" for call in calls) or "answered")


def _name(member: Json) -> str:
    return str(member.get("agent_id") or member.get("team_id"))


def _called(call: Json) -> str:
    arguments = json.dumps(call.get("tool_args") or {}, ensure_ascii=False)
    result = str(call.get("result"))
    shown = result if len(result) <= _LONGEST else f"{result[:_LONGEST]}…"
    return f"{call['tool_name']}({arguments}) → {shown}"
