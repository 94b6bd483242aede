"""Figures and their formats: a table for people, JSON for programs, and the block in docs/performance.md."""

import datetime
import json
import os
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

DOCS = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"
LARGE = 100  # from here on a decimal says nothing
TINY = 0.1  # below it two would


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What a figure of ours must keep to.

    :param at_most: the figure itself.
    :param ratio: ours over the peer's.
    :param at_least: the figure itself.
    :param is_aim: something we try for, not a promise.
    """

    at_most: float | None = None
    ratio: float | None = None
    at_least: float | None = None
    is_aim: bool = False

    def is_met(self, figure: "Figure") -> bool | None:
        """Say whether `figure` keeps to this; None when that cannot be said."""
        if self.ratio is not None:
            return None if figure.ratio is None else figure.ratio <= self.ratio
        if self.at_least is not None:
            return figure.ours >= self.at_least
        assert self.at_most is not None
        return figure.ours <= self.at_most

    def __str__(self) -> str:
        aim = "aim " if self.is_aim else ""
        if self.ratio is not None:
            return f"{aim}≤ {self.ratio} of agno"
        if self.at_least is not None:
            return formatted(self.at_least) if isinstance(self.at_least, bool) else f"{aim}≥ {formatted(self.at_least)}"
        return f"{aim}≤ {formatted(self.at_most)}"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured thing, ours and the peer's."""

    name: str
    unit: str
    ours: float
    peer: float | None = None
    bar: Bar | None = None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.peer if self.peer else None

    @property
    def verdict(self) -> str:
        is_met = self.bar.is_met(self) if self.bar else None
        if is_met is None:
            return ""
        return "ok" if is_met else "**MISSED**"

    def row(self) -> str:
        cells = [self.name, self.unit, formatted(self.ours), formatted(self.peer), formatted(self.ratio, 2)]
        return f"| {' | '.join([*cells, str(self.bar or ''), self.verdict])} |"

    def as_json(self) -> dict[str, object]:
        values = {"name": self.name, "unit": self.unit, "musterd": self.ours, "agno": self.peer}
        return {**values, "ratio": self.ratio, "bar": str(self.bar or ""), "verdict": self.verdict.strip("*")}


T = TypeVar("T")


def beside(name: str, unit: str, sides: Sequence[T], of: Callable[[T], float], bar: Bar | None = None) -> Figure:
    """Return the figure that `of` reads from each side: ours first, then the peer's where it takes part."""
    ours, *others = map(of, sides)
    return Figure(name=name, unit=unit, ours=ours, peer=others[0] if others else None, bar=bar)


def formatted(value: float | None, digits: int = 1) -> str:
    """Write a number as people read it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value == int(value) or abs(value) >= LARGE:
        return f"{value:,.0f}"
    return f"{value:.{3 if abs(value) < TINY else 2 if abs(value) < 1 else digits}f}"


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table."""
    head = "| what | unit | musterd | agno 2.5.6 | ratio | bar | |"
    return "\n".join([head, "|---|---|--:|--:|--:|---|---|", *(figure.row() for figure in figures)])


def machine() -> str:
    """Say on what the figures were taken."""
    cpu = "unknown CPU"
    if info := re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()):
        cpu = info[1]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} × {cpu}, {memory:.0f} GB, {system}"


def block(figures: Sequence[Figure], command: str, where: str, load: float) -> str:
    """Return what docs/performance.md holds between a group's marks.

    :param where: on what the figures were taken.
    """
    today = datetime.datetime.now(tz=datetime.UTC).date()
    said = f"`{command}` on {today}; {where}; load before the start {load:.1f}."
    return f"{said}\n\n{table(figures)}"


def write_docs(group: str, text: str) -> None:
    """Put `text` between the marks of a group, in the place of what stands there."""
    begin, end = BEGIN.format(group), END.format(group)
    page = DOCS.read_text()
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    DOCS.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def write_json(figures: Sequence[Figure], where: str, path: Path) -> None:
    """Write the figures, with what they were taken on, to `path`."""
    document = {"machine": where, "figures": [figure.as_json() for figure in figures]}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
