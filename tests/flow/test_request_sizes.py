"""How large a request may be, and what is said when it is larger."""

import base64
from collections.abc import AsyncIterator

import pytest

from tests.support.app import Serve
from tests.support.http import ServerClient, problem, wrong_fields

RUNS = "/teams/demo-team/runs"
MEBIBYTE = 1024 * 1024
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"none": ("", b"")}, "Part exceeded maximum size of 1024KB."),
        (None, "Field exceeded maximum size of 1024KB."),
    ],
    ids=["multipart", "urlencoded"],
)
async def test_a_text_field_has_a_limit(
    client: ServerClient, files: dict[str, tuple[str, bytes]] | None, words: str
) -> None:
    longest = "x" * (MEBIBYTE - len("message"))
    assert (await client.post(longest, stream="false", files=files)).json()["input"]["input_content"] == longest
    assert problem(await client.post("x" * (MEBIBYTE + 1), stream="false", files=files), 400, "BAD_REQUEST") == words
    answer = await client.post(stream="false", metadata="x" * (MEBIBYTE + 1), files=files)
    assert problem(answer, 400, "BAD_REQUEST") == words


async def test_a_text_field_has_the_same_limit_in_json(client: ServerClient) -> None:
    answer = await client.http.post(RUNS, json={"message": "x" * (MEBIBYTE + 1), "stream": False})
    assert answer.status_code == 400
    assert "1024KB" in problem(answer, 400, "BAD_REQUEST")


async def test_media_in_a_text_field_count_against_the_body_only(client: ServerClient) -> None:
    content = base64.b64encode(PNG + bytes(2 * MEBIBYTE)).decode()
    text = f'[{{"content": "{content}", "mime_type": "image/png"}}]'
    for files in ({"none": ("", b"")}, None):
        done = await client.post("hello", stream="false", images=text, files=files)
        assert done.status_code == 200, done.text
        assert done.json()["input"]["images"][0]["content"] == content


async def test_a_file_may_be_longer_than_a_field(client: ServerClient) -> None:
    content = "x" * (2 * MEBIBYTE)
    done = (await client.post(stream="false", files={"files": ("a.txt", content.encode(), "text/plain")})).json()
    assert done["input"]["files"][0]["content"] == content


async def test_a_body_has_a_limit_by_its_told_length(serve: Serve) -> None:
    async with serve(body_bytes=2048) as client:
        assert (await client.post("x" * 1000, stream="false")).status_code == 200
        answer = await client.post("x" * 2048, stream="false")
        assert "2 KiB" in problem(answer, 413, "PAYLOAD_TOO_LARGE")
        files = {"files": ("a.txt", b"x" * 2048, "text/plain")}
        problem(await client.post(stream="false", files=files), 413, "PAYLOAD_TOO_LARGE")
        assert (await client.get("/sessions"))["meta"]["total_count"] == 1


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"],
)
async def test_a_body_has_a_limit_where_no_length_is_told(serve: Serve, content_type: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="message"\r\n\r\n'
        for _ in range(8):
            yield b"x" * 1000

    async with serve(body_bytes=2048) as client:
        answer = await client.http.post(RUNS, content=pieces(), headers={"content-type": content_type})
        assert "content-length" not in answer.request.headers
        problem(answer, 413, "PAYLOAD_TOO_LARGE")


async def test_a_body_that_is_too_long_is_refused_on_every_operation(serve: Serve) -> None:
    async with serve(body_bytes=2048) as client:
        body = {"session_ids": ["x" * 4096], "session_types": ["team"]}
        answer = await client.http.request("DELETE", "/sessions", json=body)
        problem(answer, 413, "PAYLOAD_TOO_LARGE")


async def test_multipart_without_its_boundary(client: ServerClient) -> None:
    answer = await client.http.post(RUNS, content=b"x", headers={"content-type": "multipart/form-data"})
    assert problem(answer, 400, "BAD_REQUEST") == "Missing boundary in multipart."


async def test_a_form_has_a_number_of_fields(client: ServerClient) -> None:
    for files in ({"none": ("", b"")}, None):
        fields = {f"f{number}": "x" for number in range(1001)}
        problem(await client.post(stream="false", files=files, **fields), 400, "BAD_REQUEST")


async def test_a_form_has_a_number_of_files(client: ServerClient) -> None:
    files = [("files", (f"{number}.txt", b"x", "text/plain")) for number in range(101)]
    problem(await client.post(stream="false", files=files), 400, "BAD_REQUEST")


async def test_what_a_422_repeats_is_short(client: ServerClient) -> None:
    answer = await client.post(stream="x" * 100_000)
    assert wrong_fields(answer) == [("body", "stream")]
    assert len(answer.content) < 1000
