"""The page's files: types, caching, compression, Content-Security-Policy, and the text if the page is not built."""

import gzip
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from musterd.http.ui import NOT_BUILT, is_built, ui_routes
from tests.support import scanned
from tests.support.app import Serve

SCRIPT = "console.log('hello');" * 50


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A built page."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>musterd</title>")
    (tmp_path / "assets" / "index-1a2b.js").write_text(SCRIPT)
    (tmp_path / "assets" / "inter-3c4d.woff2").write_bytes(b"wOF2")
    (tmp_path / "theme.js").write_text("// theme")
    return tmp_path


@pytest.fixture
async def http(folder: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application that serves it."""
    transport = httpx2.ASGITransport(app=Starlette(routes=list(ui_routes(folder))))
    async with scanned.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def test_the_page_is_checked_each_time_and_loads_nothing_from_elsewhere(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/ui/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    again = await http.get("/ui/", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_hashed_files_are_kept_for_ever_and_compressed(http: httpx2.AsyncClient) -> None:
    async with http.stream("GET", "/ui/assets/index-1a2b.js", headers={"accept-encoding": "gzip"}) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert gzip.decompress(raw).decode() == SCRIPT
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["vary"] == "Accept-Encoding"
    plain = await http.get("/ui/assets/index-1a2b.js", headers={"accept-encoding": "identity"})
    assert plain.text == SCRIPT
    assert plain.headers["etag"] != answer.headers["etag"]
    font = await http.get("/ui/assets/inter-3c4d.woff2")
    assert (font.headers["content-type"], "content-encoding" in font.headers) == ("font/woff2", False)
    theme = await http.get("/ui/theme.js")
    assert theme.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["absent.js", "assets/", "assets", "%2e%2e/secret", "..%2fsecret", "/index.html"])
async def test_only_files_of_the_page_are_served(http: httpx2.AsyncClient, folder: Path, name: str) -> None:
    (folder.parent / "secret").write_text("secret")
    with pytest.raises(Exception, match="Not Found"):
        await http.get(f"/ui/{name}")


async def test_a_page_that_is_built_anew_is_served_without_a_restart(http: httpx2.AsyncClient, folder: Path) -> None:
    assert "musterd" in (await http.get("/ui/")).text
    index = folder / "index.html"
    index.write_text("<!doctype html><title>newer</title>")
    os.utime(index, ns=(0, index.stat().st_mtime_ns + 1))
    assert "newer" in (await http.get("/ui/")).text


async def test_without_a_built_page_a_text_says_how_to_build_it(tmp_path: Path) -> None:
    transport = httpx2.ASGITransport(app=Starlette(routes=list(ui_routes(tmp_path / "absent"))))
    async with scanned.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answer = await http.get("/ui/")
    assert (answer.status_code, answer.text) == (404, NOT_BUILT)
    assert not is_built(tmp_path / "absent")


async def test_the_page_needs_no_key_and_its_address_gets_a_slash_below_any_prefix(serve: Serve) -> None:
    async with serve(security_key="secret") as client:
        answer = await client.http.get("/ui", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (307, "ui/")
        assert (await client.http.get("/ui/")).status_code in (200, 404)
        absent = await client.http.get("/ui/absent.js")
        assert absent.status_code == 404
