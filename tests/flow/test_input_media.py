"""Files, images, audio and video that come with a message: taken, kept, shown, and handed to the model."""

import base64
import json
from typing import Any

import pytest
from pydantic_ai.messages import BinaryContent, ModelRequest, UserPromptPart

from musterd.core.records import RunView
from musterd.service.input_media import fill_in_media
from musterd.store.database import Database
from tests.support.http import ServerClient, problem, wrong_fields

PNG = b"\x89PNG\r\n\x1a\n rest"
BOX = b"\x00\x00\x00\x18ftyp"
TAKEN: dict[str, tuple[bytes, str, str]] = {
    "a.png": (PNG, "image/png", "images"),
    "a.jpeg": (b"\xff\xd8\xff rest", "image/jpeg", "images"),
    "a.jpg": (b"\xff\xd8\xff rest", "image/jpeg", "images"),
    "a.webp": (b"RIFFxxxxWEBP", "image/webp", "images"),
    "a.heic": (BOX + b"heic", "image/heic", "images"),
    "a.heif": (BOX + b"mif1", "image/heif", "images"),
    "a.wav": (b"RIFFxxxxWAVE", "audio/wav", "audio"),
    "a.mp3": (b"ID3\x03 rest", "audio/mp3", "audio"),
    "a.mpeg": (b"\xff\xfb rest", "audio/mpeg", "audio"),
    "a.flv": (b"FLV\x01", "video/x-flv", "videos"),
    "a.mov": (BOX + b"qt  ", "video/quicktime", "videos"),
    "b.mpeg": (b"\x00\x00\x01\xba", "video/mpeg", "videos"),
    "a.mpg": (b"\x00\x00\x01\xb3", "video/mpg", "videos"),
    "a.mp4": (BOX + b"isom", "video/mp4", "videos"),
    "a.webm": (b"\x1a\x45\xdf\xa3", "video/webm", "videos"),
    "a.wmv": (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-wmv", "videos"),
    "a.3gpp": (BOX + b"3gp4", "video/3gpp", "videos"),
    "a.pdf": (b"%PDF-1.7", "application/pdf", "files"),
    "a.csv": (b"a,b", "text/csv", "files"),
    "a.docx": (b"PK\x03\x04 rest", "", "files"),
    "a.txt": (b"abc", "text/plain", "files"),
    "a.json": (b'{"a": 1}', "application/json", "files"),
    "a.md": (b"# a", "text/markdown", "files"),
    "a.xlsx": (b"PK\x03\x04 rest", "", "files"),
    "a.pptx": (b"PK\x03\x04 rest", "", "files"),
}
SHOWN = {"images": "images", "audio": "audios", "videos": "videos", "files": "files"}


def prompt(client: ServerClient) -> Any:
    """The user's message as the model was given it last."""
    (part,) = [
        part
        for message in client.model.calls[-1]
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, UserPromptPart)
    ]
    return part.content


async def upload(client: ServerClient, *files: tuple[str, bytes, str]) -> Any:
    return await client.post("hello", stream="false", files=[("files", file) for file in files])


@pytest.mark.parametrize("filename", TAKEN)
async def test_a_file_of_a_type_that_is_taken(client: ServerClient, filename: str) -> None:
    content, declared, kind = TAKEN[filename]
    answer = await upload(client, (filename, content, declared))
    assert answer.status_code == 200, answer.text
    (item,) = answer.json()["input"][SHOWN[kind]]
    assert item["filename"] == filename
    assert item["id"]


async def test_a_text_file_is_shown_as_text_and_stands_in_the_prompt(client: ServerClient) -> None:
    done = (await upload(client, ("a.txt", "abc ü".encode(), "text/plain"))).json()
    (item,) = done["input"]["files"]
    assert item == {
        "id": item["id"],
        "content": "abc ü",
        "mime_type": "text/plain",
        "filename": "a.txt",
        "format": "txt",
    }
    assert prompt(client) == ["hello", '<file name="a.txt">\nabc ü\n</file>']
    run = await client.get(f"/teams/demo-team/runs/{done['run_id']}", session_id=done["session_id"])
    assert run["input"] == done["input"]


async def test_an_image_is_shown_in_base64_and_goes_to_the_model(client: ServerClient) -> None:
    done = (await upload(client, ("a.png", PNG, "image/png"))).json()
    (item,) = done["input"]["images"]
    assert (item["content"], item["mime_type"], item["format"]) == (base64.b64encode(PNG).decode(), "image/png", "png")
    text, image = prompt(client)
    assert text == "hello"
    assert isinstance(image, BinaryContent)
    assert (image.data, image.media_type) == (PNG, "image/png")


