"""The output of commands: tables and JSON on standard output, everything else on standard error."""

import datetime
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from musterd.cli.standard_streams import has_any_character
from musterd.core import clock

if TYPE_CHECKING:
    from rich.console import Console

FULL_ID_WIDTH = 140
"""Terminals of this width show ids as a whole. On others tables show a beginning, which all commands accept."""
ID_LENGTH = 8
NAME_WIDTH = 10
_NESTED = frozenset({"members", "attempt_list", "attempts", "requirements", "activity", "cancel", "retries", "steps"})
_TIMES_OF_EVENTS = frozenset({"at", "created_at"})
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tabs and line feeds, which are part of a layout
_STYLES = {
    "COMPLETED": "green",
    "approved": "green",
    "ERROR": "red",
    "rejected": "red",
    "expired": "red",
    "PAUSED": "yellow",
    "pending": "yellow",
    "RUNNING": "cyan",
    "CANCELLED": "dim",
}


@dataclass(frozen=True)
class Column:
    """A column of a table.

    :param is_text: whether it takes the space that the others leave, and is cut there.
    :param is_id: whether a narrow terminal shows the beginnings of its ids.
    """

    title: str
    is_text: bool = False
    is_id: bool = False


def print_text(text: str = "") -> None:
    """Print a line of data."""
    print(text)  # noqa: T201 - the output of the command


def say(text: str) -> None:
    """Print a line that is no data."""
    print(text, file=sys.stderr)  # noqa: T201 - the output of the command


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    print_text(json_text(value, indent=2))


def print_json_line(value: Any) -> None:
    """Print a value as one line of JSON, at once."""
    print(json_text(value), flush=True)  # noqa: T201 - the output of the command


def json_text(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON without control characters, which could send commands to a terminal.

    What standard output cannot encode is escaped as JSON does it.
    """
    return with_escaped_controls(json.dumps(value, ensure_ascii=not has_any_character(sys.stdout), indent=indent))


def with_escaped_controls(text: str) -> str:
    """JSON whose control characters are escaped. It has the same value: the texts in it may have some as they are."""
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def with_iso_times(value: Any) -> Any:
    """An object of the server whose times are ISO 8601 in UTC. What users and models wrote stays as it is."""
    if isinstance(value, list | tuple):
        return [with_iso_times(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {name: _json_value(name, item) for name, item in value.items()}


def event_with_iso_times(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event of the server whose times are ISO 8601 in UTC. The details of a tool's progress stay as they are."""
    if event["event"] != "CustomEvent":
        return {name: _json_value(name, item) for name, item in event.items()}
    return {name: _iso_if_date(item) if name in _TIMES_OF_EVENTS else item for name, item in event.items()}


def _json_value(name: str, value: Any) -> Any:
    if name == "at" or name.endswith("_at"):
        return _iso_if_date(value)
    return with_iso_times(value) if name in _NESTED else value


def _iso_if_date(value: Any) -> Any:
    if not isinstance(value, int | float):
        return value
    try:
        return iso(value)
    except (ValueError, OverflowError, OSError):  # beyond the years 1 to 9999: seconds are something else
        return value


def iso(seconds: float) -> str:
    """A time as ISO 8601 in UTC, with milliseconds."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ago(at: float | str | None) -> str:
    """How long ago a time is, such as ``5 min ago``.

    :param at: unix time, or ISO 8601.
    """
    if at is None:
        return ""
    if isinstance(at, str):
        at = datetime.datetime.fromisoformat(at).timestamp()
    seconds = clock.now() - at
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name} ago"
    return "now" if seconds < 1 else f"{seconds:.0f} s ago"


def duration(seconds: float | None) -> str:
    """A duration, such as ``1.2 s`` or ``3 min 20 s``."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{max(seconds, 0):.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def took(started_at: float | None, ended_at: float | None) -> str:
    """How long something took; empty if it has not ended."""
    return "" if started_at is None or ended_at is None else duration(ended_at - started_at)


def dollars(cost: float | None) -> str:
    """An amount of US dollars; empty if it is not known."""
    if not cost:
        return "" if cost is None else "$0"
    return f"${cost:.4f}" if cost < 1 else f"${cost:.2f}"


def counted(number: int, noun: str) -> str:
    """A number of things, such as ``1 run`` or ``1,024 runs``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def printable(text: str) -> str:
    """A text without control characters, which could send commands to a terminal. Line feeds stay."""
    return "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text.replace("\r\n", "\n"))


def one_line(value: Any) -> str:
    """A value as text in one line."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return " ".join(printable(text).split())


def cut(value: Any, length: int) -> str:
    """A value as text in one line, without what is beyond a length."""
    text = one_line(value)
    return text if len(text) <= length else f"{text[:length]}…"


def fact_line(name: str, value: Any) -> str:
    """A fact about one thing as a line: its name and its value."""
    return f"{name:<{NAME_WIDTH}} {one_line(value)}"


def print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Print a line for each fact that has a value."""
    for name, value in facts:
        if value:
            print_text(fact_line(name, value))


def call_text(name: str, arguments: Mapping[str, Any]) -> str:
    """A call, such as ``publish(title="Hi", copies=1)``."""
    values = (f"{argument}={json.dumps(value, ensure_ascii=False)}" for argument, value in arguments.items())
    return one_line(f"{name}({', '.join(values)})")


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Print a table that fits the terminal; without a terminal, lines of values between tabs, without a head.

    :param empty: what to say if there are no rows.
    """
    lines = [[one_line(value) for value in row] for row in rows]
    if not lines:
        say(empty)
    elif sys.stdout.isatty():
        _print_on_terminal(console(sys.stdout), columns, lines)
    else:
        for line in lines:
            print_text("\t".join(line))


def console(stream: TextIO) -> "Console":
    """A console of rich, which follows NO_COLOR and the width of the terminal."""
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False)


def _print_on_terminal(terminal: "Console", columns: Sequence[Column], lines: list[list[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        ratio = 1 if column.is_text else None
        table.add_column(column.title, no_wrap=True, overflow="ellipsis", ratio=ratio, min_width=4 if ratio else None)
    table.expand = any(column.is_text for column in columns)
    for position, column in enumerate(columns):
        if column.is_id and terminal.width < FULL_ID_WIDTH:
            beginnings = shortened([line[position] for line in lines])
            for line in lines:
                line[position] = beginnings[line[position]]
    for line in lines:
        table.add_row(*(Text(value, style=_STYLES.get(value, "")) for value in line))
    terminal.print(table)


def shortened(ids: Sequence[str]) -> dict[str, str]:
    """For each id a beginning that no other one of them has."""
    unique = set(ids)
    length = ID_LENGTH
    while len({text[:length] for text in unique}) < len(unique):
        length += 1
    return {text: text[:length] for text in unique}
