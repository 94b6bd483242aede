"""Documents of each kind as text, and what cannot be read."""

import datetime
from collections.abc import Callable

import pytest

from musterd.knowledge import extra
from musterd.knowledge.problems import ExtraMissing
from musterd.knowledge.reading import READERS, ReadingLimits, Section, Source, Unreadable, kind_of, read
from musterd.knowledge.reading_child import PARSERS
from tests.support import documents

WORD = """# Handbook

# Holidays

Everyone has thirty days.

- Ask early

| Office | Days |
|---|---|
| Lisbon | 13 |"""
PAGE = """<!doctype html><html><head><title>Shop</title><style>p {}</style></head><body>
<nav>Home</nav><h2>Open&shy;ing <b>hours</b></h2>From<br>nine<p>to <i>fi</i>ve</p><ul><li>Mon<li>Tue</ul>
<table><tr><th>Day<th>Hour<tr><td>Sun<td>closed</table><pre>a
 b</pre><script>alert("no")</script></body></html>"""
PAGE_TEXT = """# Shop

## Opening hours

From nine

to five

- Mon

- Tue

| Day | Hour |
|---|---|
| Sun | closed |

```
a
 b
```"""


async def texts(source: Source, reader: str | None = None) -> list[tuple[str | None, str]]:
    """The places and the texts of a content."""
    return [(section.place, section.text) for section in await read(source, reader=reader, limits=ReadingLimits())]


@pytest.mark.parametrize(
    ("make", "kind", "sections"),
    [
        (lambda: documents.pdf("Hello", "A “quote”"), "pdf", [("page 1", "Hello"), ("page 2", "A “quote”")]),
        (documents.word, "docx", [(None, WORD)]),
        (
            documents.slides,
            "pptx",
            [("slide 1", "Roadmap"), ("slide 2", "| Quarter | Goal |\n|---|---|\n\nNotes: Mention the budget")],
        ),
        (
            lambda: documents.workbook(
                {"Prices": [["Part", "Price"], ["bolt", 3.5], ["nut", 2], [None, None]], "Empty": []}
            ),
            "xlsx",
            [("sheet Prices", "Part: bolt; Price: 3.5\nPart: nut; Price: 2")],
        ),
        (PAGE.encode, "html", [(None, PAGE_TEXT)]),
    ],
)
async def test_the_kind_is_known_from_the_content(
    make: Callable[[], bytes], kind: str, sections: list[tuple[str | None, str]]
) -> None:
    source = Source(content=make(), file_name="misnamed.json", media_type="text/csv")
    assert kind_of(source) == kind
    assert await texts(source) == sections


@pytest.mark.parametrize(
    ("name", "media_type", "kind"),
    [
        ("notes.MD", None, "markdown"),
        ("notes.md", "text/plain", "markdown"),
        (None, "text/markdown; charset=utf-8", "markdown"),
        ("rows.tsv", None, "csv"),
        (None, "application/json", "json"),
        ("lines.ndjson", "application/octet-stream", "json"),
        ("main.py", "text/x-python", "text"),
        ("", "nonsense", "text"),
    ],
)
def test_the_kind_of_a_text_comes_from_its_name_or_else_its_media_type(
    name: str | None, media_type: str | None, kind: str
) -> None:
    assert kind_of(Source(content=b"1,2", file_name=name, media_type=media_type)) == kind


@pytest.mark.parametrize(
    ("content", "reader", "text"),
    [
        ("Name;Born\nAda;1815\n\nGrace;\n", "csv", "Name: Ada; Born: 1815\nName: Grace"),
        ("1,2\n3,4", "csv", "1; 2\n3; 4"),
        ("Name,Born", "csv", "Name; Born"),
        ('"a\nb",c,c\n1,2,3', "csv", "a b; c; c\n1; 2; 3"),
        (
            '[{"id": 1, "tags": ["x", "y"], "by": {"name": "Ada"}, "none": null}, {"id": 2, "in": [{"n": true}]}]',
            "json",
            "id: 1\ntags: x, y\nby.name: Ada\n\nid: 2\nin.1.n: true",
        ),
        ('{"a": 1}\n{"a": 2}\n', "json", "a: 1\n\na: 2"),
        ("<p>kept as it is", "text", "<p>kept as it is"),
    ],
)
async def test_values_keep_the_names_of_their_columns_and_keys(content: str, reader: str, text: str) -> None:
    assert await texts(Source(content=content.encode()), reader) == [(None, text)]


