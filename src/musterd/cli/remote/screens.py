"""How a run is shown while it is at work: side by side on a terminal, line by line elsewhere. On standard error."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from musterd.cli.output import ID_LENGTH, console, cut, dollars, duration, printable, say
from musterd.cli.remote.outage import Outage
from musterd.cli.remote.run_progress import MemberProgress, RunProgress, kind_of, line_of
from musterd.cli.typed_keys import hidden_keys
from musterd.cli.waiting import Heartbeat, can_redraw
from musterd.core import clock

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.panel import Panel

    from musterd.client import Event, Run

PANEL_WIDTH = 36
"""The least width of a member's panel."""
TEXT_LINES = 6
PANEL_HEIGHT = TEXT_LINES + 3
REFRESHES_PER_SECOND = 8
WAITING = "waiting to start"
SILENCE_SECONDS = 10.0
"""Without a terminal, the longest time without a line: logs should not be full of them."""
ECHO_WIDTH = 4
"""Columns for what the terminal writes when Ctrl+C is pressed, and for the sign that something was cut."""
COST_SECONDS = 2.0
"""How often the cost is read, at most."""
_STYLES = {"completed": "green", "failed": "red", "cancelled": "dim", "paused": "yellow"}


class Screen(Protocol):
    """Shows a run."""

    progress: RunProgress

    def show(self, event: "Event") -> None:
        """Show an event."""

    def start(self) -> None:
        """Begin to show the run, or go on."""

    def stop(self) -> None:
        """Leave the terminal to others, for a question or for the answer."""


@contextlib.contextmanager
def displayed(screen: Screen) -> Iterator[None]:
    """Show the run while requests are sent, also that the server does not answer them."""
    screen.start()
    try:
        yield
    finally:
        screen.stop()


class LineScreen:
    """Prints a line for each change, with the seconds since the start of the run.

    :param outage: whether the server answers.
    :param silence_seconds: after how long without a change a line says who does what.
    """

    def __init__(self, outage: Outage, silence_seconds: float) -> None:
        self.progress = RunProgress()
        self._outage = outage
        self._opened_at = clock.monotonic()
        self._started_at: float | None = None
        self._last_work = ("", -math.inf)
        self._heartbeat = Heartbeat(silence_seconds, self.show_work)

    def show(self, event: "Event") -> None:
        """Print what has changed."""
        member = self.progress.apply(event)
        if self._started_at is None:
            self._started_at = event.at
        if line := line_of(event, member):
            _say(event.at - self._started_at, f"{'  ' * member.depth}{member.name}: {line}")
            self._heartbeat.note()

    def start(self) -> None:
        """Print from now on who does what."""
        self._heartbeat.start()

    def stop(self) -> None:
        """Print no more."""
        self._heartbeat.stop()

    def show_work(self) -> None:
        """Print a line that says who does what."""
        words = reconnecting(self._outage) or self.progress.at_work() or WAITING
        last_words, last_at = self._last_work
        if words == last_words and clock.monotonic() < last_at + SILENCE_SECONDS:
            return
        self._last_work = words, clock.monotonic()
        started_at = self._started_at
        seconds = clock.monotonic() - self._opened_at if started_at is None else clock.now() - started_at
        _say(max(seconds, 0), f"… {words}")


