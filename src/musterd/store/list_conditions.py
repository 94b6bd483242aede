"""Conditions of lists: equality, written so that SQLite uses the intended index, and patterns of ``LIKE``."""

from collections.abc import Collection, Iterable


def equalities(columns: Iterable[str], by_index: Collection[str] = ()) -> list[str]:
    """One ``column = :parameter`` for each text column; the parameter has the name of the column without its table.

    Without statistics SQLite uses the index of any filtered column and sorts the result, so a list whose filter matches
    many rows would read and sort all of them for one page. Therefore only columns in ``by_index`` are compared
    directly. The others become expressions, which no index matches: they are checked in rows that are read in the
    list's order.
    """
    return [
        f"{column} = :{name}" if column in by_index else f"{column} || '' = :{name}"
        for column in columns
        for name in (column.rpartition(".")[2],)
    ]


def like_literal(text: str) -> str:
    """The pattern for ``LIKE … ESCAPE '\\'`` that matches exactly ``text``."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
