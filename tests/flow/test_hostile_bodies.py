"""Bodies that are meant to hurt: coded, unfolding, too many at once, left in the middle."""

import asyncio
import encodings
import hashlib
import json
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import musterd
from musterd.core.errors import Unavailable
from musterd.http.request_bodies import UploadMemory
from tests.support.app import Serve
from tests.support.http import ServerClient, problem, wrong_fields
from tests.support.raw_connection import HOST, raw_connection, status_of

RUNS = "/teams/demo-team/runs"
FORM = {"content-type": "multipart/form-data; boundary=B"}
FILE = b'--B\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\nContent-Type: text/plain\r\n\r\n%s\r\n'
MESSAGE = b'--B\r\nContent-Disposition: form-data; name="message"\r\n\r\nhello\r\n'
STREAM = b'--B\r\nContent-Disposition: form-data; name="stream"\r\n\r\nfalse\r\n'
END = b"--B--\r\n"
PNG = b"\x89PNG\r\n\x1a\n"


async def nothing_is_stored(client: ServerClient) -> None:
    assert (await client.get("/sessions"))["meta"]["total_count"] == 0


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "x"])
async def test_a_coded_body_is_refused_unread(client: ServerClient, coding: str) -> None:
    answer = await client.http.post(RUNS, content=b"\x1f\x8b" * 100, headers={**FORM, "content-encoding": coding})
    assert "Content-Encoding" in problem(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    answer = await client.http.request("DELETE", "/sessions", content=b"x", headers={"content-encoding": coding})
    problem(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_coding_in_a_second_header_is_refused(client: ServerClient) -> None:
    codings = [("content-encoding", "identity"), ("content-encoding", "gzip"), *FORM.items()]
    answer = await client.http.post(RUNS, content=b"\x1f\x8b" * 100, headers=codings)
    problem(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_body_that_is_coded_as_itself(client: ServerClient) -> None:
    assert (await client.post(stream="false", headers={"content-encoding": "identity"})).status_code == 200


# --- texts that unfold --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["images", "audio", "videos", "files"])
async def test_media_of_many_small_values(client: ServerClient, name: str) -> None:
    bomb = "[" + "[]," * 100_000 + "[]]"
    answer = await client.http.post(RUNS, data={"message": "hi", name: bomb})
    assert wrong_fields(answer) == [("body", name)]
    body = b'{"message": "hi", "x": [' + b"[]," * 600_000 + b'[]], "%s": []}' % name.encode()
    answer = await client.http.post(RUNS, content=body, headers={"content-type": "application/json"})
    assert "1024KB" in problem(answer, 400, "BAD_REQUEST")
    await nothing_is_stored(client)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 200 + "1" + "}" * 200, '{"a": 1e400}', '{"a": %s}' % ("9" * 10_000), '{"a": NaN}'],
    ids=["open", "deep", "infinite", "digits", "nan"],
)
async def test_json_that_nobody_can_keep(client: ServerClient, text: str) -> None:
    assert wrong_fields(await client.post(stream="false", metadata=text)) == [("body", "metadata")]
    headers = {"content-type": "application/json"}
    body = '{"message": "hi", "metadata": ' + text + "}"
    assert (await client.http.post(RUNS, content=body, headers=headers)).status_code == 422
    await nothing_is_stored(client)


async def test_bodies_without_media_have_a_fields_limit(client: ServerClient) -> None:
    headers = {"content-type": "application/json"}
    long = json.dumps({"session_ids": ["x" * 2_000_000], "session_types": ["team"], "images": []}).encode()
    for method, path in (
        ("DELETE", "/sessions"),
        ("POST", "/approvals/a1/resolve"),
        ("POST", f"{RUNS}/r1/continue"),
        ("POST", f"{RUNS}/r1/messages"),
    ):
        answer = await client.http.request(method, path, content=long, headers=headers)
        assert "1024KB" in problem(answer, 400, "BAD_REQUEST")
    many = {"session_ids": ["x"] * 1001, "session_types": ["team"] * 1001}
    wrong = wrong_fields(await client.http.request("DELETE", "/sessions", json=many))
    assert wrong == [("body", "session_ids"), ("body", "session_types")]


async def test_a_charset_that_takes_hours(client: ServerClient) -> None:
    part = MESSAGE.replace(b"hello", b"a" * 500_000 + b"-" + b"9" * 500_000)
    for charset in ("punycode", "idna", "utf-7", "unicode_escape", "zlib"):
        headers = {"content-type": f"multipart/form-data; boundary=B; charset={charset}"}
        answer = await client.http.post(RUNS, content=part + END, headers=headers)
        assert problem(answer, 400, "BAD_REQUEST")
    known = len(encodings._cache)
    headers = {"content-type": f"multipart/form-data; boundary=B; charset={'x' * 9000}"}
    assert problem(await client.http.post(RUNS, content=part + END, headers=headers), 400, "BAD_REQUEST")
    assert len(encodings._cache) == known, "Python keeps unknown names for ever"
    for charset in ("UTF-8", "latin-1", "us-ascii"):
        headers = {"content-type": f"multipart/form-data; boundary=B; charset={charset}"}
        answer = await client.http.post(RUNS, content=MESSAGE + STREAM + END, headers=headers)
        assert answer.json()["content"] == "Echo: hello"


@pytest.mark.parametrize("sign", ["x", " ", "[[SAY ", "]", "in ", " and", ", ", "a@", "<SAY ", "1 "])
async def test_a_long_message_takes_no_longer_for_what_is_in_it(client: ServerClient, sign: str) -> None:
    text = "x" + sign * (100_000 // len(sign))
    done = await asyncio.wait_for(client.post(text, stream="false"), 60)
    assert done.status_code == 200


@pytest.mark.parametrize("sign", [b"%41", b"a%41", b"+", b"%zz", b"%", b"&", b"a=&", b";"])
async def test_a_long_form_takes_no_longer_for_what_is_in_it(client: ServerClient, sign: bytes) -> None:
    """Eight MiB in some tenths of a second; sign by sign it would take some seconds."""
    body = b"message=hi&images=" + sign * (8 * 1024 * 1024 // len(sign))
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await asyncio.wait_for(client.http.post(RUNS, content=body, headers=headers), 60)
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("100%", "100%"),
        ("%zz%4", "%zz%4"),
        ("a+b%20c", "a b c"),
        ("=3D%3D=", "=3D=="),
        ("x %0A%0d%0a =%0A", "x \n\r\n =\n"),
        ("%e2%98%83", "☃"),
        ("%25" * 100_000 + "%41", "%" * 100_000 + "A"),
    ],
)
async def test_signs_of_a_form_are_read_as_meant(client: ServerClient, sent: str, read: str) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await client.http.post(RUNS, content=f"stream=false&message={sent}", headers=headers)
    assert answer.json()["input"]["input_content"] == read


# --- parts and names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        MESSAGE,  # no end
        b"--B--\r\n",
        b"--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END,  # no name
        b"--B\r\n\r\nx\r\n" + END,
        b"--B\r\n" + b"X-A: b\r\n" * 50 + b'Content-Disposition: form-data; name="message"\r\n\r\nx\r\n' + END,
        b"--B\r\nX-A: " + b"x" * 100_000 + b"\r\n\r\nx\r\n" + END,
        b'--B\r\nContent-Disposition: form-data; name="' + b"m" * 100_000 + b'"\r\n\r\nx\r\n' + END,
        b"--B\r\nContent-Type: multipart/mixed; boundary=C\r\n\r\n--C\r\n\r\nx\r\n--C--\r\n" + END,
    ],
    ids=["no-end", "no-part", "no-name", "no-head", "headers", "long-header", "long-name", "nested"],
)
async def test_parts_that_are_none(client: ServerClient, body: bytes) -> None:
    answer = await client.http.post(RUNS, content=body, headers=FORM)
    assert answer.status_code in (400, 422), answer.text
    await nothing_is_stored(client)


