"""Tiny documents of each kind. The libraries that write them are imported when they are used."""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO


def pdf(*pages: str, kids: str | None = None, stream: bytes | None = None) -> bytes:
    """A PDF with a line of text on each page.

    :param kids: the entry of the page tree, in place of the pages.
    :param stream: the compressed content of every page, in place of its text.
    """
    numbers = [4 + 2 * n for n in range(len(pages))]
    tree = kids if kids is not None else " ".join(f"{number} 0 R" for number in numbers)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{tree}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, text in zip(numbers, pages, strict=True):
        content = stream or zlib.compress(b"BT /F1 12 Tf 72 720 Td (" + text.encode("cp1252") + b") Tj ET")
        page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {number + 1} 0 R"
        objects.append(f"{page} /Resources << /Font << /F1 3 0 R >> >> >>".encode())
        head = f"<< /Filter /FlateDecode /Length {len(content)} >>\nstream\n".encode()
        objects.append(head + content + b"\nendstream")
    return _pdf_file(objects)


def _pdf_file(objects: Sequence[bytes]) -> bytes:
    file = bytearray(b"%PDF-1.7\n")
    positions = []
    for number, content in enumerate(objects, 1):
        positions.append(len(file))
        file += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = len(file)
    file += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    file += b"".join(f"{position:010} 00000 n \n".encode() for position in positions)
    file += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n".encode()
    return bytes(file)


def word() -> bytes:
    """A Word document with headings, a list and a table."""
    import docx

    document = docx.Document()
    document.add_heading("Handbook", level=0)
    document.add_heading("Holidays", level=1)
    document.add_paragraph("Everyone has thirty days.")
    document.add_paragraph("Ask early", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for row, cells in zip(table.rows, [("Office", "Days"), ("Lisbon", "13")], strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    file = BytesIO()
    document.save(file)
    return file.getvalue()


def slides() -> bytes:
    """A presentation of two slides, the second one with a table and notes."""
    import pptx
    from pptx.util import Inches

    presentation = pptx.Presentation()
    first = presentation.slides.add_slide(presentation.slide_layouts[5])
    assert first.shapes.title is not None
    first.shapes.title.text = "Roadmap"
    second = presentation.slides.add_slide(presentation.slide_layouts[6])
    frame = second.shapes.add_table(1, 2, Inches(1), Inches(1), Inches(4), Inches(1))
    for cell, text in zip(frame.table.rows[0].cells, ("Quarter", "Goal"), strict=True):
        cell.text = text
    notes = second.notes_slide.notes_text_frame
    assert notes is not None
    notes.text = "Mention the budget"
    file = BytesIO()
    presentation.save(file)
    return file.getvalue()


def workbook(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    """A workbook with rows in each sheet."""
    import xlsxwriter

    file = BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True, "default_date_format": "yyyy-mm-dd hh:mm"}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return file.getvalue()


def with_part(archive: bytes, name: str, content: bytes) -> bytes:
    """An Office file with another content of one of its parts."""
    file = BytesIO()
    with zipfile.ZipFile(BytesIO(archive)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            new.writestr(entry, content if entry == name else old.read(entry))
    return file.getvalue()