class LiveScreen:
    """The leader and the members side by side, with their states, calls, texts, tokens and times.

    A thread of rich draws it several times in a second, also while no event comes.

    :param title: what runs, at the beginning of the line above.
    :param run_id: the run. Its beginning is at the end of that line, because a narrow terminal cuts it.
    :param terminal: where to draw.
    :param read_cost: reads what the run has cost so far, in US dollars: events do not have it before the end.
    :param outage: whether the server answers.
    :param hint: what the keys do, in the line below.
    """

    def __init__(
        self,
        title: str,
        run_id: str,
        terminal: "Console",
        read_cost: Callable[[], float | None],
        outage: Outage,
        hint: str = "",
    ) -> None:
        self.progress = RunProgress()
        self._title = title
        self._run_id = run_id[:ID_LENGTH]
        self._terminal = terminal
        self._read_cost = read_cost
        self._outage = outage
        self._hint = hint
        self._opened_at = clock.monotonic()
        self._next_cost_at = clock.monotonic() + COST_SECONDS
        self._drawing = contextlib.ExitStack()

    def show(self, event: "Event") -> None:
        """Take an event in. The next drawing has it."""
        self.progress.apply(event)
        if kind_of(event) == "ModelRequestCompleted" and clock.monotonic() >= self._next_cost_at:
            self.progress.cost = self._read_cost()
            self._next_cost_at = clock.monotonic() + COST_SECONDS

    def start(self) -> None:
        """Draw from now on."""
        from rich.live import Live

        self._drawing.enter_context(hidden_keys())
        live = Live(
            get_renderable=self.drawing,
            console=self._terminal,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
        )
        self._drawing.enter_context(live)

    def stop(self) -> None:
        """Remove the drawing."""
        self._drawing.close()

    def drawing(self) -> "RenderableType":
        """The screen as it is now."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        members = list(self.progress.members.values())  # copied, because the drawing is done by another thread
        size = self._terminal.size
        columns = max(1, min(len(members), size.width // PANEL_WIDTH))
        # A drawing that is higher than the terminal cannot be replaced, so not all panels may be shown.
        rows = max(1, (size.height - 1) // PANEL_HEIGHT)
        visible = _most_interesting(members, rows * columns)
        grid = Table.grid(expand=True)
        for _ in range(columns):
            grid.add_column(ratio=1)
        for start in range(0, len(visible), columns):
            grid.add_row(*(self._panel(member, size.width // columns) for member in visible[start : start + columns]))
        headline = Text(self._headline(members), style="bold", no_wrap=True, overflow="ellipsis")
        if not self._hint or 1 + PANEL_HEIGHT * grid.row_count + 1 >= size.height:
            return Group(headline, grid)
        # A short last line: after a full one the ^C that the terminal writes begins a new line, so that one line of the
        # drawing would stay.
        return Group(headline, grid, Text(cut(self._hint, max(size.width - ECHO_WIDTH, 0)), style="dim"))

    def _headline(self, members: list[MemberProgress]) -> str:
        state = reconnecting(self._outage)
        if not members:
            return f"{self._title}  {state or WAITING}  {duration(clock.monotonic() - self._opened_at)}  {self._run_id}"
        root = members[0]
        tokens = sum(member.input_tokens + member.output_tokens for member in members)
        facts = (self._elapsed(root), f"{tokens:,} tokens", dollars(self.progress.cost), self._run_id)
        return "  ".join(part for part in (self._title, state or root.activity, *facts) if part)

    def _panel(self, member: MemberProgress, panel_width: int) -> "Panel":
        from rich.panel import Panel
        from rich.text import Text

        width = max(panel_width - 4, 10)
        text = Text(printable(member.text[-width * TEXT_LINES :]), overflow="fold")
        doings = [Text(doing, no_wrap=True, overflow="ellipsis", style="cyan") for doing in member.doings[-TEXT_LINES:]]
        lines = text.wrap(self._terminal, width)[len(doings) - TEXT_LINES - 1 :]
        tokens = f"{member.input_tokens:,} in, {member.output_tokens:,} out"
        style = _STYLES.get(member.state, "cyan")
        return Panel(
            Text("\n").join([*doings, *lines]),
            title=Text(member.name, style="bold"),
            subtitle=Text(f"{tokens}  {self._elapsed(member)}", style="dim"),
            border_style=style,
            height=PANEL_HEIGHT,
        )

    def _elapsed(self, member: MemberProgress) -> str:
        return duration((member.ended_at or clock.now()) - member.started_at)


def _most_interesting(members: list[MemberProgress], count: int) -> list[MemberProgress]:
    """The run itself, its members that are at work, and those that have ended last: at most a number of them."""
    ended_first = sorted(members[1:], key=lambda member: member.ended_at is None)
    left_out = {member.run_id for member in ended_first[: max(0, len(members) - count)]}
    return [member for member in members if member.run_id not in left_out]


def _say(seconds: float, text: str) -> None:
    say(f"{seconds:6.1f} s  {text}")


def reconnecting(outage: Outage) -> str:
    """That the server does not answer, and for how long; empty if it does."""
    return f"reconnecting {duration(outage.seconds)}" if outage.seconds else ""


def screen_for(
    run: "Run", read_cost: Callable[[], float | None], outage: Outage, silence_seconds: float, hint: str
) -> Screen:
    """The screen that suits standard error. The other parameters are those of the screens."""
    if can_redraw():
        return LiveScreen(run.component_id or "run", run.run_id, console(sys.stderr), read_cost, outage, hint)
    return LineScreen(outage, silence_seconds)