async def test_a_form_that_breaks_off_behind_a_boundary_is_refused(client: ServerClient) -> None:
    """What is cut off may have said that the run is for the background."""
    for cut in (b"--B\r\n", b"--B", b""):
        answer = await client.http.post(RUNS, content=MESSAGE + STREAM + cut, headers=FORM)
        assert "last boundary" in problem(answer, 400, "BAD_REQUEST")
    await nothing_is_stored(client)
    assert (await client.http.post(RUNS, content=MESSAGE + STREAM + END, headers=FORM)).status_code == 200


@pytest.mark.parametrize(
    ("file_name", "stored_name"),
    [
        ("../../etc/passwd.txt", "passwd.txt"),
        ("C:\\secret\\a.txt", "a.txt"),
        ("a\x01b.txt", "ab.txt"),
        ("\u202ecod.txt", "cod.txt"),
        ("n" * 3000 + ".txt", "n" * 251 + ".txt"),
        ("ü ☃.txt", "ü ☃.txt"),
    ],
    ids=["path", "windows", "control", "direction", "long", "plain"],
)
async def test_a_file_is_not_kept_under_all_names(client: ServerClient, file_name: str, stored_name: str) -> None:
    name = file_name.encode()
    answer = await client.http.post(RUNS, content=MESSAGE + STREAM + FILE % (name, b"x") + END, headers=FORM)
    assert answer.json()["input"]["files"][0]["filename"] == stored_name


