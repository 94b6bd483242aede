"""Conditions of lists that decide which index a list is read by."""

from collections.abc import Collection, Iterable


def equalities(columns: Iterable[str], by_index: Collection[str] = ()) -> list[str]:
    """One ``column = :parameter`` for each text column; the parameter is named as the column, without its table.

    SQLite keeps no statistics. It would look up any column that has an index, then sort what it found; a list whose
    filter matches many rows would read and sort all of them for one page. So only columns in ``by_index`` are left
    bare. The others are terms, which no index matches: they are compared in rows read in the order of the list.
    """
    return [
        f"{column} = :{name}" if column in by_index else f"{column} || '' = :{name}"
        for column in columns
        for name in (column.rpartition(".")[2],)
    ]
