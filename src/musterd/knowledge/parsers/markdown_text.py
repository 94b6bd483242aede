"""Parts of documents as Markdown, which is split at its headings."""

from collections.abc import Iterable, Sequence

MAX_LEVEL = 6


def heading(level: int, text: str) -> str:
    """A heading; level 1 is the highest."""
    return f"{'#' * min(max(level, 1), MAX_LEVEL)} {one_line(text)}"


def one_line(text: str) -> str:
    """``text`` with single spaces between its words."""
    return " ".join(text.split())


def table(rows: Iterable[Sequence[str]]) -> str:
    """A table whose first row names the columns."""
    lines = []
    for cells in rows:
        lines.append(f"| {' | '.join(one_line(cell) for cell in cells)} |")
        if len(lines) == 1:
            lines.append("|" + "---|" * len(cells))
    return "\n".join(lines)