async def test_a_wait_reads_the_media_once(client: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    async def fill_and_tell(database: Database, view: RunView) -> None:
        read.append(view.row.run_id)
        await fill_in_media(database, view)

    monkeypatch.setattr("musterd.service.runs.fill_in_media", fill_and_tell)
    done = (await upload(client, ("a.png", PNG, "image/png"))).json()
    assert read == [done["run_id"]]


async def test_several_files_keep_their_order(client: ServerClient) -> None:
    files = [("a.txt", b"a", "text/plain"), ("b.png", PNG, ""), ("c.txt", b"c", "text/plain")]
    media = (await upload(client, *files)).json()["input"]
    assert [item["filename"] for item in media["files"]] == ["a.txt", "c.txt"]
    assert [item["filename"] for item in media["images"]] == ["b.png"]


async def test_the_content_tells_the_type(client: ServerClient) -> None:
    media = (await upload(client, ("a.txt", PNG, "text/plain"))).json()["input"]
    assert media["images"][0]["mime_type"] == "image/png"


@pytest.mark.parametrize(
    ("filename", "content", "declared"),
    [
        ("a.bin", b"\x00\x01", "application/octet-stream"),
        ("a.exe", b"MZ", ""),
        ("noname", b"abc", ""),
        ("a.docx", b"not a zip", ""),
        ("a.zip", b"PK\x03\x04", "application/zip"),
        ("a.svg", b"<svg/>", "image/svg+xml"),
    ],
)
async def test_a_file_of_another_type(client: ServerClient, filename: str, content: bytes, declared: str) -> None:
    words = problem(await upload(client, (filename, content, declared)), 400, "BAD_REQUEST")
    assert words.startswith("Unsupported file type")
    assert filename in words
    assert "png" in words
    assert "txt" in words
    assert (await client.get("/sessions"))["data"] == []


async def test_one_file_of_another_type_among_others(client: ServerClient) -> None:
    answer = await upload(client, ("a.txt", b"a", "text/plain"), ("b.bin", b"b", ""))
    assert "b.bin" in problem(answer, 400, "BAD_REQUEST")


async def test_a_file_name_has_no_folders(client: ServerClient) -> None:
    media = (await upload(client, ("../../etc/a.txt", b"a", "text/plain"))).json()["input"]
    assert media["files"][0]["filename"] == "a.txt"
    for name in (".", "..", "../..", "a/"):
        media = (await upload(client, (name, b"a", "text/plain"))).json()["input"]
        assert "filename" not in media["files"][0], name


# --- as text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["images", "audio", "videos", "files"])
async def test_media_as_text(client: ServerClient, name: str) -> None:
    types = {"images": "image/png", "audio": "audio/wav", "videos": "video/mp4", "files": "application/pdf"}
    items = [{"content": base64.b64encode(b"abc").decode(), "mime_type": types[name], "id": "m1"}]
    fields = {"message": "hello", "stream": "false", name: json.dumps(items)}
    answers = [
        await client.http.post("/teams/demo-team/runs", data=fields),
        await client.http.post("/teams/demo-team/runs", json=fields),
        await client.http.post("/teams/demo-team/runs", json={**fields, name: items}),
    ]
    media = [answer.json()["input"] for answer in answers]
    (item,) = media[0][SHOWN[name]]
    assert (item["id"], item["mime_type"]) == ("m1", types[name])
    assert media == [media[0]] * 3


async def test_media_as_text_beside_uploads(client: ServerClient) -> None:
    items = json.dumps([{"content": "YWJj", "mime_type": "text/plain", "filename": "b.txt"}])
    parts: list[tuple[str, Any]] = [("files", ("a.txt", b"abc", "text/plain")), ("files", (None, items))]
    media = (await client.post("hello", stream="false", files=parts)).json()["input"]
    assert [item["filename"] for item in media["files"]] == ["a.txt", "b.txt"]


async def test_an_empty_choice_of_a_browser_is_no_file(client: ServerClient) -> None:
    body = (
        '--b\r\nContent-Disposition: form-data; name="message"\r\n\r\nhello\r\n'
        '--b\r\nContent-Disposition: form-data; name="stream"\r\n\r\nfalse\r\n'
        '--b\r\nContent-Disposition: form-data; name="files"; filename=""\r\n'
        "Content-Type: application/octet-stream\r\n\r\n\r\n--b--\r\n"
    )
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = await client.http.post("/teams/demo-team/runs", content=body.encode(), headers=headers)
    assert answer.json()["input"] == {"input_content": "hello"}


@pytest.mark.parametrize("name", ["images", "audio", "videos", "files"])
async def test_an_address_is_told_and_never_fetched(client: ServerClient, name: str) -> None:
    url = "https://media.invalid/a.png"
    fields = {"message": "hello", "stream": "false", name: json.dumps([{"url": url, "filename": "a"}])}
    done = (await client.http.post("/teams/demo-team/runs", data=fields)).json()
    assert done["input"][SHOWN[name]][0]["url"] == url
    assert prompt(client) == ["hello", f'<{name.removesuffix("s")} name="a" url="{url}"/>']


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("notafile", ()),
        ("{}", ()),
        ('["x"]', ("0",)),
        ("[{}]", ("0", "url")),
        ('[{"url": 7}]', ("0", "url")),
        ('[{"url": "file:///etc/passwd"}]', ("0", "url")),
        ('[{"url": "javascript:alert(1)"}]', ("0", "url")),
        ('[{"content": "YWJj"}]', ("0", "mime_type")),
        ('[{"content": "YWJj", "mime_type": "application/x-sh"}]', ("0", "mime_type")),
        ('[{"content": "no base64!", "mime_type": "NAME"}]', ("0", "content")),
        ('[{"content": NaN}]', ()),
    ],
)
async def test_media_as_text_that_are_none(client: ServerClient, text: str, place: tuple[str, ...]) -> None:
    for name, mime_type in (("images", "image/png"), ("files", "text/plain")):
        data = {"message": "hi", "stream": "false", name: text.replace("NAME", mime_type)}
        answer = await client.http.post("/teams/demo-team/runs", data=data)
        assert wrong_fields(answer) == [("body", name, *place)]