async def test_dates_of_a_workbook_are_read_as_dates() -> None:
    days = [datetime.date(2026, 11, 27), datetime.datetime(2026, 11, 27, 9, 30)]  # noqa: DTZ001 - without a zone
    book = documents.workbook({"Days": [["From", "To"], days]})
    assert await texts(Source(content=book)) == [("sheet Days", "From: 2026-11-27; To: 2026-11-27T09:30:00")]


@pytest.mark.parametrize(
    ("content", "media_type", "text"),
    [
        ("Grüße".encode(), None, "Grüße"),
        ("Grüße".encode("utf-8-sig"), None, "Grüße"),
        ("Grüße".encode("utf-16"), None, "Grüße"),
        ("Grüße “hier”".encode("cp1252"), None, "Grüße “hier”"),
        ("Привет".encode("koi8-r"), "text/plain; charset=koi8-r", "Привет"),
        (b"odd charset", "text/plain; charset=hex", "odd charset"),
        (b"one\xe2\x80", None, "one�"),
        ("a\0b\x0b\xadc\ufeff".encode("utf-16"), None, "abc"),
    ],
)
async def test_encodings_are_recognized(content: bytes, media_type: str | None, text: str) -> None:
    assert await texts(Source(content=content, media_type=media_type)) == [(None, text)]


async def test_a_page_may_name_its_encoding() -> None:
    page = '<html><meta charset="windows-1251"><p>Привет'.encode("windows-1251")
    assert await texts(Source(content=page)) == [(None, "Привет")]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Source(content=b""), "The content is empty."),
        (Source(content=b" \n\t"), "The content is empty."),
        (Source(content=b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "The content is not text, and not a file of a kind that"),
        (Source(content=bytes(range(1, 256))), "The content is not text, and not a file of a kind that"),
        (Source(content=b"no pdf", file_name="a.pdf"), "The file is named .pdf, but its content is not of that kind."),
        (Source(content=b"PK\x03\x04 some archive"), "The file is an archive, which is not read."),
        (Source(content=b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 old"), "The file has a password or an old Office format."),
    ],
)
def test_what_is_not_a_document_is_refused(source: Source, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        kind_of(source)


@pytest.mark.parametrize(
    ("make", "name", "words"),
    [
        (lambda: documents.pdf(""), None, "The PDF has no text. If its pages are pictures of text"),
        (lambda: b"%PDF-1.7\nnothing", None, "The PDF could not be read. It is damaged or incomplete."),
        (lambda: documents.word()[:5000], None, "The Word document could not be read. It is damaged or incomplete."),
        (lambda: documents.workbook({"A": []}), None, "The Excel workbook has no text."),
        (lambda: b"<html><script>x</script>", None, "The HTML page has no text."),
        (lambda: b'{"a": 1,}', "a.json", r"not valid JSON \(line 1, column 9\)"),
        (lambda: b"{}", "a.json", "The JSON file has no text."),
    ],
)
async def test_a_document_without_text_is_refused(make: Callable[[], bytes], name: str | None, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        await texts(Source(content=make(), file_name=name))


def test_a_text_about_pdf_is_text() -> None:
    assert kind_of(Source(content=b"A PDF begins with %PDF-1.7")) == "text"


async def test_a_reader_that_is_named_reads_the_content() -> None:
    assert kind_of(Source(content=b"<html>"), "markdown") == "markdown"
    assert await read(Source(content=b"{}"), reader="text", limits=ReadingLimits()) == [Section(text="{}")]
    with pytest.raises(Unreadable, match="The PDF could not be read"):
        await read(Source(content=b"text"), reader="pdf", limits=ReadingLimits())


async def test_the_length_of_the_text_is_limited() -> None:
    limits = ReadingLimits(text_bytes=2**19)
    for source in (Source(content=b"long " * 2**17), Source(content=b"a,b\n" + b"1,2\n" * 2**17, file_name="a.csv")):
        with pytest.raises(Unreadable, match=r"more than 0\.5 MB of text"):
            await read(source, reader=None, limits=limits)


async def test_without_the_extra_plain_text_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "is_installed", lambda: False)
    assert await texts(Source(content=b"words")) == [(None, "words")]
    with pytest.raises(ExtraMissing, match=r'Reading a PDF needs packages .* pip install "musterd\[knowledge\]"'):
        await read(Source(content=b"%PDF-1.7"), reader=None, limits=ReadingLimits())


def test_each_kind_has_a_reader() -> None:
    kinds = {kind for reader in READERS.values() for kind in reader.kinds}
    assert kinds == {*PARSERS, "text", "markdown"}
