"""CSV, with commas, semicolons, tabs or bars between the values."""

import csv
from collections.abc import Iterator
from io import StringIO

from musterd.knowledge.parsers import rows
from musterd.knowledge.problems import Unreadable
from musterd.knowledge.texts import decoded

_DELIMITERS = ",;\t|"


def pieces(content: bytes, charset: str | None) -> Iterator[tuple[str, str | None]]:
    """All rows."""
    text = decoded(content, charset)
    head = text.lstrip().partition("\n")[0]
    csv.field_size_limit(len(text) + 1)
    table = csv.reader(StringIO(text, newline=""), delimiter=max(_DELIMITERS, key=head.count))
    try:
        yield "\n".join(rows.lines(table)), None
    except csv.Error as error:
        raise Unreadable("The CSV file could not be read. It is damaged or incomplete.") from error