@pytest.mark.parametrize("key", ["filename", "name"])
async def test_a_file_name_in_json_is_cleaned_as_that_of_an_upload(client: ServerClient, key: str) -> None:
    item = {"content": "eA==", "mime_type": "text/plain", key: "../a\r\nX: y\u202e.html"}
    for one in (item, {**item, "url": "https://a.invalid/x"}):
        form = {"message": "hi", "stream": "false", "files": json.dumps([one])}
        (file,) = (await client.http.post(RUNS, data=form)).json()["input"]["files"]
        assert file[key] == "aX: y.html"


async def test_a_media_type_is_kept_without_parameters(client: ServerClient) -> None:
    """A second type behind a semicolon could be taken for the first."""
    files = json.dumps([{"content": "eA==", "mime_type": "Text/Plain;text/html", "filename": "a.txt"}])
    done = (await client.http.post(RUNS, data={"message": "hi", "stream": "false", "files": files})).json()
    (file,) = done["input"]["files"]
    assert (file["mime_type"], file["format"]) == ("text/plain", "txt")
    blob = hashlib.sha256(b"x").hexdigest()
    path = f"{RUNS}/{done['run_id']}/media/{blob}?session_id={done['session_id']}"
    assert (await client.http.get(path)).headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("name", ["id", "filename", "name", "format", "url", "mime_type"])
async def test_what_is_said_of_an_attachment_is_short(client: ServerClient, name: str) -> None:
    item = {"content": "AAAA", "mime_type": "image/png", name: "image/png; " + "x" * 10_000}
    answer = await client.post(stream="false", images=json.dumps([item]))
    assert wrong_fields(answer) == [("body", "images", "0", name)]


async def test_what_a_browser_would_run_is_a_download(client: ServerClient) -> None:
    name = 'a"\r\nSet-Cookie: x=1;<script>.png'
    images = json.dumps([{"content": "iVBORw0KGgo=", "mime_type": "image/png; a\r\nb: c", "filename": name}])
    done = await client.run(images=images)
    path, query = f"{RUNS}/{done['run_id']}/media", f"?session_id={done['session_id']}"
    blob = hashlib.sha256(PNG).hexdigest()
    answer = await client.http.get(f"{path}/{blob}{query}")
    assert answer.content == PNG
    headers = answer.headers
    assert headers["content-type"] == "image/png"
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    assert headers["content-disposition"].startswith("attachment; filename*=UTF-8''a%22Set-Cookie")
    assert "set-cookie" not in headers


