"""Rows of a table as lines that say which column each value is in, so that a chunk of them needs no header."""

import datetime
from collections.abc import Iterable, Iterator, Sequence

from musterd.knowledge.parsers.markdown_text import one_line


def lines(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A line for each row that has values: ``Name: Ada; Born: 1815`` if the first row names the columns."""
    names: list[str] | None = None
    has_values = False
    for row in rows:
        cells = [_text(cell) for cell in row]
        if not any(cells):
            continue
        if names is None:
            names = cells if _are_names(row, cells) else []
            if names:
                continue
        has_values = True
        yield "; ".join(_labelled(names, cells))
    if names and not has_values:
        yield "; ".join(names)


def _labelled(names: Sequence[str], cells: Sequence[str]) -> Iterator[str]:
    for number, cell in enumerate(cells):
        if cell:
            yield f"{names[number]}: {cell}" if number < len(names) and names[number] else cell


def _are_names(row: Sequence[object], cells: Sequence[str]) -> bool:
    """Whether a row names columns: texts that differ and are no numbers."""
    texts = [cell for cell in cells if cell]
    are_texts = all(isinstance(value, str) for value, cell in zip(row, cells, strict=True) if cell)
    return are_texts and len(texts) > 1 and len({*texts}) == len(texts) and not any(map(_is_number, texts))


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ".").rstrip("%"))
    except ValueError:
        return False
    return True


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat().removesuffix("T00:00:00")
    return one_line(str(value)) if value is not None else ""
