"""Documents that are made to break their parser, and the limits of the process that parses them."""

import asyncio
import json
import os
import sys
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from musterd.knowledge import reading_process
from musterd.knowledge.reading import ReadingLimits, Source, Unreadable, read
from tests.support import documents

MEGABYTE = 1024 * 1024


def workbook_bomb() -> bytes:
    """A workbook of 300 kB whose sheet has 300 MB."""
    file = BytesIO(documents.workbook({"A": [["x"]]}))
    with (
        zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("xl/bomb.xml", "w") as part,
    ):
        for _ in range(300):
            part.write(bytes(MEGABYTE))
    return file.getvalue()


def sparse_workbook() -> bytes:
    """A workbook with one value in the last cell of a sheet of seventeen billion."""
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1"><c r="A1">'
    )
    sheet += '<v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData></worksheet>'
    return documents.with_part(documents.workbook({"A": [["x"]]}), "xl/worksheets/sheet1.xml", sheet.encode())


def entities() -> bytes:
    """A Word document with an entity that stands for a billion letters."""
    names = "abcdefghi"
    definitions = f'<!ENTITY a "{"x" * 10}">'
    for name, before in zip(names[1:], names, strict=False):
        definitions += f'<!ENTITY {name} "{f"&{before};" * 10}">'
    namespace = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    body = "<w:body><w:p><w:r><w:t>&i;</w:t></w:r></w:p></w:body>"
    text = f'<!DOCTYPE d [{definitions}]><w:document xmlns:w="{namespace}">{body}</w:document>'
    return documents.with_part(documents.word(), "word/document.xml", text.encode())


def encrypted_pdf() -> bytes:
    """A PDF that needs a password."""
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(BytesIO(documents.pdf("secret"))))
    writer.encrypt("password", algorithm="RC4-128")
    file = BytesIO()
    writer.write(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("make", "name", "words"),
    [
        (workbook_bomb, None, "The Excel workbook unpacks to more than 256 MB."),
        (sparse_workbook, None, "Reading the Excel workbook takes more than 1024 MB of memory."),
        (entities, None, "The Word document "),
        (lambda: documents.pdf("x", stream=zlib.compress(bytes(200 * MEGABYTE), 1)), None, "The PDF unpacks to more"),
        (lambda: documents.pdf("x", kids="2 0 R"), None, "The PDF "),
        (encrypted_pdf, None, "The PDF has a password. Save it without one."),
        (lambda: b"[" * 200_000, "a.json", "The content is nested too deeply."),
        (lambda: b"<html>" + b"<div>" * 200_000, None, "The HTML page "),
        (lambda: b"<html>" + b"<table><tr><td>" * 50_000, None, "The HTML page "),
    ],
)
async def test_a_hostile_document_is_refused_in_words(make: Callable[[], bytes], name: str | None, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        await read(Source(content=make(), file_name=name), reader=None, limits=ReadingLimits())


def child(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Run ``script`` in place of the parser."""
    monkeypatch.setattr(reading_process, "_COMMAND", (sys.executable, "-c", script))


async def parse(**limits: float) -> list[reading_process.Piece]:
    """Parse a document that fills the pipe to the process."""
    return await reading_process.parsed(
        "pdf",
        "PDF",
        bytes(MEGABYTE),
        charset=None,
        limits=ReadingLimits(**limits),  # type: ignore[arg-type]
    )


async def test_a_parser_that_does_not_end_is_reported_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, "import signal; signal.pause()")
    with pytest.raises(Unreadable, match=r"Reading the PDF takes longer than 0\.1 s\."):
        await parse(seconds=0.1)


async def test_a_parser_is_killed_with_its_children(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script = f"import os, signal\npipe = open({str(pipe)!r}, 'w')\nos.fork()\n"
    child(monkeypatch, f"{script}print('here', file=pipe, flush=True)\nsignal.pause()")
    parsing = asyncio.create_task(parse())
    reader = await asyncio.to_thread(pipe.open)
    assert [await asyncio.to_thread(reader.readline) for _ in range(2)] == ["here\n", "here\n"]
    parsing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await parsing
    assert await asyncio.to_thread(reader.read) == "", "the end, as both processes have ended"
    reader.close()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", r"takes longer than 60 s\."),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"could not be read\. It is damaged"),
        ("import os; os.abort()", r"takes more than 1024 MB of memory\."),
        ("raise KeyError('the content')", r"could not be read\. It is damaged"),
        ("while True: print('x' * 100_000)", r"has more than 32 MB of text\."),
    ],
)
async def test_a_parser_that_crashes_is_reported_in_words(
    monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    child(monkeypatch, script)
    with pytest.raises(Unreadable, match=words):
        await parse()


async def test_the_parser_gets_no_variables_and_no_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    child(
        monkeypatch,
        "import json, os\n"
        "report = [sorted(os.environ), sorted(os.listdir('/proc/self/fd'))]\n"
        "print(json.dumps([json.dumps(report), None]))",
    )
    kept_open = os.open(os.devnull, os.O_RDONLY)
    try:
        ((report, _),) = await parse()
    finally:
        os.close(kept_open)
    variables, files = json.loads(report)
    assert not {*variables} - {"PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LC_CTYPE"}
    assert files == ["0", "1", "2", "3"]  # the last one is that of the list itself


@pytest.mark.parametrize(
    ("work", "words"),
    [("while True: pass", r"takes longer than 60 s\."), ("bytearray(2**29)", r"could not be read\.")],
)
async def test_the_parser_limits_its_own_time_and_memory(
    monkeypatch: pytest.MonkeyPatch, work: str, words: str
) -> None:
    child(monkeypatch, f"from musterd.knowledge.reading_child import limit_process\nlimit_process(2**28, 1)\n{work}")
    with pytest.raises(Unreadable, match=words):
        await parse()


async def test_the_long_name_of_a_sheet_is_cut() -> None:
    book = documents.workbook({"A": [["x"]]})
    with zipfile.ZipFile(BytesIO(book)) as archive:
        part = archive.read("xl/workbook.xml").replace(b'name="A"', b'name="' + b"n" * MEGABYTE + b'"')
    (section,) = await read(Source(content=documents.with_part(book, "xl/workbook.xml", part)))
    assert section.place is not None
    assert len(section.place) == 200