def test_nothing_that_a_client_sends_is_unpacked() -> None:
    """So that no archive, however it is made, can grow: Office files are kept and handed on as they came.

    The parsers of knowledge bases unpack them in a process of their own, under limits.
    """
    package = Path(musterd.__file__).parent
    paths = [path for path in package.rglob("*.py") if path.parent != package / "knowledge" / "parsers"]
    texts = [path.read_text() for path in paths]
    users = {path.name for path, text in zip(paths, texts, strict=True) if "musterd.knowledge.parsers" in text}
    assert users == {"reading_child.py"}, "a process of its own"
    modules = {name for text in texts for name in re.findall(r"^\s*(?:import|from) (\w+)", text, re.MULTILINE)}
    assert modules & {"bz2", "gzip", "lzma", "tarfile", "zipfile", "zstandard", "pickle", "marshal"} == set()
    assert [text for text in texts if re.search(r"zlib\.(?!compressobj|crc32|DEFLATED|Z_)|from zlib", text)] == []


# --- many at once -------------------------------------------------------------------------------------


async def test_uploads_have_room_together(serve: Serve) -> None:
    begun, more = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield MESSAGE + STREAM
        yield FILE % (b"a.txt", b"x" * 80_000)
        begun.set()
        await more.wait()
        yield END

    async with serve(uploads_bytes=100_000) as client:
        first = asyncio.create_task(client.http.post(RUNS, content=slowly(), headers=FORM))
        await begun.wait()
        file = {"files": ("b.txt", b"x" * 80_000, "text/plain")}
        answer = await client.post(stream="false", files=file)
        assert "uploads" in problem(answer, 503, "UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0
        assert (await client.post("x" * 10_000, stream="false")).status_code == 200  # a small one needs none
        more.set()
        assert (await first).status_code == 200
        assert (await client.post(stream="false", files=file)).status_code == 200


async def test_an_upload_has_room_while_its_run_goes_on(serve: Serve) -> None:
    async with serve(uploads_bytes=100_000) as client:
        hold = client.model.hold("wait")
        file = {"files": ("b.txt", b"x" * 80_000, "text/plain")}
        waiting = asyncio.create_task(client.post("wait", stream="false", files=file))
        await hold.reached.wait()
        assert (await client.post(stream="false", files=file)).status_code == 200
        hold.release()
        assert (await waiting).status_code == 200


def test_one_body_alone_has_room() -> None:
    room = UploadMemory(10)
    room.take(50)
    with pytest.raises(Unavailable):
        room.take(1)
    room.give_back(50)
    room.take(10)


async def test_a_client_that_leaves_in_the_middle(serve_live: Serve) -> None:
    async with serve_live(uploads_bytes=4_000_000) as client:
        head = b"POST /teams/demo-team/runs HTTP/1.1\r\n" + HOST
        head += b"Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 3500000\r\n\r\n"
        for _ in range(3):  # none of them keeps the room that it took
            async with raw_connection(client) as line:
                await line.say(head + MESSAGE + (FILE % (b"a.txt", b"x" * 2_000_000))[:-2])
        await nothing_is_stored(client)
        async with raw_connection(client) as line:
            rest = 3_500_000 - len(MESSAGE + STREAM + FILE % (b"a.png", PNG) + END)
            body = MESSAGE + STREAM + FILE % (b"a.png", PNG + bytes(rest)) + END
            status = 503
            while status == 503:  # until the server has noticed that the others have gone
                await line.say(head + body)
                status = status_of(await line.answer())
            assert status == 200


async def test_no_room_on_the_disk(client: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    answer = await client.post(stream="false", files={"files": ("a.txt", b"x" * 2_000_000, "text/plain")})
    assert "/nonexistent" not in answer.text
    assert "uploads" in problem(answer, 503, "UNAVAILABLE")
    await nothing_is_stored(client)
