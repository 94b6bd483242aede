"""Uploads: sorted by type, sniffed, or refused by name."""

import base64

import pytest

from musterd.core.errors import BadRequest
from musterd.wire.files import Upload, media_of
from musterd.wire.filetypes import format_of, kind_of_type

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
ZIP = b"PK\x03\x04rest"
FTYP = b"\x00\x00\x00\x18ftyp"


def upload(filename: str, content_type: str, content: bytes = b"abc") -> Upload:
    return Upload(filename=filename, content_type=content_type, content=content)


def test_a_text_file_as_it_is_stored() -> None:
    media = media_of([upload("a.txt", "text/plain; charset=utf-8")])
    (item,) = media["files"]
    assert {name: item[name] for name in item if name != "id"} == {
        "content": "YWJj",
        "mime_type": "text/plain",
        "filename": "a.txt",
        "format": "txt",
    }
    assert media_of([upload("a.txt", "text/plain")]) == media


@pytest.mark.parametrize(
    ("filename", "declared", "content", "kind", "mime_type"),
    [
        ("a.png", "image/png", b"\x89PNG", "images", "image/png"),
        ("a", "", b"\x89PNG\r\n", "images", "image/png"),
        ("a.bin", "application/octet-stream", b"\xff\xd8\xff\xe0", "images", "image/jpeg"),
        ("a.png", "image/png", b"\xff\xd8\xff\xe0", "images", "image/jpeg"),
        ("a.png", "image/png", b"%PDF-1.7", "files", "application/pdf"),
        ("a", "", b"RIFF....WEBPVP8 ", "images", "image/webp"),
        ("a", "", b"RIFF....WAVEfmt ", "audio", "audio/wav"),
        ("a", "", FTYP + b"heic", "images", "image/heic"),
        ("a", "", FTYP + b"mif1", "images", "image/heif"),
        ("a", "", FTYP + b"isom", "videos", "video/mp4"),
        ("a", "", FTYP + b"qt  ", "videos", "video/quicktime"),
        ("a", "", FTYP + b"3gp5", "videos", "video/3gpp"),
        ("a.mp3", "audio/mp3", b"ID3\x04", "audio", "audio/mpeg"),
        ("a.txt", "text/plain", b"ID3 is a tag", "files", "text/plain"),
        ("a.wmv", "video/wmv", b"abc", "videos", "video/wmv"),
        ("a.csv", "text/csv", b"a,b", "files", "text/csv"),
        ("a.md", "text/plain", b"# a", "files", "text/markdown"),
        ("a.md", "application/octet-stream", b"# a", "files", "text/markdown"),
        ("A.JSON", "", b"{}", "files", "application/json"),
        ("a.docx", DOCX, ZIP, "files", DOCX),
        ("a.xlsx", "application/octet-stream", ZIP, "files", XLSX),
        ("a.pptx", "application/zip", ZIP, "files", PPTX),
    ],
)
def test_where_a_file_goes(filename: str, declared: str, content: bytes, kind: str, mime_type: str) -> None:
    media = media_of([upload(filename, declared, content)])
    (item,) = media[kind]
    assert item["mime_type"] == mime_type
    assert base64.b64decode(item["content"]) == content


@pytest.mark.parametrize(
    ("filename", "declared", "content"),
    [
        ("a.bin", "application/octet-stream", b"abc"),
        ("a.exe", "", b"MZ"),
        ("a.zip", "application/zip", ZIP),
        ("a.txt", "text/plain", ZIP),
        ("a.docx", DOCX, b"no archive"),
        ("a", "", b""),
        ("a.avi", "video/x-msvideo", b"RIFF....AVI LIST"),
    ],
)
def test_what_is_refused_is_named(filename: str, declared: str, content: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        media_of([upload("ok.txt", "text/plain"), upload(filename, declared, content)])
    assert caught.value.message.startswith(f"Unsupported file type: {filename} ({declared or 'no type'})")
    assert "png" in caught.value.message
    assert "pptx" in caught.value.message


def test_hostile_names_do_not_come_through() -> None:
    (item,) = media_of([upload("../../etc/pass\x00wd.txt", "text/plain")])["files"]
    assert item["filename"] == "passwd.txt"
    (item,) = media_of([upload("C:\\x\\\ud83d.txt", "text/plain")])["files"]
    assert item["filename"] == "?.txt"
    with pytest.raises(BadRequest) as caught:
        media_of([upload("a\nb" + "c" * 500, "x/y\r\nz")])
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 500


def test_types_that_are_not_taken() -> None:
    assert kind_of_type("application/x-sh") is None
    assert format_of("application/x-sh") == "x-sh"
    assert kind_of_type("IMAGE/PNG; q=1") == "images"
