"""XLSX: the rows of each sheet."""

from collections.abc import Iterator

from python_calamine import CalamineError, CalamineWorkbook

from musterd.knowledge.parsers import rows
from musterd.knowledge.parsers.office_archive import checked
from musterd.knowledge.problems import Unreadable

_NOUN = "Excel workbook"


def pieces(content: bytes, charset: str | None) -> Iterator[tuple[str, str | None]]:
    """The sheets."""
    try:
        book = CalamineWorkbook.from_filelike(checked(content, _NOUN))
        for name in book.sheet_names:
            yield "\n".join(rows.lines(book.get_sheet_by_name(name).iter_rows())), f"sheet {name}"
    except CalamineError as error:
        raise Unreadable(f"The {_NOUN} could not be read. It is damaged or incomplete.") from error
