"""The output of ``musterd demo``: progress while the run is going on, and a summary at the end."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console

from musterd.core import clock

Json = Mapping[str, Any]

SILENCE_SECONDS = 1.5
"""Longest time without output: there should be a sign of life at least every two seconds."""
LIVE_SECONDS = 0.5
"""How often the live line on a terminal is updated."""
_RESULT_LENGTH = 160
"""Most characters of a tool result that are shown."""


class ProgressPrinter:
    """Prints each change with its time, and signs of life in between.

    On a terminal these are one live line; otherwise they are a plain line after ``SILENCE_SECONDS`` without output. A
    thread prints them, because the main thread is blocked while it waits for a response.
    """

    def __init__(self, console: Console) -> None:
        self.waiting_for = ""
        """What the demo waits for; no signs of life are printed while it is empty."""
        self._console = console
        self._started = clock.monotonic()
        self._printed_at = self._started
        self._printed: set[str] = set()
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._show_signs_of_life, daemon=True)

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
        """Print ``text``, unless it was printed before."""
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
            self.say(f"  {name}: working on “{member.get('run_input')}”")
            for call in member.get("tools") or ():
                self.say(f"  {name}: called {_tool_call(call)}")
            if member["status"] not in ("PENDING", "RUNNING"):
                self.say(f"  {name}: {member['status']}")
        self.say(f"{team}: {run['status']}")
        running = [_name(member) for member in members if member["status"] == "RUNNING"]
        is_loading = (run.get("activity") or {}).get("kind") == "loading"
        self.waiting_for = "loading the model" if is_loading else f"working: {', '.join(running) or 'the leader'}"

    def _print(self, text: str) -> None:
        self._console.print(f"{self.seconds:6.1f} s  {text}", markup=False)
        self._printed_at = clock.monotonic()

    def _show_signs_of_life(self) -> None:
        if self._console.is_terminal:
            self._keep_line_alive()
            return
        while not self._is_over.wait(max(0.05, self._printed_at + SILENCE_SECONDS - clock.monotonic())):
            with self._lock:
                if not self.waiting_for:
                    self._printed_at = clock.monotonic()
                elif clock.monotonic() - self._printed_at >= SILENCE_SECONDS:
                    self._print(f"… {self.waiting_for}")

    def _keep_line_alive(self) -> None:
        status = self._console.status("")
        try:
            while not self._is_over.wait(LIVE_SECONDS):
                if self.waiting_for:
                    status.update(f"{self.seconds:.0f} s  {self.waiting_for}")
                    status.start()
                else:
                    status.stop()
        finally:
            status.stop()


def summary(run: Json, members: Sequence[Json], url: str) -> Iterator[tuple[str, str]]:
    """The sections of the summary: titles and texts.

    :param url: the base URL of the server.
    """
    yield "The answer", str(run.get("content"))
    yield "Who did what", "\n".join(_activities(run, members))
    metrics = [each_run.get("metrics") or {} for each_run in (run, *members)]
    read, written = (sum(values.get(key) or 0 for values in metrics) for key in ("input_tokens", "output_tokens"))
    yield "Tokens", f"{read:,} read, {written:,} written"
    duration = (run.get("metrics") or {}).get("duration")
    if duration is not None:
        yield "Time", f"{duration:.1f} s"
    path = f"/teams/{run.get('team_id')}/runs/{run['run_id']}?session_id={run.get('session_id')}"
    yield "The run", f"{run['run_id']}\nGET {url}{path}"


def _activities(run: Json, members: Sequence[Json]) -> Iterator[str]:
    names = ", ".join(dict.fromkeys(_name(member) for member in members))
    yield f"{run.get('team_id')} (leader): " + (f"asked {names}, and answered" if names else "answered")
    for member in members:
        calls = [_tool_call(call) for call in member.get("tools") or ()]
        yield f"{_name(member)}: " + ("; ".join(f"called {call}" for call in calls) or "answered")


def _name(member: Json) -> str:
    return str(member.get("agent_id") or member.get("team_id"))


def _tool_call(call: Json) -> str:
    arguments = json.dumps(call.get("tool_args") or {}, ensure_ascii=False)
    result = str(call.get("result"))
    shortened = result if len(result) <= _RESULT_LENGTH else f"{result[:_RESULT_LENGTH]}…"
    return f"{call['tool_name']}({arguments}) → {shortened}"
